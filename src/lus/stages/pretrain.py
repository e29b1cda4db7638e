"""pretrain: sampled frames -> a CNN trained on LUS frames, one for each part of the cohort.

The CNN of an outer fold never sees a test clip of that fold. Within a part it learns from the first inner fold's
training patients, and its epoch is chosen by that fold's validation patients; so these remain to choose the head by.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lus.clips import frameset
from lus.clips.frameset import FrameSet
from lus.common import hashing, workers
from lus.common.arrays import Frames, IntArray
from lus.common.params import Params
from lus.features import backbones, cache, pretrained, pretraining
from lus.features.pretraining import Shots
from lus.splits import folds, protocols
from lus.splits.folds import Fold, Part
from lus.tracking import client, runs
from lus.tracking.lineage import collect_lineage

if TYPE_CHECKING:
    import keras

KNOWN = Path(".lus/weights")
"""Where trained weights are kept, addressed by all that they depend on, so that nothing is trained twice."""
CODE = (backbones, frameset, *frameset.DECODING, pretraining)
"""The modules that make the weights of frames."""


@dataclass(frozen=True)
class TrainedBackbone:
    """What became of one part.

    Attributes:
        part: its name.
        epochs: the loss and accuracy on the frames kept out, after each epoch.
        best: the epoch whose weights are kept, from 1.
        known: whether it had been trained before.
    """

    part: str
    epochs: list[dict[str, float]]
    best: int
    known: bool


def run(folder: Path, out: Path, params: Params, progress: workers.Progress | None = None) -> str:
    """Train a backbone for each part of the cohort, where its weights are to be trained.

    Args:
        folder: the frame set.
        out: made afresh: weights of each part, and `info.json`; its name is the backbone's.
        params: all of them.
        progress: called after each epoch with the epochs done and those in all, at most.

    Returns:
        A sentence on what was made.

    Raises:
        BadInput: the weights to begin with cannot be had, or a label has too few patients.
    """
    name = out.name
    weights = backbones.weights_of(name, params.features.weights)
    trained: list[TrainedBackbone] = []
    info: dict[str, Any] = {"backbone": name, "weights": weights, "parts": {}}
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if weights == backbones.TRAINED:
        sampled = frameset.read(folder)
        parts = protocols.make_protocol(params.folds).parts(sampled.clips)
        for number, part in enumerate(parts):
            report = workers.share_progress(progress, number, len(parts))
            trained.append(_train_part(sampled, part, name, out / pretrained.weights_file(part.name), params, report))
            if not trained[-1].known:
                _log(name, trained[-1], params)
        info |= {
            "cohort": pretrained.cohort_digest(sampled.clips),
            "folds": params.folds.model_dump(),
            "parts": _table(trained),
        }
    (out / pretrained.INFO_FILE).write_text(json.dumps(info, indent=2) + "\n")
    if not trained:
        return f"{name} has {weights} weights: nothing to train"
    accuracies = [one.epochs[one.best - 1]["accuracy"] for one in trained]
    return (
        f"{name} trained on {params.pretrain.start} weights for {len(trained)} parts in {out}, "
        f"{sum(one.known for one in trained)} of them known; "
        f"accuracy on single frames kept out: {min(accuracies):.2f} to {max(accuracies):.2f}"
    )


def _train_part(
    sampled: FrameSet, part: Part, name: str, file: Path, params: Params, progress: workers.Progress | None
) -> TrainedBackbone:
    """Train a backbone for a part, or take what was trained before; its weights are in `file` afterwards."""
    seen = backbones.seen_by(name, sampled.size, params.features.seen)
    backbone = backbones.build(name, sampled.size, params.pretrain.start, seen=seen, seed=params.features.seed)
    split, targets = part.inner[0], folds.targets(sampled.clips)
    known = KNOWN / key(backbone, sampled, split, targets, params)
    history = known.with_suffix(".json")
    found = _undamaged(known, history)
    if not found:
        learned, kept_out = (_shots(sampled, rows, targets) for rows in (split.train, split.test))
        labels = len(folds.label_names(sampled.clips))
        epochs = pretraining.train(backbone, labels, learned, kept_out, params.pretrain, progress)
        with cache.whole(known) as path:
            backbones.cnn_of(backbone).save_weights(path)
        with cache.whole(history) as path:
            content = {"weights_sha256": hashing.sha256(known), "epochs": [vars(epoch) for epoch in epochs]}
            path.write_text(json.dumps(content))
    shutil.copyfile(known, file)
    reached = json.loads(history.read_text())["epochs"]
    best = int(np.argmin(np.nan_to_num([epoch["loss"] for epoch in reached], nan=np.inf))) + 1
    if progress:
        progress(1, 1)
    return TrainedBackbone(part.name, reached, best, found)


def _undamaged(weights: Path, history: Path) -> bool:
    """Whether weights that were trained before are there, as they were written."""
    if not (weights.is_file() and history.is_file()):
        return False
    return bool(json.loads(history.read_text())["weights_sha256"] == hashing.sha256(weights))


def _shots(sampled: FrameSet, rows: IntArray, targets: IntArray) -> Shots:
    """The single frames of these clips."""
    length = max(sampled.lengths)
    ids, counts = sampled.clips["clip_id"].to_numpy(), sampled.clips["frames"].to_numpy()

    def read(number: int) -> Frames:
        row = rows[number // length]
        return sampled.frame(str(ids[row]), int(counts[row]), length, number % length)

    return Shots(read, np.repeat(targets[rows], length))


def key(backbone: keras.Model, sampled: FrameSet, split: Fold, targets: IntArray, params: Params) -> str:
    """A name for the weights, from all that they depend on."""
    ids = sampled.clips["clip_id"].to_numpy()
    which: dict[str, Any] = {
        "backbone": backbone.name,
        "start": backbones.digest(backbone),
        "shape": [backbone.input_shape, backbones.cnn_of(backbone).input_shape],
        "lengths": sampled.lengths,
        "clips": [[(str(ids[row]), int(targets[row])) for row in rows] for rows in (split.train, split.test)],
        "pretrain": params.pretrain.model_dump(),
    } | hashing.describe_code(*CODE)
    return f"{hashlib.sha256(json.dumps(which, sort_keys=True).encode()).hexdigest()[:32]}.weights.h5"


def _table(trained: list[TrainedBackbone]) -> dict[str, dict[str, Any]]:
    return {one.part: {"best_epoch": one.best, "epochs": one.epochs} for one in trained}


def _log(name: str, one: TrainedBackbone, params: Params) -> None:
    """Log the training of a part as an MLflow run."""
    import mlflow
    from mlflow.entities import Metric

    client.connect()
    now = int(time.time() * 1000)
    tags = {"kind": "pretrain", "backbone": name, "part": one.part} | collect_lineage({})
    with mlflow.start_run(run_name=f"{one.part} · pretrain {name}", tags=runs.prefix_tags(tags)) as run:
        mlflow.log_params(params.pretrain.model_dump() | {"backbone": name})
        values = [
            Metric(f"val_{key}", value, now, number)
            for number, epoch in enumerate(one.epochs, start=1)
            for key, value in epoch.items()
        ]
        mlflow.MlflowClient().log_batch(run.info.run_id, [*values, Metric("best_epoch", one.best, now, 0)])
