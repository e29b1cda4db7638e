"""An evaluation as MLflow shows it: a run of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lus.evaluation.files import AUDIT_FILE, CHOICE_FILE, FIGURES_FILE, METRICS_FILE, PICTURES, identity_tag
from lus.evaluation.report import describe_run
from lus.search import trials_file
from lus.tracking import client, processes, runs
from lus.tracking.lineage import collect_lineage


def log_run(build: Path, evaluation: Path) -> str:
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
    named = runs.prefix_tags(tags | identity_tag(evaluation) | found) | {
        "mlflow.note.content": describe_run(summary, audit)
    }
    with mlflow.start_run(run_name=f"evaluate {choice['feature_set']}{marked}", tags=named) as run_:
        mlflow.log_params({key: choice[key] for key in ("feature_set", "trial", "epochs")} | choice["head"])
        accuracies = {f"accuracy_of.{method}": one["accuracy"] for method, one in details["ways"].items()}
        mlflow.log_metrics(as_metrics(summary | accuracies))
        for file in sorted(evaluation.iterdir()):
            if file.name not in PICTURES:
                mlflow.log_artifact(str(file), "evaluation")
    return str(run_.info.run_id)


def as_metrics(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the figures, as MLflow takes them: not nested."""
    flat = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    for name, bounds in values["interval"].items():
        flat |= {f"{name}_low": bounds["low"], f"{name}_high": bounds["high"]}
    # A label may hold what MLflow takes in no metric's name.
    return {re.sub(r"[^\w.\- :]", "_", name): value for name, value in flat.items() if value is not None}
