"""features: sampled frames -> the feature set of one backbone and length."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lus.clips import frameset, sampling
from lus.clips.frameset import FrameSet
from lus.common import hashing, workers
from lus.common.arrays import Frames, IntArray
from lus.common.params import Features
from lus.features import backbones, featureset, imagenet, openvino, pretrained
from lus.features.cache import Store
from lus.features.openvino import Run
from lus.splits import folds

if TYPE_CHECKING:
    import keras

PARITY_CLIPS, PARITY_FRAMES = 24, 2
"""Clips, and frames of each, on which another engine is compared with the reference."""
CODE = (backbones, frameset, *frameset.DECODING)
"""The modules that make features of a clip; for another engine `engines` too."""


def run(folder: Path, trained: Path, out: Path, params: Features, progress: workers.Progress | None = None) -> str:
    """Compute a feature set; its backbone and length are those in the name of `out`, as in `xception-20`.

    Args:
        folder: the frame set.
        trained: the folder in which `pretrain` wrote backbones trained on LUS frames; read where the weights are such.
        out: made afresh: it appears whole, in place of an earlier one, or not at all.
        params: weights, engine and batch size.
        progress: called after each clip.

    Returns:
        A sentence on what was made.

    Raises:
        BadInput: the weights cannot be had or were trained on another cohort, the CNN is to see more pixels than are
            stored, no frames were sampled for that length, or the engine gives other features than the reference.
    """
    backbone, length = featureset.parse_name(out.name)
    sampled = frameset.read(folder)
    seen = backbones.seen_by(backbone, sampled.size, params.seen)
    kind = backbones.weights_of(backbone, params.weights)
    weights, cut = (
        pretrained.read(trained / backbone, sampled.clips) if kind == backbones.TRAINED else ({folds.ALL: kind}, None)
    )
    computed = 0
    with _whole(out) as partial:
        for number, (part, source) in enumerate(weights.items()):
            model = backbones.build(backbone, sampled.size, source, seen=seen, seed=params.seed)
            if part == folds.ALL:
                backbones.cnn_of(model).save_weights(partial / featureset.WEIGHTS_FILE)
            info = _info(model, backbone, length, seen, kind, params.engine)
            file = partial / featureset.features_file(part)
            computed += compute(
                model, sampled, info, params.batch, file, workers.share_progress(progress, number, len(weights))
            )
        digest = hashing.sha256(partial / featureset.WEIGHTS_FILE)
        parts = () if cut is None else tuple(weights)
        featureset.describe(partial, sampled.clips, replace(info, weights_sha256=digest, folds=cut, parts=parts))
    of_parts = "" if cut is None else f" for each of {len(weights)} parts"
    known = len(weights) * len(sampled.clips) - computed
    named = f"{kind} weights" + (f" ({info.weights_from})" if info.weights_from else "")
    return (
        f"features {(len(sampled.clips), length, info.dim)}{of_parts} with {named} on {info.engine} in {out}; "
        f"{computed} clips computed, {known} known"
    )


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Make a folder so that it is there whole or not at all: gives one beside it, which then takes its place."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _info(model: keras.Model, backbone: str, length: int, seen: int, weights: str, engine: str) -> featureset.Info:
    """What a feature set is computed with; the digest of its weights is known once they are written."""
    size, dim = model.input_shape[1], model.output_shape[-1]
    came_from = imagenet.origin(backbone, weights)
    return featureset.Info(
        backbone, length, dim, size, seen, weights, "", openvino.exact(engine), weights_from=came_from
    )


def compute(
    model: keras.Model,
    sampled: FrameSet,
    info: featureset.Info,
    batch: int,
    file: Path,
    progress: workers.Progress | None = None,
) -> int:
    """Write a backbone's features of all clips, (n, length, dim) float32, in the cohort's order.

    Those of each clip are kept as soon as they are there, so that a run that was ended goes on where it stopped.
    One clip is in memory at a time.

    Args:
        model: the backbone.
        sampled: the frames.
        info: of the feature set; its engine is the one that computes.
        batch: frames of one call of the backbone.
        file: to write.
        progress: called after each clip with (clips known and computed, clips in all).

    Returns:
        How many clips had to be computed.

    Raises:
        BadInput: the engine gives other features than the reference.
    """
    store = Store.of(_key(model, info), (info.length, info.dim))
    ids, counts = sampled.clips["clip_id"].tolist(), sampled.clips["frames"].tolist()
    missing = [row for row, clip_id in enumerate(ids) if store.get(clip_id) is None]
    if missing:
        run = _on_engine(model, sampled, info)
        # Read as they are needed: a clip's frames come from the disk in a hundredth of the CNN's time.
        loaded = (sampled.frames(ids[row], counts[row], info.length) for row in missing)
        for done, (row, one) in enumerate(zip(missing, backbones.features(run, loaded, batch), strict=True), start=1):
            store.put(ids[row], one)
            if progress:
                progress(len(ids) - len(missing) + done, len(ids))
    store.collect(ids, file)
    return len(missing)


def _on_engine(model: keras.Model, sampled: FrameSet, info: featureset.Info) -> Run:
    """The backbone on the engine that is to compute, if that gives the reference's features."""
    reference = backbones.traced(model)
    if info.engine == "keras":
        return reference
    run, few = openvino.openvino(model, info.engine), shown(sampled, info.length)
    expected, found = (next(backbones.features(one, [few.frames], PARITY_FRAMES)) for one in (reference, run))
    openvino.refuse_difference(openvino.parity(expected, found, few.labels, few.clips), info.backbone, info.engine)
    return run


@dataclass(frozen=True)
class ParitySample:
    """What two engines are compared on.

    Attributes:
        frames: (n, size, size, 3) uint8.
        labels: (n,) of the clips that they are from.
        clips: (n,) numbers of these clips.
    """

    frames: Frames
    labels: IntArray
    clips: IntArray


def shown(sampled: FrameSet, length: int) -> ParitySample:
    """A few frames of a few clips, spread evenly over the cohort and over each clip."""
    clips = sampled.clips
    rows = np.unique(np.linspace(0, len(clips) - 1, PARITY_CLIPS).round().astype(int))
    places = sampling.sample_indices(length, min(PARITY_FRAMES, length))
    chosen = clips.iloc[rows]
    frames = [
        sampled.frames(clip_id, int(count), length)[places]
        for clip_id, count in zip(chosen["clip_id"], chosen["frames"], strict=True)
    ]
    return ParitySample(
        np.concatenate(frames), *(np.repeat(one, len(places)) for one in (folds.targets(clips)[rows], rows))
    )


def _key(model: keras.Model, info: featureset.Info) -> dict[str, object]:
    """All but the clip that features depend on; the sampling and the preprocessing by the code that does them."""
    which: dict[str, object] = {
        "engine": info.engine,
        "backbone": info.backbone,
        "size": info.size,
        "seen": info.seen,
        "weights": backbones.digest(model),
    }
    return which | hashing.describe_code(*CODE, *(() if info.engine == "keras" else (openvino,)))
