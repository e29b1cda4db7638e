"""features: sampled frames -> the feature set of one backbone and length."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from lus import backbones, featureset, frameset, pool, tracking
from lus.arrays import Frames
from lus.frameset import FrameSet
from lus.params import Features

CALIBRATION_FRAMES = 32
"""Frames that set the batch-norm statistics of random weights."""


def _calibration(sampled: FrameSet) -> Frames:
    """Middle frames of evenly spaced clips: (n, size, size, 3)."""
    length = max(sampled.lengths)
    rows = np.linspace(0, len(sampled.clips) - 1, min(CALIBRATION_FRAMES, len(sampled.clips))).round().astype(int)
    chosen = sampled.clips.iloc[rows]
    return np.stack(
        [
            sampled.frames(clip_id, count, length)[length // 2]
            for clip_id, count in zip(chosen["clip_id"], chosen["frames"], strict=True)
        ]
    )


def run(folder: Path, out: Path, params: Features, progress: pool.Progress | None = None) -> str:
    """Compute a feature set; its backbone and length are those in the name of `out`, as in `xception-20`.

    Args:
        folder: the frame set.
        out: made afresh.
        params: weights and batch size.

    Returns:
        A sentence on what was made.

    Raises:
        BadInput: the weights cannot be had.
    """
    backbone, length = featureset.parse_name(out.name)
    sampled = frameset.read(folder)
    calibration = _calibration(sampled) if params.weights == "random" else None
    seen = params.seen or backbones.get(backbone).size
    model = backbones.build(
        backbone, sampled.size, params.weights, seen=seen, seed=params.seed, calibration=calibration
    )
    clips = sampled.clips
    loaded = (
        sampled.frames(clip_id, count, length) for clip_id, count in zip(clips["clip_id"], clips["frames"], strict=True)
    )
    features = np.empty((len(clips), length, model.output_shape[-1]), np.float32)
    for row, one in enumerate(backbones.features(model, loaded, params.batch)):
        features[row] = one
        if progress:
            progress(row + 1, len(clips))
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    weights = out / featureset.WEIGHTS_FILE
    backbones.cnn_of(model).save_weights(weights)
    digest = tracking.sha256(weights)
    info = featureset.Info(backbone, length, features.shape[-1], sampled.size, seen, params.weights, digest)
    featureset.write(out, features, clips, info)
    return f"features {features.shape} with {params.weights} weights in {out}"
