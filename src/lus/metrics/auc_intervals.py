"""Intervals of the area under the ROC curve where the clips of a patient are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray
from lus.metrics.design_effect import Clusters
from lus.metrics.proportions import UNDEFINED, Interval, mean_of_dependent, quantile


def auc_interval(
    positive: NDArray[np.bool_], given: NDArray[np.float64], groups: NDArray[np.object_], level: float
) -> tuple[float, Interval]:
    """The area of a label against the rest, and its interval.

    Newcombe's score interval (Statistics in Medicine 25, 2006, 559-573, method 5): the areas at which the one that was
    found lies within the quantile of standard errors of Hanley and McNeil, so that a perfect order is not certainty.
    Clips of the label and the others count by their effective numbers, each divided by the design effect of its
    clips' placements (the share of the others that a clip is above; Obuchowski, Biometrics 53, 1997, has the variance
    over patients by them).

    Args:
        positive: (n,) whether a clip has the label.
        given: (n,) its probability of the label.
        groups: (n,) names of those whose clips are not independent.
        level: of the interval.
    """
    from scipy.optimize import brentq

    if positive.all() or not positive.any():
        return float("nan"), UNDEFINED
    above = (given[positive][:, None] > given[~positive]) + (given[positive][:, None] == given[~positive]) / 2
    area, clusters = float(above.mean()), Clusters.of_groups(groups)
    sides = [Clusters.of_groups(groups[positive]), Clusters.of_groups(groups[~positive])]
    if min(len(one.sizes) for one in sides) < 2:
        return area, UNDEFINED
    placed = above.mean(axis=1), above.mean(axis=0)
    ours, others = (len(one) / side.design_effect(one - area) for one, side in zip(placed, sides, strict=True))
    wide, mean_less = quantile(level, clusters), (ours + others) / 2 - 1

    def beyond(true: float, sign: float) -> float:
        spread = 1 + mean_less * ((1 - true) / (2 - true) + true / (1 + true))
        return sign * (area - true) - wide * float(np.sqrt(true * (1 - true) * max(spread, 0.0) / (ours * others)))

    def bound(end: float, sign: float) -> float:
        if sign * (area - end) <= 0:
            return end
        return float(brentq(lambda one: beyond(one, sign), end, min(max(area, 1e-9), 1 - 1e-9), xtol=1e-10))

    return area, Interval(bound(0.0, 1.0), bound(1.0, -1.0))


def auc_intervals(
    targets: IntArray, probabilities: FloatArray, groups: NDArray[np.object_], names: Sequence[str], level: float
) -> dict[str, Interval]:
    """Intervals of the areas, named as in `scores`; that of their mean is as wide as theirs are on average.

    Args:
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        groups: (n,) names of those whose clips are not independent.
        names: of the labels.
        level: of the intervals.
    """
    exact = probabilities.astype(np.float64)
    of_labels = [auc_interval(targets == number, exact[:, number], groups, level) for number in range(len(names))]
    found = {f"auc.{name}": one for name, (_, one) in zip(names, of_labels, strict=True)}
    return found | {"auc": mean_of_dependent([area for area, _ in of_labels], [one for _, one in of_labels])}
