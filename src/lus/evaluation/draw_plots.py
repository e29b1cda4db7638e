"""The plots of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lus.clips.frameset import FrameSet
from lus.evaluation.cross_validation import CrossValidationResult
from lus.evaluation.methods import MODEL
from lus.evaluation.results import TestedClips
from lus.metrics import plots
from lus.metrics.plots import Example
from lus.metrics.scores import confusion, most_wrong, reliability
from lus.splits import folds

WRONG = 12
"""Of the clips that are most wrong so many are drawn."""


def draw_plots(found: CrossValidationResult, tested: TestedClips, methods: Mapping[str, Any], out: Path) -> None:
    """Draw everything but the examples.

    Args:
        found: what the folds gave.
        tested: the clips that they test.
        methods: what each method reaches, as `figures.json` holds it.
        out: the folder.
    """
    names, targets, given = tested.names, tested.targets, tested.given
    matrix = confusion(targets, given.argmax(axis=1).astype(np.int64), len(names))
    plots.confusion(matrix, names, out / "confusion.png")
    plots.roc(targets, given, names, out / "roc.png")
    both = {"as trained": found.uncalibrated[tested.rows], "with temperature": given}
    series = {name: reliability(targets, one) for name, one in both.items()}
    plots.reliability(series, out / "reliability.png")
    wrong = most_wrong(targets, given, WRONG)
    paths = [str(path) for path in tested.clips["path"].iloc[wrong]]
    plots.most_wrong(paths, targets[wrong], given[wrong], names, out / "most-wrong.png")
    plots.methods(methods, out / "baselines.png")


def draw_examples(clips: pd.DataFrame, found: CrossValidationResult, frames: FrameSet, length: int, path: Path) -> None:
    """Draw for each label its tested clip that was called best and the one that was called worst.

    Args:
        clips: of the cohort.
        found: what the folds gave.
        frames: of the clips.
        length: of the sequences, of which the middle frame is drawn.
        path: an image file.
    """
    plots.examples(_examples(clips, found, frames, length), folds.label_names(clips), path)


def _examples(clips: pd.DataFrame, found: CrossValidationResult, frames: FrameSet, length: int) -> list[list[Example]]:
    """For each label, its tested clip that was called best and the one that was called worst."""
    targets, probabilities = folds.targets(clips), found.answers[MODEL]
    given = probabilities[np.arange(len(targets)), targets]
    rows = []
    for number, name in enumerate(folds.label_names(clips)):
        of_label = np.intersect1d(np.flatnonzero(targets == number), found.tested)
        ordered = of_label[np.argsort(-given[of_label], kind="stable")]
        row = []
        for place in (ordered[0], ordered[-1]) if len(ordered) else ():
            clip_id, count = str(clips["clip_id"].iloc[place]), int(clips["frames"].iloc[place])
            picture = frames.frames(clip_id, count, length)[length // 2]
            row.append(Example(picture, name, probabilities[place]))
        rows.append(row)
    return [row for row in rows if row]
