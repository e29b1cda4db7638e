"""features: sampled frames -> the feature set of one backbone and length."""

from __future__ import annotations

from pathlib import Path

from lus.clips import frameset
from lus.common import workers
from lus.common.params import Features
from lus.features import compute


def run(folder: Path, trained: Path, out: Path, params: Features, progress: workers.Progress | None = None) -> str:
    """Compute a feature set; its backbone and length are those in the name of `out`, as in `xception-20`.

    Args:
        folder: the frame set.
        trained: the folder in which `pretrain` wrote backbones trained on the cohort's own frames.
        out: made afresh, as a whole.
        params: weights, engine and batch size.
        progress: called after each clip.

    Returns:
        A sentence on what was made.

    Raises:
        BadInput: what `compute.compute_feature_set` refuses.
    """
    made = compute.compute_feature_set(frameset.read(folder), trained, out, params, progress)
    info = made.info
    of_parts = "" if info.folds is None else f" for each of {made.backbones} parts"
    named = f"{info.weights} weights" + (f" ({info.weights_from})" if info.weights_from else "")
    return (
        f"features {(made.clips, info.length, info.dim)}{of_parts} with {named} on {info.engine} in "
        f"{out}; {made.computed} clips computed, {made.known} known"
    )
