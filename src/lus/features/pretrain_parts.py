"""A backbone trained for each part of a cohort: weights that were trained before, or a training that MLflow shows."""

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
from lus.common.arrays import IntArray
from lus.common.params import Params
from lus.features import backbones, cache, imagenet, pretrained, pretraining, weights
from lus.splits import folds, protocols
from lus.splits.folds import Fold, Part
from lus.tracking import client, runs
from lus.tracking.lineage import collect_lineage

if TYPE_CHECKING:
    import keras

FOLDER = Path(".lus/weights")
"""Where trained weights are kept, addressed by all that they depend on, so that nothing is trained twice."""
CODE = (backbones, weights, frameset, *frameset.DECODING, pretraining)
"""The modules that make the weights of frames."""


@dataclass(frozen=True)
class TrainedBackbone:
    """What became of one part.

    Attributes:
        part: its name.
        epochs: the loss and accuracy on the validation frames, after each epoch.
        best: the epoch whose weights are kept, from 1.
        known: whether it had been trained before.
    """

    part: str
    epochs: list[dict[str, float]]
    best: int
    known: bool


def train_parts(
    name: str, sampled: FrameSet, out: Path, params: Params, progress: workers.Progress | None = None
) -> list[TrainedBackbone]:
    """Train a backbone for each part of the cohort; each training is an MLflow run.

    Args:
        name: of the backbone.
        sampled: the frames.
        out: a folder, for the weights of each part.
        params: all of them.
        progress: called after each epoch with the epochs done and those in all, at most.

    Raises:
        BadInput: the weights to begin with cannot be had, a label has too few patients, or a training diverges.
    """
    parts = protocols.make_protocol(params.folds).parts(sampled.clips)
    trained: list[TrainedBackbone] = []
    for number, part in enumerate(parts):
        report = workers.share_progress(progress, number, len(parts))
        trained.append(_train_part(sampled, part, name, out / pretrained.weights_file(part.name), params, report))
        if not trained[-1].known:
            _log_run(name, trained[-1], params)
    return trained


def _train_part(
    sampled: FrameSet, part: Part, name: str, file: Path, params: Params, progress: workers.Progress | None
) -> TrainedBackbone:
    """Train a backbone for a part, or take what was trained before; its weights are in `file` afterwards."""
    seen = backbones.resolve_input_size(name, sampled.size, params.features.seen)
    backbone = backbones.build(name, sampled.size, params.pretrain.start, seen=seen, seed=params.features.seed)
    split, targets = part.inner[0], folds.targets(sampled.clips)
    known = FOLDER / cache_key(backbone, sampled, split, targets, params)
    history = known.with_suffix(".json")
    found = _is_undamaged(known, history)
    if not found:
        training, validation = (pretraining.label_frames(sampled, rows, targets) for rows in (split.train, split.test))
        labels = len(folds.label_names(sampled.clips))
        epochs = pretraining.train(backbone, labels, training, validation, params.pretrain, progress)
        with cache.atomic_file(known) as path:
            backbones.get_cnn(backbone).save_weights(path)
        with cache.atomic_file(history) as path:
            content = {"weights_sha256": hashing.sha256(known), "epochs": [vars(epoch) for epoch in epochs]}
            path.write_text(json.dumps(content))
    shutil.copyfile(known, file)
    reached = json.loads(history.read_text())["epochs"]
    best = int(np.argmin(np.nan_to_num([epoch["loss"] for epoch in reached], nan=np.inf))) + 1
    if progress:
        progress(1, 1)
    return TrainedBackbone(part.name, reached, best, found)


def _is_undamaged(file: Path, history: Path) -> bool:
    """Whether weights that were trained before are there, as they were written."""
    if not (file.is_file() and history.is_file()):
        return False
    return bool(json.loads(history.read_text())["weights_sha256"] == hashing.sha256(file))


def cache_key(backbone: keras.Model, sampled: FrameSet, split: Fold, targets: IntArray, params: Params) -> str:
    """A name for the trained weights, from all that they depend on.

    Args:
        backbone: with the weights that the training begins with.
        sampled: the frames.
        split: clips to train on, and clips to choose the epoch by.
        targets: (n,) numbers of the clips' labels.
        params: all of them.
    """
    ids = sampled.clips["clip_id"].to_numpy()
    which: dict[str, Any] = {
        "backbone": backbone.name,
        "start": weights.hash_weights(backbone),
        "shape": [backbone.input_shape, backbones.get_cnn(backbone).input_shape],
        "lengths": sampled.lengths,
        "clips": [[(str(ids[row]), int(targets[row])) for row in rows] for rows in (split.train, split.test)],
        "pretrain": params.pretrain.model_dump(),
    } | hashing.describe_code(*CODE)
    return f"{hashlib.sha256(json.dumps(which, sort_keys=True).encode()).hexdigest()[:32]}.weights.h5"


def _log_run(name: str, one: TrainedBackbone, params: Params) -> None:
    """Log the training of a part as an MLflow run."""
    import mlflow
    from mlflow.entities import Metric

    client.connect()
    now = int(time.time() * 1000)
    tags = {"kind": "pretrain", "backbone": name, "part": one.part} | collect_lineage({})
    if came_from := imagenet.origin(name, params.pretrain.start):
        tags["weights_from"] = came_from
    with mlflow.start_run(run_name=f"{one.part} · pretrain {name}", tags=runs.prefix_tags(tags)) as run:
        mlflow.log_params(params.pretrain.model_dump() | {"backbone": name})
        values = [
            Metric(f"val_{key}", value, now, number)
            for number, epoch in enumerate(one.epochs, start=1)
            for key, value in epoch.items()
        ]
        mlflow.MlflowClient().log_batch(run.info.run_id, [*values, Metric("best_epoch", one.best, now, 0)])
