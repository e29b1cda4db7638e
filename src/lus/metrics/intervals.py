"""Intervals of metrics by bootstrap over patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray
from lus.metrics.scores import Values, mean_of_defined, weighted


@dataclass(frozen=True)
class Interval:
    """A percentile interval.

    Attributes:
        low, high: not a number where no resample defines the figure, or there is one patient only.
    """

    low: float
    high: float


def resampled(patients: NDArray[np.object_], resamples: int, seed: int) -> Values:
    """How often each clip counts when patients are drawn with replacement: (resamples, n).

    Clips of one patient are not independent, so a patient brings all its clips (Field and Welsh, Journal of the Royal
    Statistical Society B 69, 2007: the cluster bootstrap).
    """
    names, number = np.unique(patients.astype(str), return_inverse=True)
    chances = np.full(len(names), 1 / len(names))
    draws = np.random.default_rng(seed).multinomial(len(names), chances, size=resamples)
    return np.asarray(draws[:, number], np.float64)


def percentiles(values: Values, patients: NDArray[np.object_], level: float) -> Interval:
    """The interval of a figure whose values in resamples are given: (resamples,).

    Resamples that do not define the figure (no clip of the label was drawn) are left out.
    """
    defined = values[np.isfinite(values)]
    if not len(defined) or len(set(patients)) < 2:
        return Interval(float("nan"), float("nan"))
    tail = (1 - level) / 2
    return Interval(float(np.quantile(defined, tail)), float(np.quantile(defined, 1 - tail)))


def intervals(
    targets: IntArray,
    probabilities: FloatArray,
    patients: NDArray[np.object_],
    names: Sequence[str],
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, Interval]:
    """Percentile intervals of all `scores` by bootstrap over patients.

    The calibration error of a resample tends to be larger than that of all clips, so its interval lies high (chance
    makes it larger, and a resample is made of fewer clips).

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        patients: (n,) names.
        names: of the labels.
        resamples: how many.
        level: of the intervals, as in 0.95.
        seed: of the resamples.
    """
    weights = resampled(patients, resamples, seed)
    found = weighted(targets, probabilities, names, weights)
    return {name: percentiles(values, patients, level) for name, values in found.items()}


def intervals_of_fold_means(
    targets: IntArray,
    probabilities: FloatArray,
    patients: NDArray[np.object_],
    fold_of: IntArray,
    names: Sequence[str],
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, Interval]:
    """As `intervals`, but of the means over folds that `over_folds` gives.

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        patients: (n,) names.
        fold_of: (n,) the number of the fold that tests each clip.
        names: of the labels.
        resamples: how many.
        level: of the intervals.
        seed: of the resamples.
    """
    weights = resampled(patients, resamples, seed)
    of_folds = []
    for fold in np.unique(fold_of):
        rows = np.flatnonzero(fold_of == fold)
        of_folds.append(weighted(targets[rows], probabilities[rows], names, weights[:, rows]))
    means = {name: mean_of_defined([one[name] for one in of_folds]) for name in of_folds[0]}
    return {name: percentiles(values, patients, level) for name, values in means.items()}
