"""register: the chosen feature set and head -> a trained classifier, registered as the challenger."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lus.clips import frameset
from lus.clips.frameset import FrameSet
from lus.common.arrays import Frames
from lus.common.errors import BadInput
from lus.common.params import Register
from lus.common.progress import Steps, no_progress
from lus.evaluation import files
from lus.evaluation.mlflow_run import log_run
from lus.evaluation.report import format_interval
from lus.features import featureset
from lus.features.featureset import FeatureSet
from lus.inference.metadata import ModelMetadata
from lus.registry import aliases, model_card, models, registration
from lus.search import trials_file
from lus.tracking import client, runs
from lus.tracking.lineage import collect_lineage

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


LEVELS = ("leak", "warning", "note")
READ = (files.CHOICE_FILE, files.METRICS_FILE, files.AUDIT_FILE)
"""Files of an evaluation."""


def _tags(summary: dict[str, Any], audit: dict[str, Any], lineage: dict[str, str]) -> dict[str, str]:
    levels = [one["level"] for one in audit["findings"]]
    counts = [f"{levels.count(level)} {level}{'' if levels.count(level) == 1 else 's'}" for level in LEVELS]
    return {
        "audit": ", ".join(counts),
        "protocol": summary["protocol"],
        "leaking": str(summary["leaking"]).lower(),
        "accuracy": f"{summary['accuracy']:.4f}",
        "accuracy_interval": format_interval(summary["interval"]["accuracy"], 4),
        "balanced_accuracy": f"{summary['balanced_accuracy']:.4f}",
        "patients": str(summary["patients"]),
    } | lineage


def _lineage(build: Path, folder: Path, feature_set: str) -> dict[str, str]:
    """What the version is made from: the commit, and the hashes of all files that have a part in it."""
    return collect_lineage(
        {
            "clips": folder / featureset.CLIPS_FILE,
            "features": folder / featureset.FEATURES_FILE,
            "backbone": folder / featureset.WEIGHTS_FILE,
            "trials": build / "search" / feature_set / trials_file.TRIALS_FILE,
            "params": Path("params.yaml"),
            "dvc_lock": Path("dvc.lock"),
            "environment": Path("requirements/pipeline.txt"),
        }
    ) | files.identity_tag(build / "evaluation")


def _example(sampled: FrameSet, length: int) -> Frames:
    """The frames of each label's first clip: (labels, length, size, size, 3) uint8."""
    firsts = sampled.clips.drop_duplicates("label").itertuples()
    return np.stack([sampled.frames(str(one.clip_id), int(str(one.frames)), length) for one in firsts])


@dataclass(frozen=True)
class _Result:
    """What is to be registered, before it is trained.

    Attributes:
        choice, summary, audit: `choice.json`, `metrics.json` and `audit.json` of the evaluation.
        data: the chosen feature set.
        sampled: the frames of its clips.
        lineage: what it is made from.
        digest: tells it from all others.
    """

    choice: dict[str, Any]
    summary: dict[str, Any]
    audit: dict[str, Any]
    data: FeatureSet
    sampled: FrameSet
    lineage: dict[str, str]
    digest: str


def _read(build: Path, seed: int) -> _Result:
    evaluation = build / "evaluation"
    lacking = [one for one in files.IDENTIFYING if not (evaluation / one).is_file()]
    if lacking:
        raise BadInput(f"{evaluation}: has no {', '.join(lacking)}; `dvc repro evaluate` makes it")
    choice, summary, audit = (json.loads((evaluation / name).read_text()) for name in READ)
    folder = build / "features" / choice["feature_set"]
    data, sampled = featureset.read(folder), frameset.read(build / "frames")
    lineage = _lineage(build, folder, choice["feature_set"]) | data.info.lineage
    digest = registration.digest(data, lineage, sampled.limits, seed)
    return _Result(choice, summary, audit, data, sampled, lineage, digest)


def run(
    build: Path,
    out: Path,
    params: Register,
    steps: Steps = no_progress,
    refuse_changes: Callable[[], None] = lambda: None,
    anew: bool = False,
) -> str:
    """Train the chosen classifier on the whole cohort and register it, where no version is of the same result.

    Args:
        build: the folder in which the stages before wrote `evaluation`, `features`, `search` and `frames`.
        out: a JSON file: name, version, run.
        params: the name in the registry.
        steps: told what is under way.
        refuse_changes: called just before anything is written to MLflow, where it stays.
        anew: register another version, also where there is one of the same evaluation, features and code.

    Returns:
        A sentence with the version, which is the challenger.

    Raises:
        BadInput: nothing has been evaluated yet, MLflow does not answer, or something was changed meanwhile.
    """
    client.connect()
    found = _read(build, params.seed)
    version = None if anew else models.find_version_by_result(params.name, found.digest)
    if version is not None:
        refuse_changes()
        aliases.make_challenger(version)
        said = (
            f"{params.name} version {version.version} is of the same evaluation, features and code: nothing new was "
            f"registered, alias {aliases.CHALLENGER}; `lus register --anew` registers another"
        )
    else:
        version = _register(build, params, found, steps, refuse_changes)
        said = (
            f"{params.name} version {version.version} registered, alias {aliases.CHALLENGER}; "
            "`lus promote` puts it into production"
        )
    written = {"name": params.name, "version": str(version.version), "run": str(version.run_id)}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(written, indent=2) + "\n")
    return said


def _register(
    build: Path, params: Register, found: _Result, steps: Steps, refuse_changes: Callable[[], None]
) -> ModelVersion:
    import mlflow

    choice, lineage, clips = found.choice, found.lineage, found.sampled.clips
    steps(f"training {choice['feature_set']} on all clips")
    model = registration.train(found.data, choice, params.seed)
    length, size = model.input_shape[1:3]
    limits = found.sampled.limits
    metadata = ModelMetadata(tuple(choice["labels"]), length, size, limits, choice["feature_set"], lineage)
    beside = (Path("params.yaml"), Path("dvc.lock"), found.data.folder / featureset.CLIPS_FILE)
    refuse_changes()
    # The model joins the run that holds its figures. Where DVC brought the evaluation from its cache, this
    # tracking store may never have seen that run: then it is logged from the evaluation's files.
    known = runs.find_run(kind="evaluation", evaluation_sha256=lineage["evaluation_sha256"])
    run_id = known.info.run_id if known else log_run(build, build / "evaluation")
    with mlflow.start_run(run_id=run_id):
        mlflow.set_tags(runs.prefix_tags(lineage))
        return models.register(
            params.name,
            model,
            metadata,
            _tags(found.summary, found.audit, lineage) | {models.RESULT_TAG: found.digest},
            _example(found.sampled, length),
            files=[one for one in beside if one.is_file()],
            description=model_card.write(metadata, found.summary, found.audit, clips),
            steps=steps,
        )
