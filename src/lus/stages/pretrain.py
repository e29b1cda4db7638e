"""pretrain: sampled frames -> a CNN trained on the cohort's own frames, one for each part of the cohort.

The CNN of an outer fold never sees a test clip of that fold. Within a part it learns from the first inner fold's
training patients, and its epoch is chosen by that fold's validation patients; so these remain to choose the head by.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lus.clips import frameset
from lus.common import workers
from lus.common.params import Params
from lus.features import backbones, pretrain_parts, pretrained, weights


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
    kind = backbones.resolve_weights(name, params.features.weights)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    info = {"backbone": name, "weights": kind, "parts": {}}
    if kind != weights.OWN:
        pretrained.write_info(out, info)
        return f"{name} has {kind} weights: nothing to train"
    sampled = frameset.read(folder)
    trained = pretrain_parts.train_parts(name, sampled, out, params, progress)
    info["parts"] = {one.part: {"best_epoch": one.best, "epochs": one.epochs} for one in trained}
    info |= {"cohort": pretrained.cohort_digest(sampled.clips), "folds": params.folds.model_dump()}
    pretrained.write_info(out, info)
    accuracies = [one.epochs[one.best - 1]["accuracy"] for one in trained]
    return (
        f"{name} trained on {params.pretrain.start} weights for {len(trained)} parts in {out}, "
        f"{sum(one.known for one in trained)} of them known; "
        f"accuracy on single frames kept out: {min(accuracies):.2f} to {max(accuracies):.2f}"
    )
