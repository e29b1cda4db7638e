"""Plots, drawn to files without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lus.arrays import FloatArray, Frames, IntArray

if TYPE_CHECKING:
    from lus.training import History


@dataclass(frozen=True)
class Example:
    """A test clip and what was said of it.

    Attributes:
        frame: (height, width, 3) uint8 RGB.
        label: the true one.
        probabilities: (labels,).
    """

    frame: Frames
    label: str
    probabilities: FloatArray


def confusion(matrix: IntArray, names: Sequence[str], path: Path, title: str = "Clips of test patients") -> None:
    """Draw a confusion matrix: counts, and shaded by the share of the true label.

    Args:
        matrix: (labels, labels); row the true label, column the predicted one.
        names: of the labels.
        path: a .png file.
        title: whose clips they are.
    """
    from matplotlib.figure import Figure

    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    side = 2.2 + 0.9 * len(names)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for row in range(len(names)):
        for column in range(len(names)):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{matrix[row, column]}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, label="share of the true label")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def curves(histories: Sequence[History], path: Path, title: str) -> None:
    """Draw how trainings went: the loss on training and validation clips by epoch, a pair of lines a fold.

    Args:
        histories: one a fold.
        path: a .png file.
        title: what was trained.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for fold, history in enumerate(histories):
        epochs = range(1, len(history.loss) + 1)
        (line,) = axes.plot(epochs, history.val_loss, label=f"fold {fold}, validation")
        axes.plot(epochs, history.loss, color=line.get_color(), linestyle=":", label=f"fold {fold}, training")
        best = history.best_epoch
        axes.plot(best, history.val_loss[best - 1], "o", color=line.get_color())
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy")
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=7, ncols=2)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def examples(rows: Sequence[Sequence[Example]], names: Sequence[str], path: Path) -> None:
    """Draw clips beside what was said of them: a frame, and the probability of each label.

    Args:
        rows: examples of each label, the same number in every row.
        names: of the labels, in the order of the probabilities.
        path: a .png file.
    """
    from matplotlib.figure import Figure

    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(4.6 * columns, 2.4 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2 * columns, squeeze=False, width_ratios=[1.2, 1] * columns)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, members in zip(grid, rows, strict=True):
        for column, example in enumerate(members):
            picture, bars = row[2 * column], row[2 * column + 1]
            picture.imshow(example.frame)
            picture.set_title(example.label, fontsize=10)
            right = names[int(example.probabilities.argmax())] == example.label
            colours = ["tab:green" if name == example.label else "tab:gray" for name in names]
            bars.set_axis_on()
            bars.barh(range(len(names)), example.probabilities, color=colours)
            bars.set_xlim(0, 1)
            bars.set_yticks(range(len(names)), names, fontsize=8)
            bars.invert_yaxis()
            bars.tick_params(axis="x", labelsize=7)
            bars.set_title("said: " + ("right" if right else "wrong"), fontsize=9)
            bars.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        "Test clips, and the probabilities given by a head that was neither trained nor chosen on their patients",
        fontsize=10,
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})
