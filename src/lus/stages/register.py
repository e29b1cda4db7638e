"""register: the chosen feature set and head -> a trained classifier, registered as the challenger."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lus import (
    backbones,
    featureset,
    folds,
    frameset,
    keras_model,
    modelcard,
    registry,
    reports,
    tracking,
    training,
    trials,
)
from lus.arrays import Frames
from lus.errors import BadInput
from lus.frameset import FrameSet
from lus.heads import HeadParams
from lus.metadata import ModelMetadata
from lus.params import Register
from lus.progress import Steps, unseen

if TYPE_CHECKING:
    import keras


LEVELS = ("leak", "warning", "note")
READ = (reports.CHOICE_FILE, reports.METRICS_FILE, reports.AUDIT_FILE)
"""Files of an evaluation."""


def _train(folder: Path, choice: dict[str, Any], seed: int) -> keras.Model:
    """The classifier, its head trained on all clips of the cohort with the chosen parameters."""
    data = featureset.read(folder)
    features = data.of(folds.ALL)
    trained = training.train(
        HeadParams.from_dict(choice["head"]),
        features,
        folds.targets(data.clips),
        len(choice["labels"]),
        epochs=choice["epochs"],
        seed=seed,
    )
    backbone = backbones.build(
        data.info.backbone, data.info.size, folder / featureset.WEIGHTS_FILE, seen=data.info.seen
    )
    head = trained.model(data.info.length, choice["temperature"])
    return keras_model.assemble(backbone, head, data.info.length)


def _tags(summary: dict[str, Any], audit: dict[str, Any], lineage: dict[str, str]) -> dict[str, str]:
    levels = [one["level"] for one in audit["findings"]]
    counts = [f"{levels.count(level)} {level}{'' if levels.count(level) == 1 else 's'}" for level in LEVELS]
    return {
        "audit": ", ".join(counts),
        "protocol": summary["protocol"],
        "leaking": str(summary["leaking"]).lower(),
        "accuracy": f"{summary['accuracy']:.4f}",
        "accuracy_interval": reports.between(summary["interval"]["accuracy"], 4),
        "balanced_accuracy": f"{summary['balanced_accuracy']:.4f}",
        "patients": str(summary["patients"]),
    } | lineage


def _lineage(build: Path, folder: Path, feature_set: str) -> dict[str, str]:
    """What the version is made from: the commit, and the hashes of all files that have a part in it."""
    return tracking.lineage(
        {
            "clips": folder / featureset.CLIPS_FILE,
            "features": folder / featureset.FEATURES_FILE,
            "backbone": folder / featureset.WEIGHTS_FILE,
            "trials": build / "search" / feature_set / trials.TRIALS_FILE,
            "params": Path("params.yaml"),
            "dvc_lock": Path("dvc.lock"),
            "environment": Path("requirements/pipeline.txt"),
        }
    ) | reports.identity(build / "evaluation")


def _example(sampled: FrameSet, length: int) -> Frames:
    """The frames of each label's first clip: (labels, length, size, size, 3) uint8."""
    firsts = sampled.clips.drop_duplicates("label").itertuples()
    return np.stack([sampled.frames(str(one.clip_id), int(str(one.frames)), length) for one in firsts])


def run(
    build: Path,
    out: Path,
    params: Register,
    steps: Steps = unseen,
    refuse_changes: Callable[[], None] = lambda: None,
) -> str:
    """Train the chosen classifier on the whole cohort and register it.

    Args:
        build: the folder in which the stages before wrote `evaluation`, `features`, `search` and `frames`.
        out: a JSON file: name, version, run.
        params: the name in the registry.
        steps: told what is under way.
        refuse_changes: called just before anything is written to MLflow, where it stays.

    Returns:
        A sentence with the version.

    Raises:
        BadInput: nothing has been evaluated yet, MLflow does not answer, or something was changed meanwhile.
    """
    import mlflow

    evaluation = build / "evaluation"
    lacking = [one for one in reports.IDENTIFYING if not (evaluation / one).is_file()]
    if lacking:
        raise BadInput(f"{evaluation}: has no {', '.join(lacking)}; `dvc repro evaluate` makes it")
    choice, summary, audit = (json.loads((evaluation / name).read_text()) for name in READ)
    tracking.connect()
    folder = build / "features" / choice["feature_set"]
    steps(f"training {choice['feature_set']} on all clips")
    model = _train(folder, choice, params.seed)
    sampled = frameset.read(build / "frames")
    length, size = model.input_shape[1:3]
    lineage = _lineage(build, folder, choice["feature_set"])
    metadata = ModelMetadata(tuple(choice["labels"]), length, size, sampled.limits, choice["feature_set"], lineage)
    text = modelcard.write(metadata, summary, audit, sampled.clips)
    files = [one for one in (Path("params.yaml"), Path("dvc.lock"), folder / featureset.CLIPS_FILE) if one.is_file()]
    refuse_changes()
    # The model joins the run that holds its figures. Where DVC brought the evaluation from its cache, this
    # tracking store may never have seen that run: then it is logged from the evaluation's files.
    known = tracking.find_run(kind="evaluation", evaluation_sha256=lineage["evaluation_sha256"])
    run_id = known.info.run_id if known else reports.log(build, evaluation)
    with mlflow.start_run(run_id=run_id):
        mlflow.set_tags(tracking.prefixed(lineage))
        version = registry.register(
            params.name,
            model,
            metadata,
            _tags(summary, audit, lineage),
            _example(sampled, length),
            files=files,
            description=text,
            steps=steps,
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"name": params.name, "version": str(version.version), "run": run_id}, indent=2) + "\n")
    return (
        f"{params.name} version {version.version} registered, alias {registry.CHALLENGER}; "
        "`lus promote` puts it into production"
    )
