"""The files of an evaluation: their names, what tells two evaluations apart, and figures as JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from lus.audit import stored
from lus.common import hashing
from lus.common.errors import BadInput

METRICS_FILE, FIGURES_FILE, CHOICE_FILE = "metrics.json", "figures.json", "choice.json"
AUDIT_FILE, PREDICTIONS_FILE = stored.AUDIT, stored.PREDICTIONS
PICTURES = ("examples.png",)
"""Those that show frames of clips: they stay here, and go into no artifact of MLflow."""
IDENTIFYING = (METRICS_FILE, CHOICE_FILE, AUDIT_FILE, stored.RECORD, PREDICTIONS_FILE)
"""Files that tell an evaluation from all others: two of them may well have the same figures."""


def identity_tag(evaluation: Path) -> dict[str, str]:
    """The tag that tells an evaluation from all others, as a digest of its identifying files' hashes.

    Args:
        evaluation: the folder that the stage `evaluate` wrote.
    """
    content = "".join(f"{name} {hashing.sha256(evaluation / name)}\n" for name in IDENTIFYING)
    return {"evaluation_sha256": hashlib.sha256(content.encode()).hexdigest()}


def read_evaluation(evaluation: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Choice, figures and audit of an evaluation.

    Args:
        evaluation: the folder that the stage `evaluate` wrote.

    Raises:
        BadInput: a file that tells it from all others is missing.
    """
    lacking = [one for one in IDENTIFYING if not (evaluation / one).is_file()]
    if lacking:
        raise BadInput(f"{evaluation}: has no {', '.join(lacking)}; `dvc repro evaluate` makes it")
    choice, summary, audit = (
        json.loads((evaluation / name).read_text()) for name in (CHOICE_FILE, METRICS_FILE, AUDIT_FILE)
    )
    return choice, summary, audit


def write_json(path: Path, values: object) -> None:
    """Write figures; what is not a number becomes null."""
    path.write_text(json.dumps(replace_nan(values), indent=2) + "\n")


def replace_nan(value: Any) -> Any:
    """The same figures with None for what is not a number: JSON knows none."""
    if isinstance(value, dict):
        return {key: replace_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [replace_nan(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
