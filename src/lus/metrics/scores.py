"""Metrics of a classifier: their values, of one sample or many resamples at once, and their spread over folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray

BINS = 10
"""Bins of equal width in which calibration is looked at."""
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """A figure over folds.

    Attributes:
        mean: over the folds that define it; not a number where none does.
        std: population standard deviation over these folds, as the published table has it.
        folds: how many define it.
    """

    mean: float
    std: float
    folds: int


def confusion(targets: IntArray, predicted: IntArray, labels: int) -> IntArray:
    """Confusion matrix (labels, labels): row the true label, column the predicted one."""
    matrix = np.zeros((labels, labels), np.int64)
    np.add.at(matrix, (targets, predicted), 1)
    return matrix


def scores(targets: IntArray, probabilities: FloatArray, names: Sequence[str]) -> dict[str, float]:
    """The figures of some clips.

    Accuracy, balanced accuracy, AUC, Brier score and calibration error; sensitivity, specificity, precision, F1 and
    AUC of each label.

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        names: of the labels.

    Returns:
        Name -> value. A label's figures are `<figure>.<label>`; what cannot be computed (no clip of the label) is
        not a number.

        - `auc.<label>` is that of the label against the rest, equal probabilities counting half (Hanley and McNeil,
          Radiology 143, 1982). `auc` is the mean of those that are defined, `balanced_accuracy` that of the
          sensitivities.
        - `brier` is the multi-class score, 0 to 2 (Brier, Monthly Weather Review 78, 1950).
        - `calibration_error` is the expected calibration error of the label that is predicted: the gap between
          confidence and accuracy in `BINS` bins of equal width, weighted by their clips (Naeini et al., AAAI 2015;
          Guo et al., ICML 2017). Chance alone makes it larger than 0 for few clips.

    Raises:
        ValueError: there is no clip, or the shapes do not belong together.
    """
    once = np.ones((1, len(targets)))
    return {name: float(values[0]) for name, values in weighted(targets, probabilities, names, once).items()}


def weighted(targets: IntArray, probabilities: FloatArray, names: Sequence[str], weights: Values) -> dict[str, Values]:
    """`scores` of many resamples at once.

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        names: of the labels.
        weights: (resamples, n), how often each clip counts.

    Returns:
        Name -> (resamples,).
    """
    labels = len(names)
    if not len(targets) or probabilities.shape != (len(targets), labels) or weights.shape[1:] != (len(targets),):
        raise ValueError(
            f"{len(targets)} targets, probabilities {probabilities.shape} and weights {weights.shape} were given for "
            f"{labels} labels"
        )
    exact = probabilities.astype(np.float64)
    predicted, truth = exact.argmax(axis=1), np.eye(labels)[targets]
    total = weights.sum(axis=1)
    cells = np.eye(labels * labels)[targets * labels + predicted]
    matrices = (weights @ cells).reshape(-1, labels, labels)
    figures = {
        "accuracy": _ratio(np.trace(matrices, axis1=1, axis2=2), total),
        "brier": _ratio(weights @ ((exact - truth) ** 2).sum(axis=1), total),
        "calibration_error": _calibration_error(exact.max(axis=1), predicted == targets, weights),
    }
    for number, name in enumerate(names):
        figures |= {f"{figure}.{name}": value for figure, value in _of_label(matrices, number).items()}
        figures[f"auc.{name}"] = _auc(targets == number, exact[:, number], weights)
    figures["balanced_accuracy"] = mean_of_defined([figures[f"sensitivity.{name}"] for name in names])
    figures["auc"] = mean_of_defined([figures[f"auc.{name}"] for name in names])
    return figures


def _ratio(part: Values, whole: Values) -> Values:
    """Not a number where there is nothing to divide by."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0), np.float64)


def mean_of_defined(values: Sequence[Values]) -> Values:
    """Over those that are numbers, of each resample."""
    stacked = np.stack(values)
    return _ratio(np.nansum(stacked, axis=0), np.isfinite(stacked).sum(axis=0).astype(np.float64))


def _of_label(matrices: Values, number: int) -> dict[str, Values]:
    hits, of_label, called = (
        matrices[:, number, number],
        matrices[:, number].sum(axis=1),
        matrices[:, :, number].sum(axis=1),
    )
    of_others = matrices.sum(axis=(1, 2)) - of_label
    return {
        "sensitivity": _ratio(hits, of_label),
        "specificity": _ratio(of_others - (called - hits), of_others),
        "precision": _ratio(hits, called),
        "f1": _ratio(2 * hits, of_label + called),
    }


def _auc(positive: NDArray[np.bool_], given: Values, weights: Values) -> Values:
    """The share of pairs (a clip of the label, another) that are in the right order; ties count half."""
    order = np.argsort(given, kind="stable")
    starts = np.unique(given[order], return_index=True)[1]
    drawn = weights[:, order]
    ours = np.add.reduceat(drawn * positive[order], starts, axis=1)
    others = np.add.reduceat(drawn * ~positive[order], starts, axis=1)
    below = np.cumsum(others, axis=1) - others
    pairs = ours.sum(axis=1) * others.sum(axis=1)
    return _ratio((ours * (below + others / 2)).sum(axis=1), pairs)


def _bins(confidence: Values) -> IntArray:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def _calibration_error(confidence: Values, right: NDArray[np.bool_], weights: Values) -> Values:
    gaps = (weights * (right - confidence)) @ np.eye(BINS)[_bins(confidence)]
    return _ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def reliability(targets: IntArray, probabilities: FloatArray) -> pd.DataFrame:
    """How often the predicted label is right, by the probability it was given.

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).

    Returns:
        One row a bin that holds clips: clips, confidence (mean), accuracy.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    clips = pd.DataFrame({"confidence": confidence, "accuracy": probabilities.argmax(axis=1) == targets})
    binned = clips.groupby(_bins(confidence))
    return binned.mean().assign(clips=binned.size()).reset_index(drop=True)[["clips", "confidence", "accuracy"]]


def most_wrong(targets: IntArray, probabilities: FloatArray, count: int) -> IntArray:
    """Row numbers of the clips that are predicted wrongly, the least probable true label first: (count or fewer,)."""
    given = probabilities[np.arange(len(targets)), targets]
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != targets)
    return np.asarray(wrong[np.argsort(given[wrong], kind="stable")][:count], np.int64)


def over_folds(folds: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Mean and standard deviation of each figure over folds; a fold that does not define a figure is left out of it.

    Args:
        folds: what `scores` gave for each.
    """
    found = {}
    for name in folds[0]:
        values = np.array([fold[name] for fold in folds], np.float64)
        defined = values[np.isfinite(values)]
        mean, std = (float(defined.mean()), float(defined.std())) if len(defined) else (float("nan"), float("nan"))
        found[name] = Spread(mean, std, len(defined))
    return found
