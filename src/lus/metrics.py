"""Figures of a classifier: point values, and intervals by bootstrap over patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lus.arrays import FloatArray, IntArray


def confusion(targets: IntArray, predicted: IntArray, labels: int) -> IntArray:
    """Confusion matrix (labels, labels): row the true label, column the predicted one."""
    matrix = np.zeros((labels, labels), np.int64)
    np.add.at(matrix, (targets, predicted), 1)
    return matrix


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else float("nan")


def scores(targets: IntArray, probabilities: FloatArray, names: Sequence[str]) -> dict[str, float]:
    """Accuracy, balanced accuracy, Brier score, and sensitivity, specificity, precision and F1 of each label.

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        names: of the labels.

    Returns:
        Name -> value. A label's figures are `<figure>.<label>`; what cannot be computed (no clip of the
        label) is not a number. The Brier score is the multi-class one, 0 to 2 (Brier, Monthly Weather
        Review 78, 1950).
    """
    matrix = confusion(targets, probabilities.argmax(axis=1), len(names))
    total, right = matrix.sum(), np.trace(matrix)
    figures = {
        "accuracy": _ratio(right, total),
        "brier": float(((probabilities - np.eye(len(names))[targets]) ** 2).sum(axis=1).mean()),
    }
    recalls = []
    for number, name in enumerate(names):
        hits, of_label, called = matrix[number, number], matrix[number].sum(), matrix[:, number].sum()
        recall, precision = _ratio(hits, of_label), _ratio(hits, called)
        recalls.append(recall)
        figures[f"sensitivity.{name}"] = recall
        figures[f"specificity.{name}"] = _ratio(total - of_label - called + hits, total - of_label)
        figures[f"precision.{name}"] = precision
        figures[f"f1.{name}"] = _ratio(2 * hits, of_label + called)
    present = [recall for recall in recalls if not np.isnan(recall)]
    figures["balanced_accuracy"] = float(np.mean(present))
    return figures


def interval(
    targets: IntArray,
    predicted: IntArray,
    patients: NDArray[np.object_],
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of accuracy and balanced accuracy by bootstrap over patients.

    Clips of one patient are not independent, so patients are drawn with replacement and bring all their
    clips (Field and Welsh, Journal of the Royal Statistical Society B 69, 2007: the cluster bootstrap).

    Returns:
        Figure -> (low, high).
    """
    labels = int(max(targets.max(), predicted.max())) + 1
    groups = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    matrices = np.stack([confusion(targets[rows], predicted[rows], labels) for rows in groups])
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=resamples)
    totals = np.tensordot(draws, matrices, axes=1)
    right = np.trace(totals, axis1=1, axis2=2) / totals.sum(axis=(1, 2))
    of_label = totals.sum(axis=2)
    with np.errstate(invalid="ignore"):
        recalls = np.diagonal(totals, axis1=1, axis2=2) / of_label
    tail = (1 - level) / 2
    return {
        name: (float(np.nanquantile(values, tail)), float(np.nanquantile(values, 1 - tail)))
        for name, values in (("accuracy", right), ("balanced_accuracy", np.nanmean(recalls, axis=1)))
    }
