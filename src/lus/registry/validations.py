"""External validations of a version, as their runs in MLflow hold them (`lus validate` logs them)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lus.tracking import client, runs

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class Validation:
    """What a version reached on a cohort that it was not trained on.

    Attributes:
        cohort: its name.
        digest: what tells its clips and their labels from all others.
        label_map: which of the version's labels stand for each of the cohort's, as JSON.
        clips, patients: that count.
        trained_on: clips that do not, for the version was trained on them or their patients.
        training_known: whether it is known which clips the version was trained on.
        not_compared: training clips of which copies were not looked for.
        accuracy: with its interval; an end that is not defined is None.
        most_frequent_label: the accuracy of always naming it.
        run_id: of the run with predictions, strata and refused clips.
        made: UTC, as ISO 8601 has it.
    """

    cohort: str
    digest: str
    label_map: str
    clips: int
    patients: int
    trained_on: int
    training_known: bool
    not_compared: int
    accuracy: float
    low: float | None
    high: float | None
    most_frequent_label: float
    run_id: str
    made: str


def find_validations(name: str, version: str) -> list[Validation]:
    """The newest validation of a version on each cohort, by the cohorts' names.

    Args:
        name: of the registered model.
        version: its number.
    """
    client.connect()
    tags = {"kind": "validation", "model": name, "version": version}
    conditions = [f"tags.`lus.{key}` = '{value}'" for key, value in tags.items()]
    found = runs.search_runs(" and ".join([*conditions, "attributes.status = 'FINISHED'"]))
    newest: dict[str, Validation] = {}
    for run in found:
        one = _as_validation(run)
        newest.setdefault(one.cohort, one)
    return [newest[cohort] for cohort in sorted(newest)]


def _as_validation(run: Run) -> Validation:
    tags, metrics = run.data.tags, run.data.metrics
    return Validation(
        cohort=tags["lus.cohort"],
        digest=tags["lus.cohort_sha256"],
        label_map=tags["lus.label_map"],
        clips=int(metrics["clips"]),
        patients=int(metrics["patients"]),
        trained_on=int(metrics["trained_on"]),
        training_known=bool(metrics["training_known"]),
        not_compared=int(metrics["not_compared"]),
        accuracy=metrics["accuracy"],
        low=metrics.get("accuracy_low"),
        high=metrics.get("accuracy_high"),
        most_frequent_label=metrics["most_frequent_label"],
        run_id=str(run.info.run_id),
        made=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds"),
    )


@dataclass(frozen=True)
class ValidatedVersion:
    """A version on one cohort.

    Attributes:
        validation: what it reached.
        predictions: of the clips that count, a row each: clip_id, patient, group, label, predicted.
    """

    validation: Validation
    predictions: pd.DataFrame


def read_validations(name: str, version: str, cohorts: Sequence[str]) -> dict[str, ValidatedVersion]:
    """The newest validation on each of these cohorts, where there is one, with its predictions."""
    wanted = [one for one in find_validations(name, version) if one.cohort in cohorts] if cohorts else []
    return {one.cohort: ValidatedVersion(one, _read_predictions(one)) for one in wanted}


def _read_predictions(one: Validation) -> pd.DataFrame:
    import mlflow

    with tempfile.TemporaryDirectory() as scratch:
        file = mlflow.artifacts.download_artifacts(
            run_id=one.run_id, artifact_path="validation/predictions.csv", dst_path=scratch
        )
        table = pd.read_csv(
            Path(file),
            dtype=dict.fromkeys(("clip_id", "patient", "group", "label", "predicted"), str),
            keep_default_na=False,
        )
    counted = (table["trained_on"] == "") & (table["predicted"] != "")
    return table[counted].reset_index(drop=True)
