"""A result registered as the challenger: trained on all clips and kept as a version, once for each result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lus.clips.frameset import FrameSet
from lus.common.params import Register
from lus.common.progress import Steps, no_progress
from lus.features import featureset
from lus.features.featureset import FeatureSet
from lus.heads.model import HeadParams
from lus.inference.metadata import ModelMetadata
from lus.registry import aliases, model_card, models, refit, result_identity
from lus.registry.version_summary import WEIGHTS_TAG, VersionFacts
from lus.tracking import runs

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Result:
    """What is to be registered, before it is trained.

    Attributes:
        choice, summary, details, audit: `choice.json`, `metrics.json`, `figures.json` and `audit.json` of the
            evaluation.
        strata: rows of `strata.csv` of the evaluation.
        tags: what a version says of its evaluation.
        data: the chosen feature set.
        sampled: the frames of its clips.
        lineage: what it is made from: the commit, and the hashes of all files that have a part in it.
        log_evaluation: logs the evaluation as a run and gives its identity; called where this store has none of it.
    """

    choice: Mapping[str, Any]
    summary: Mapping[str, Any]
    details: Mapping[str, Any]
    audit: Mapping[str, Any]
    strata: Sequence[Mapping[str, Any]]
    tags: Mapping[str, str]
    data: FeatureSet
    sampled: FrameSet
    lineage: dict[str, str]
    log_evaluation: Callable[[], str]


def register_once(
    result: Result,
    params: Register,
    steps: Steps = no_progress,
    refuse_changes: Callable[[], None] = lambda: None,
    anew: bool = False,
) -> tuple[ModelVersion, bool]:
    """Make the version of a result the challenger; where there is none, train and register it.

    Args:
        result: to be registered.
        params: the name in the registry, and the seed of the training.
        steps: told what is under way.
        refuse_changes: called just before anything is written to MLflow, where it stays.
        anew: register another version, also where there is one of the same evaluation, features and code.

    Returns:
        The version, which is the challenger, and whether it is a new one.

    Raises:
        BadInput: MLflow does not answer, or something was changed meanwhile.
    """
    digest = result_identity.digest_trained(result.data, result.lineage, result.sampled.limits, params.seed)
    version = None if anew else models.find_version_by_result(params.name, digest)
    if version is None:
        return _train_and_register(result, digest, params, steps, refuse_changes), True
    refuse_changes()
    aliases.make_challenger(version)
    return version, False


def _train_and_register(
    result: Result, digest: str, params: Register, steps: Steps, refuse_changes: Callable[[], None]
) -> ModelVersion:
    import mlflow

    from lus import phantom  # not part of a Bento

    choice, lineage, limits = result.choice, result.lineage, result.sampled.limits
    steps(f"training {choice['feature_set']} on all clips")
    model = refit.train_on_all_clips(result.data, choice, params.seed)
    length, size = model.input_shape[1:3]
    metadata = ModelMetadata(tuple(choice["labels"]), length, size, limits, choice["feature_set"], lineage)
    beside = (Path("params.yaml"), Path("dvc.lock"), result.data.folder / featureset.CLIPS_FILE)
    refuse_changes()
    # The model joins the run that holds its figures. Where DVC brought the evaluation from its cache, this
    # tracking store may never have seen that run: then it is logged from the evaluation's files.
    known = runs.find_run(kind="evaluation", evaluation_sha256=lineage["evaluation_sha256"])
    run_id = known.info.run_id if known else result.log_evaluation()
    with mlflow.start_run(run_id=run_id):
        mlflow.set_tags(runs.prefix_tags(lineage))
        return models.register(
            params.name,
            model,
            metadata,
            dict(result.tags) | lineage | {models.RESULT_TAG: digest},
            phantom.draw_example_clips(length, size),
            files=[one for one in beside if one.is_file()],
            description=model_card.write(
                metadata,
                HeadParams.from_dict(choice["head"]),
                VersionFacts(
                    lineage[WEIGHTS_TAG],
                    metadata.labels,
                    result.sampled.clips,
                    result.summary,
                    result.details,
                    result.audit,
                ),
                result.strata,
            ),
            steps=steps,
        )
