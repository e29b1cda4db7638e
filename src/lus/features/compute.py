"""Computing a feature set: a backbone over all clips, each of which is computed once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lus.clips import frameset
from lus.clips.frameset import FrameSet
from lus.common import hashing, workers
from lus.common.params import Features
from lus.features import backbones, featureset, imagenet, openvino, parity, pretrained, quantization, weights
from lus.features.cache import open_store
from lus.features.featureset import Info
from lus.features.openvino import FeatureFunction
from lus.splits import folds

if TYPE_CHECKING:
    import keras

CODE = (backbones, weights, frameset, *frameset.DECODING)
"""The modules that make features of a clip; for another engine `openvino` too, and for 8 bits `quantization`."""


@dataclass(frozen=True)
class ComputedFeatures:
    """A feature set that was made.

    Attributes:
        info: of it.
        clips: in it.
        backbones: one for each part of the cohort, or one for all.
        computed, known: clips of all backbones whose features had to be computed, and had been before.
    """

    info: Info
    clips: int
    backbones: int
    computed: int
    known: int


def compute_feature_set(
    sampled: FrameSet, trained: Path, out: Path, params: Features, progress: workers.Progress | None = None
) -> ComputedFeatures:
    """Compute a feature set; its backbone and length are those in the name of `out`, as in `xception-20`.

    Args:
        sampled: the frames.
        trained: the folder of backbones trained on the cohort's own frames; read where the weights are such.
        out: made afresh: it appears whole, in place of an earlier one, or not at all.
        params: weights, engine and batch size.
        progress: called after each clip.

    Raises:
        BadInput: the weights cannot be had or were trained on another cohort, the CNN is to see more pixels than are
            stored, no frames were sampled for that length, or the engine gives other features than the reference.
    """
    backbone, length = featureset.parse_name(out.name)
    seen = backbones.resolve_input_size(backbone, sampled.size, params.seen)
    kind = backbones.resolve_weights(backbone, params.weights)
    sources, cut = (
        pretrained.read(trained / backbone, sampled.clips) if kind == weights.OWN else ({folds.ALL: kind}, None)
    )
    computed = 0
    with _atomic_folder(out) as partial:
        for number, (part, source) in enumerate(sources.items()):
            model = backbones.build(backbone, sampled.size, source, seen=seen, seed=params.seed)
            if part == folds.ALL:
                backbones.get_cnn(model).save_weights(partial / featureset.WEIGHTS_FILE)
            info = _describe_model(model, backbone, length, seen, kind, params.engine)
            file, share = (
                partial / featureset.features_file(part),
                workers.share_progress(progress, number, len(sources)),
            )
            computed += _compute_clips(model, sampled, info, params.batch, file, share)
        digest = hashing.sha256(partial / featureset.WEIGHTS_FILE)
        info = replace(info, weights_sha256=digest, folds=cut, parts=() if cut is None else tuple(sources))
        featureset.describe(partial, sampled.clips, info)
    clips = len(sampled.clips)
    return ComputedFeatures(info, clips, len(sources), computed, len(sources) * clips - computed)


@contextmanager
def _atomic_folder(out: Path) -> Iterator[Path]:
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


def _describe_model(model: keras.Model, backbone: str, length: int, seen: int, kind: str, engine: str) -> Info:
    """What a feature set is computed with; the digest of its weights is known once they are written."""
    size, dim = model.input_shape[1], model.output_shape[-1]
    exact = openvino.resolve_engine(engine)
    came_from = imagenet.origin(backbone, kind)
    return Info(backbone, length, dim, size, seen, kind, "", exact, weights_from=came_from)


def _compute_clips(
    model: keras.Model, sampled: FrameSet, info: Info, batch: int, file: Path, progress: workers.Progress | None
) -> int:
    """Write a backbone's features of all clips, (n, length, dim) float32, in the cohort's order.

    Those of each clip are kept as soon as they are there, so that a run that was ended goes on where it stopped.
    One clip is in memory at a time.

    Returns:
        How many clips had to be computed.

    Raises:
        BadInput: the engine gives other features than the reference.
    """
    store = open_store(_cache_key(model, info), (info.length, info.dim))
    ids, counts = sampled.clips["clip_id"].tolist(), sampled.clips["frames"].tolist()
    missing = [row for row, clip_id in enumerate(ids) if store.get(clip_id) is None]
    if missing:
        run = _run_on_engine(model, sampled, info)
        # Read as they are needed: a clip's frames come from the disk in a hundredth of the CNN's time.
        loaded = (sampled.frames(ids[row], counts[row], info.length) for row in missing)
        features = backbones.compute_features(run, loaded, batch)
        for done, (row, one) in enumerate(zip(missing, features, strict=True), start=1):
            store.put(ids[row], one)
            if progress:
                progress(len(ids) - len(missing) + done, len(ids))
    store.collect(ids, file)
    return len(missing)


def _run_on_engine(model: keras.Model, sampled: FrameSet, info: Info) -> FeatureFunction:
    """The backbone on the engine that is to compute, if that gives the reference's features."""
    reference = backbones.trace(model)
    if info.engine == "keras":
        return reference
    run, few = compile_backbone(model, info.engine), parity.choose_sample(sampled, info.length)
    expected, found = (
        next(backbones.compute_features(one, [few.frames], parity.SAMPLE_FRAMES)) for one in (reference, run)
    )
    parity.refuse_difference(
        parity.compare_features(expected, found, few.labels, few.clips), info.backbone, info.engine
    )
    return run


def compile_backbone(model: keras.Model, engine: str) -> FeatureFunction:
    """Compile a backbone for an engine of OpenVINO, in 8 bits too.

    Args:
        model: a backbone.
        engine: as `openvino.resolve_engine` gives it.
    """
    if not openvino.is_quantized(engine):
        return openvino.compile_backbone(model, engine)
    run = openvino.load_compiled(quantization.load_or_quantize(model), engine)
    return lambda frames: run(frames)[0]


def _cache_key(model: keras.Model, info: Info) -> dict[str, object]:
    """All but the clip that features depend on; the sampling and the preprocessing by the code that does them."""
    which: dict[str, object] = {
        "engine": info.engine,
        "backbone": info.backbone,
        "size": info.size,
        "seen": info.seen,
        "weights": weights.hash_weights(model),
    }
    if openvino.is_quantized(info.engine):
        which |= quantization.describe_calibration(quantization.draw_calibration_frames(model))
    return which | hashing.describe_code(*CODE, *(() if info.engine == "keras" else (openvino,)))
