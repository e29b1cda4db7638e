"""features: sampled frames -> the feature set of one backbone and length."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lus import backbones, clip, engines, featureset, folds, frameset, pool, tracking
from lus.arrays import FloatArray, Frames
from lus.engines import Run
from lus.errors import BadInput
from lus.frameset import FrameSet
from lus.params import Features
from lus.store import Store

if TYPE_CHECKING:
    import keras

PARITY_CLIPS, PARITY_FRAMES = 12, 4
"""Clips, and frames of each, on which another engine is compared with the reference."""
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
    on_engine, engine = _on_engine(model, params.engine)
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / featureset.WEIGHTS_FILE
        backbones.cnn_of(model).save_weights(weights)
        digest = tracking.sha256(weights)
        dim = model.output_shape[-1]
        info = featureset.Info(backbone, length, dim, sampled.size, seen, params.weights, digest, engine)
        features, computed = _features(model, on_engine, sampled, info, params.batch, progress)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        shutil.move(weights, out / featureset.WEIGHTS_FILE)
    featureset.write(out, features, sampled.clips, info)
    known = len(features) - computed
    return (
        f"features {features.shape} with {params.weights} weights on {engine} in {out}; {computed} clips computed, "
        f"{known} known"
    )


def _on_engine(model: keras.Model, engine: str) -> tuple[Run, str]:
    """A backbone on an engine, and the engine's name with what it computes in."""
    if engine == "keras":
        return backbones.traced(model), engine
    kind, _, wanted = engine.partition("-")
    run, precision = engines.openvino(model, wanted)
    return run, f"{kind}-{precision}"


def _features(
    model: keras.Model, run: Run, sampled: FrameSet, info: featureset.Info, batch: int, progress: pool.Progress | None
) -> tuple[FloatArray, int]:
    """The features of all clips, (n, length, dim) float32, and how many of them had to be computed.

    Each clip's are kept as soon as they are there, so that a run that was ended goes on where it stopped.
    """
    store = Store.of(_key(model, info), (info.length, info.dim))
    clips = sampled.clips
    features = np.empty((len(clips), info.length, info.dim), np.float32)
    missing = []
    for row, clip_id in enumerate(clips["clip_id"]):
        known = store.get(clip_id)
        if known is None:
            missing.append(row)
        else:
            features[row] = known
    if missing and info.engine != "keras":
        _hold_to_reference(model, run, sampled, info)
    counts = clips["frames"].to_numpy()
    ids = clips["clip_id"].to_numpy()
    loaded = (sampled.frames(ids[row], int(counts[row]), info.length) for row in missing)
    for done, (row, one) in enumerate(zip(missing, backbones.features(run, loaded, batch), strict=True), start=1):
        features[row] = one
        store.put(ids[row], one)
        if progress:
            progress(len(clips) - len(missing) + done, len(clips))
    return features, len(missing)


def _hold_to_reference(model: keras.Model, run: Run, sampled: FrameSet, info: featureset.Info) -> None:
    """Compare an engine with Keras on frames of clips spread evenly over the cohort, and refuse what differs."""
    clips = sampled.clips
    rows = np.unique(np.linspace(0, len(clips) - 1, PARITY_CLIPS).round().astype(int))
    places = clip.sample_indices(info.length, min(PARITY_FRAMES, info.length))
    frames = np.concatenate(
        [
            sampled.frames(clips["clip_id"].iloc[row], int(clips["frames"].iloc[row]), info.length)[places]
            for row in rows
        ]
    )
    labels = np.repeat(folds.targets(clips)[rows], len(places))
    if len(np.unique(labels)) < 2:
        raise BadInput("features.engine: clips of one label cannot be used to compare two engines; set it to keras")
    reference, other = (
        next(backbones.features(one, [frames], PARITY_FRAMES)) for one in (backbones.traced(model), run)
    )
    engines.refuse_difference(engines.parity(reference, other, labels), info.backbone, info.engine)


def _key(model: keras.Model, info: featureset.Info) -> dict[str, object]:
    """All but the clip that features depend on; the sampling and the preprocessing by the code that does them."""
    import keras

    code = [tracking.sha256(Path(module.__file__ or "")) for module in (backbones, clip)]
    which: dict[str, object] = {
        "engine": info.engine,
        "backbone": info.backbone,
        "size": info.size,
        "seen": info.seen,
        "weights": backbones.digest(model),
    }
    return which | {"code": code, "keras": keras.__version__, "backend": keras.backend.backend()}
