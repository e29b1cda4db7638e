"""Plots, drawn to files without a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from lus.common.arrays import FloatArray, Frames, IntArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LossHistory(Protocol):
    """How a training went: the losses after each epoch, and the epoch whose weights are kept, from 1."""

    @property
    def loss(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def val_loss(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def best_epoch(self) -> int: ...  # noqa: D102


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
    _save(figure, path, dpi=120)


def curves(histories: Sequence[LossHistory], path: Path, title: str) -> None:
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
    _save(figure, path, dpi=120)


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
    _save(figure, path)


def roc(targets: IntArray, probabilities: FloatArray, names: Sequence[str], path: Path) -> None:
    """Draw the ROC curve of each label against the rest; one that all clips have, or none, has no curve.

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        names: of the labels.
        path: a .png file.
    """
    from matplotlib.figure import Figure
    from sklearn.metrics import auc, roc_curve

    figure = Figure(figsize=(4.8, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="tab:gray", linestyle=":", label="chance")
    for number, name in enumerate(names):
        of_label = targets == number
        if 0 < of_label.sum() < len(targets):
            wrongly, rightly, _ = roc_curve(of_label, probabilities[:, number])
            axes.plot(wrongly, rightly, label=f"{name}: area {auc(wrongly, rightly):.2f}", color=f"C{number}")
        else:
            axes.plot([], [], label=f"{name}: no curve", color=f"C{number}")
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    axes.set_aspect("equal")
    axes.set_title("Each label against the rest, clips of test patients", fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
    _save(figure, path, dpi=120)


def reliability(series: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Draw how often the predicted label is right by the probability it was given; below it the clips of each bin.

    Args:
        series: name (as in "as trained", "with temperature") -> `metrics.reliability`.
        path: a .png file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    above.plot([0, 1], [0, 1], color="tab:gray", linestyle=":", label="as sure as right")
    for number, (name, bins) in enumerate(series.items()):
        colour = f"C{number}"
        above.plot(bins["confidence"], bins["accuracy"], marker="o", color=colour, label=name)
        below.plot(bins["confidence"], bins["clips"], marker="o", color=colour, linestyle="none")
    above.set_xlim(0, 1)
    above.set_ylim(0, 1.02)
    above.set_ylabel("share that is right")
    above.set_title("Is the model as often right as it says? Clips of test patients", fontsize=10)
    above.legend(loc="upper left", fontsize=8)
    below.set_ylim(bottom=0)
    below.set_ylabel("clips")
    below.set_xlabel("probability of the predicted label")
    _save(figure, path, dpi=120)


def most_wrong(
    clips: Sequence[str], targets: IntArray, probabilities: FloatArray, names: Sequence[str], path: Path
) -> None:
    """Draw the clips that are most wrong: the probability of the true label beside that of the predicted one.

    Args:
        clips: (n,) names, the most wrong first, as the rows of `metrics.most_wrong`; none draws a sentence.
        targets: (n,) numbers of their true labels.
        probabilities: (n, labels).
        names: of the labels.
        path: a .png file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.4 + 0.34 * max(1, len(clips))), layout="constrained")
    axes = figure.subplots()
    axes.set_title("Clips of test patients that are most wrong", fontsize=10)
    if not clips:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "every clip is right", ha="center", va="center")
        _save(figure, path)
        return
    places = range(len(clips))
    predicted = probabilities.argmax(axis=1)
    said, true = probabilities[places, predicted], probabilities[places, targets]
    axes.barh(places, said, color="tab:red", height=0.38, align="edge", label="predicted label")
    axes.barh(places, true, color="tab:green", height=-0.38, align="edge", label="true label")
    axes.set_yticks(places, [_short(name) for name in clips], fontsize=8, parse_math=False)
    for place in places:
        words = f"said {names[predicted[place]]}, is {names[targets[place]]}"
        axes.text(1.01, place, words, fontsize=8, va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    _save(figure, path)


def methods(found: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw the accuracy of every method of answering, with its interval.

    Args:
        found: method -> what (a sentence), accuracy, low, high; the first one is the model.
        path: a .png file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.42 * len(found)), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(found.values()):
        colour = "tab:blue" if place == 0 else "tab:gray"
        axes.plot([one["low"], one["high"]], [place, place], color=colour, linewidth=2)
        axes.plot(one["accuracy"], place, "o", color=colour)
        axes.text(1.02, place, f"{one['accuracy']:.2f}", va="center", fontsize=9, color=colour)
    axes.set_yticks(range(len(found)), [str(one["what"]) for one in found.values()], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("accuracy, with interval over patients")
    axes.set_title("Test clips: the model, and what is reached without it", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _short(name: str) -> str:
    """The end of a long name: what tells clips apart is rarely the folder."""
    return name if len(name) <= 40 else f"...{name[-37:]}"


def _save(figure: Figure, path: Path, dpi: int = 100) -> None:
    """Without the version of the library in it, so that the same figures write the same bytes."""
    figure.savefig(path, dpi=dpi, metadata={"Software": None})
