"""Intervals of all metrics over patients: by a score where there is one, else by bootstrap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray
from lus.metrics.auc_intervals import auc_intervals
from lus.metrics.design_effect import Clusters
from lus.metrics.proportions import (
    UNDEFINED,
    Interval,
    classification_intervals,
    mean_of_dependent,
    mean_of_independent,
    quantile,
)
from lus.metrics.scores import Values, scores, weighted


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
    """The interval of a metric whose values in resamples are given: (resamples,).

    Resamples that do not define the metric (no clip of the label was drawn) are left out. Where all that are left are
    the same, resampling tells nothing: the interval is not defined, rather than of no width.
    """
    defined = values[np.isfinite(values)]
    if not len(defined) or len(set(patients)) < 2 or np.ptp(defined) == 0:
        return UNDEFINED
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
    """Intervals of all `scores` over patients.

    What counts right and wrong answers has Wilson's interval with a design effect (`classification_intervals`), areas
    have Newcombe's (`auc_intervals`), the Brier score one by Student's t over patients on the scale of its logarithm.
    The calibration error has percentiles by bootstrap over patients: that of a resample tends to be larger than that
    of all clips, so that its interval lies high (chance makes it larger, and a resample is made of fewer clips).

    All are of this sample of patients, with the classifiers as they were trained: how much the answers would differ
    by another training is not in them.

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        patients: (n,) names of the groups whose clips are not independent.
        names: of the labels.
        resamples: how many.
        level: of the intervals, as in 0.95.
        seed: of the resamples.
    """
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    weights = resampled(patients, resamples, seed)
    error = weighted(targets, probabilities, names, weights)["calibration_error"]
    return (
        classification_intervals(targets, predicted, patients, names, level)
        | auc_intervals(targets, probabilities, patients, names, level)
        | {"brier": _brier(targets, probabilities, patients, level)}
        | {"calibration_error": percentiles(error, patients, level)}
    )


def _brier(targets: IntArray, probabilities: FloatArray, patients: NDArray[np.object_], level: float) -> Interval:
    """By Student's t over patients on the scale of the logarithm, so that it stays above 0 and at most 2."""
    clusters = Clusters.of_groups(patients)
    truth = np.eye(probabilities.shape[1])[targets]
    losses = ((probabilities.astype(np.float64) - truth) ** 2).sum(axis=1)
    mean, groups = float(losses.mean()), len(clusters.sizes)
    if groups < 2 or np.ptp(losses) == 0:
        return UNDEFINED
    sums = np.bincount(clusters.number, losses - mean)
    error = float(np.sqrt((sums**2).sum() * groups / (groups - 1))) / len(losses)
    factor = float(np.exp(quantile(level, clusters) * error / mean))
    return Interval(mean / factor, min(2.0, mean * factor))


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
    """As `intervals`, but of the means over folds that `over_folds` gives, from the intervals of each fold.

    Folds that share no patient are independent of each other; where they share some (the published ones), the
    distances to the bounds are averaged, as if all folds went up and down together.

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        patients: (n,) names of the groups whose clips are not independent.
        fold_of: (n,) the number of the fold that tests each clip.
        names: of the labels.
        resamples: how many.
        level: of the intervals.
        seed: of the resamples.
    """
    values, bounds = [], []
    for fold in np.unique(fold_of):
        rows = np.flatnonzero(fold_of == fold)
        values.append(scores(targets[rows], probabilities[rows], names))
        bounds.append(intervals(targets[rows], probabilities[rows], patients[rows], names, resamples, level, seed))
    pairs = set(zip(patients.astype(str), fold_of.tolist(), strict=True))
    combine = mean_of_independent if len(pairs) == len({name for name, _ in pairs}) else mean_of_dependent
    return {name: combine([one[name] for one in values], [one[name] for one in bounds]) for name in values[0]}
