"""External validations of a version, as their runs in MLflow hold them (`lus validate` logs them)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lus.tracking import client, runs

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class Validation:
    """What a version reached on a cohort that it was not trained on.

    Attributes:
        cohort: its name.
        digest: what tells its clips and their labels from all others.
        clips, patients: that count.
        trained_on: clips that do not, for the version was trained on them or their patients.
        accuracy: with its interval; an end that is not defined is None.
        most_frequent_label: the accuracy of always naming it.
        run_id: of the run with predictions, strata and refused clips.
        made: UTC, as ISO 8601 has it.
    """

    cohort: str
    digest: str
    clips: int
    patients: int
    trained_on: int
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
        clips=int(metrics["clips"]),
        patients=int(metrics["patients"]),
        trained_on=int(metrics["trained_on"]),
        accuracy=metrics["accuracy"],
        low=metrics.get("accuracy_low"),
        high=metrics.get("accuracy_high"),
        most_frequent_label=metrics["most_frequent_label"],
        run_id=str(run.info.run_id),
        made=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds"),
    )
