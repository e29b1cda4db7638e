"""Writing to MLflow's runs of a search: new runs, parameters, metrics and tags, and the clips as a dataset."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lus.features import featureset
from lus.features.featureset import FeatureSet
from lus.splits.folds import Part
from lus.tracking import client

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

ATTEMPTS = 3
"""Times that something is logged before MLflow's refusal counts."""


def create_run(name: str, tags: Mapping[str, str]) -> str:
    """A new run in the project's experiment; returns its identity."""
    experiment = client.ensure_experiment(client.EXPERIMENT)
    return str(client.get_client().create_run(experiment, run_name=name, tags=dict(tags)).info.run_id)


def log_to_run(
    run_id: str,
    params: Mapping[str, Any] | None = None,
    metrics: Sequence[tuple[str, float, int]] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log in one call: parameters, metrics as (name, value, step), tags."""
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    now = int(time.time() * 1000)
    for left in reversed(range(ATTEMPTS)):
        try:
            client.get_client().log_batch(
                run_id,
                metrics=[Metric(name, value, now, step) for name, value, step in metrics],
                params=[Param(name, str(value)) for name, value in (params or {}).items()],
                tags=[RunTag(name, value) for name, value in (tags or {}).items()],
            )
            return
        except MlflowException:
            # Two processes that write the same key of one run at once: for the later one it is there by now.
            if not left:
                raise


def as_dataset(data: FeatureSet, part: Part) -> DatasetInput:
    """The clips that a study learns from and chooses by, as MLflow's kind of dataset."""
    import mlflow
    from mlflow.entities import DatasetInput, InputTag

    table = data.clips.iloc[part.train].reset_index(drop=True)
    source = str(data.folder / featureset.CLIPS_FILE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that whole numbers cannot be missing: none is
        dataset = mlflow.data.from_pandas(table, source=source, targets="label", name=f"clips of {part.name}")
        entity = dataset._to_mlflow_entity()
    return DatasetInput(dataset=entity, tags=[InputTag("mlflow.data.context", "search")])
