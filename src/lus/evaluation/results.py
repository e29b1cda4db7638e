"""What an evaluation is shown as: its files of figures, and its MLflow run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lus.audit import stored
from lus.common import hashing
from lus.search import trials_file
from lus.tracking import client, processes, runs
from lus.tracking.lineage import collect_lineage

METRICS_FILE, FIGURES_FILE, CHOICE_FILE = "metrics.json", "figures.json", "choice.json"
AUDIT_FILE = stored.AUDIT
IDENTIFYING = (METRICS_FILE, CHOICE_FILE, AUDIT_FILE, stored.RECORD, stored.PREDICTIONS)
"""Files that tell an evaluation from all others: two of them may well have the same figures."""


def identity(evaluation: Path) -> dict[str, str]:
    """The tag that tells an evaluation from all others, as a digest of its identifying files' hashes.

    Args:
        evaluation: the folder that the stage `evaluate` wrote.
    """
    content = "".join(f"{name} {hashing.sha256(evaluation / name)}\n" for name in IDENTIFYING)
    return {"evaluation_sha256": hashlib.sha256(content.encode()).hexdigest()}


def write_json(path: Path, values: object) -> None:
    """Write figures; what is not a number becomes null."""
    path.write_text(json.dumps(_without_nan(values), indent=2) + "\n")


def _without_nan(value: Any) -> Any:
    """The same figures with None for what is not a number: JSON knows none."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def between(bounds: Mapping[str, float | None], digits: int) -> str:
    """An interval in words, as in "0.71 to 0.93"; one patient alone does not define it."""
    low, high = bounds["low"], bounds["high"]
    if low is None or high is None or not np.isfinite([low, high]).all():
        return "not defined"
    return f"{low:.{digits}f} to {high:.{digits}f}"


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the figures, as MLflow takes them: not nested."""
    flat = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    for name, bounds in values["interval"].items():
        flat |= {f"{name}_low": bounds["low"], f"{name}_high": bounds["high"]}
    # A label may hold what MLflow takes in no metric's name.
    return {re.sub(r"[^\w.\- :]", "_", name): value for name, value in flat.items() if value is not None}


def log(build: Path, evaluation: Path) -> str:
    """Log an evaluation as a run of its own, with its figures and files.

    Args:
        build: the folder of the stages' results.
        evaluation: the folder that the stage `evaluate` wrote.

    Returns:
        The run's identity.
    """
    import mlflow

    summary, details, choice, audit = (
        json.loads((evaluation / name).read_text()) for name in (METRICS_FILE, FIGURES_FILE, CHOICE_FILE, AUDIT_FILE)
    )
    client.connect()
    runs.kill_orphaned_runs()
    found = collect_lineage({"trials": build / "search" / choice["feature_set"] / trials_file.TRIALS_FILE})
    leaks = str(summary["leaking"] or audit["leaking"]).lower()
    tags = {"kind": "evaluation", "protocol": summary["protocol"], "leaking": leaks, "owner": processes.owner()}
    marked = f" · {summary['protocol']}{' (leaks)' if summary['leaking'] else ''}"
    named = runs.prefix_tags(tags | identity(evaluation) | found) | {"mlflow.note.content": _note(summary, audit)}
    with mlflow.start_run(run_name=f"evaluate {choice['feature_set']}{marked}", tags=named) as run_:
        mlflow.log_params({key: choice[key] for key in ("feature_set", "trial", "epochs")} | choice["head"])
        accuracies = {f"accuracy_of.{way}": one["accuracy"] for way, one in details["ways"].items()}
        mlflow.log_metrics(_flat(summary | accuracies))
        mlflow.log_artifacts(str(evaluation), "evaluation")
    return str(run_.info.run_id)


def _note(summary: dict[str, Any], audit: dict[str, Any]) -> str:
    """The description of the run: the figure as it may be quoted, and what the audit found."""
    interval = between(summary["interval"]["accuracy"], 2)
    lines = [
        f"Accuracy {summary['accuracy']:.2f} (interval {interval}) on {summary['clips']} clips of "
        f"{summary['patients']} patients, protocol {summary['protocol']}.",
        f"**It leaks: {summary['why']}.**" if summary["leaking"] else "",
        *(f"- {one['level']}: {one['sentence']}" for one in audit["findings"]),
    ]
    return "\n\n".join(line for line in lines if line)
