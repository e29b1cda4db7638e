"""A validation's files, and its run in MLflow, which belongs to the version that was validated."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lus.evaluation.files import replace_nan, write_json
from lus.evaluation.mlflow_run import as_metrics
from lus.evaluation.report import format_interval
from lus.evaluation.validation import ValidationResult
from lus.metrics.strata import STRATA_FILE, write_strata
from lus.tracking import client, processes, runs
from lus.tracking.lineage import collect_lineage

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

VALIDATION_FILE, PREDICTIONS_FILE = "validation.json", "predictions.csv"
REFUSED_FILE = "refused.csv"
KIND = "validation"
"""Of the runs, as their tag `lus.kind` has it, and the folder of their artifacts."""


def write_validation(folder: Path, found: ValidationResult) -> None:
    """Write what a validation found: `validation.json`, `predictions.csv`, `strata.csv`, `refused.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / VALIDATION_FILE, found.summary)
    found.predictions.to_csv(folder / PREDICTIONS_FILE, index=False)
    write_strata(folder / STRATA_FILE, found.strata)
    found.refused.to_csv(folder / REFUSED_FILE, index=False)


def log_validation(version: ModelVersion, model_id: str, found: ValidationResult) -> str:
    """Log a validation as a run of its own, linked to the version's model.

    Args:
        version: that was validated.
        model_id: of its model in MLflow.
        found: what came out.

    Returns:
        The run's identity.
    """
    import mlflow

    client.connect()
    summary = found.summary
    tags = {
        "kind": KIND,
        "owner": processes.owner(),
        "model": str(version.name),
        "version": str(version.version),
        "cohort": summary["cohort"],
        "cohort_sha256": summary["cohort_sha256"],
        "label_map": json.dumps(summary["labels"], sort_keys=True),
    }
    named = runs.prefix_tags(tags | collect_lineage({})) | {"mlflow.note.content": describe_validation(found)}
    columns = ["clip_id", "label", "predicted", "trained_on"]
    # Without a source: where the clips lie on somebody's machine is nobody else's business.
    dataset = mlflow.data.from_pandas(found.predictions[columns], targets="label", name=summary["cohort"])
    with mlflow.start_run(run_name=f"validate version {version.version} · {summary['cohort']}", tags=named) as run_:
        mlflow.log_input(dataset, context=KIND)
        mlflow.log_params({"version": version.version, "cohort": summary["cohort"]})
        mlflow.log_metrics(as_metrics(replace_nan(summary)), model_id=model_id)
        with tempfile.TemporaryDirectory() as scratch:
            write_validation(Path(scratch), _without_paths(found))
            mlflow.log_artifacts(scratch, KIND)
    return str(run_.info.run_id)


def _without_paths(found: ValidationResult) -> ValidationResult:
    """What goes to MLflow: paths may hold names, and where clips lie on a machine is nobody else's business."""
    findings = [
        one | {"evidence": {key: value for key, value in one["evidence"].items() if key != "clips"}}
        for one in found.summary["findings"]
    ]
    return replace(
        found,
        summary=found.summary | {"findings": findings},
        predictions=found.predictions.drop(columns="path"),
        refused=found.refused.drop(columns="path"),
    )


def describe_validation(found: ValidationResult) -> str:
    """A validation in sentences: the accuracy as it may be quoted, what was left out, and what was found."""
    summary = found.summary
    lines = [
        f"accuracy {summary['accuracy']:.2f} (interval {format_interval(summary['interval']['accuracy'], 2)}; always "
        f"the most frequent label: {summary['most_frequent_label']:.2f}) on {summary['clips']} clips of "
        f"{summary['patients']} patients of {summary['cohort']}",
        f"{summary['refused']} clips were refused by the checks, {summary['left_out']} left out by a rule, "
        f"{summary['trained_on']} left out because the version was trained on them or their patients",
        *(f"{one['level']}: {one['sentence']}" for one in summary["findings"]),
    ]
    return "\n".join(lines)
