"""Plots, drawn to files without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lus.heads import IntArray


def confusion(matrix: IntArray, names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix: counts, and shaded by the share of the true label.

    Args:
        matrix: (labels, labels); row the true label, column the predicted one.
        names: of the labels.
        path: a .png file.
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
    axes.set_title("Clips of test patients")
    figure.colorbar(image, ax=axes, label="share of the true label")
    figure.savefig(path, dpi=120, metadata={"Software": None})
