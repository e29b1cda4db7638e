"""Intervals of proportions, and of what is made of them, where the clips of a patient are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import IntArray
from lus.metrics.design_effect import Clusters


@dataclass(frozen=True)
class Interval:
    """An interval.

    Attributes:
        low, high: not a number where it is not defined: there is no clip, one group of patients only, or (by
            bootstrap) no resample that differs from the others.
    """

    low: float
    high: float


UNDEFINED = Interval(float("nan"), float("nan"))


def quantile(level: float, clusters: Clusters) -> float:
    """Standard errors to both sides of an interval: Student's t with the groups' degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, clusters.degrees))


def wilson(right: NDArray[np.bool_], groups: NDArray[np.object_], level: float) -> Interval:
    """The score interval of a proportion (Wilson, JASA 22, 1927) with the effective number of clips.

    That is their number divided by the design effect (`Clusters.design_effect`: Rao and Scott 1992) and, for few
    groups or one that outweighs the others, by the squared ratio of Student's t to the normal quantile (Korn and
    Graubard, Survey Methodology 24, 1998, 193-201). All right is not certainty: the interval of n independent clips
    that are all right goes down to n / (n + z^2).

    Args:
        right: (n,) of each clip.
        groups: (n,) names of those whose clips are not independent.
        level: of the interval, as in 0.95.
    """
    if not len(right):
        return UNDEFINED
    clusters = Clusters.of_groups(groups)
    if len(clusters.sizes) < 2:
        return UNDEFINED
    share = float(right.mean())
    clips = len(right) / clusters.design_effect(np.asarray(right - share, np.float64))
    square = quantile(level, clusters) ** 2
    middle = (share + square / (2 * clips)) / (1 + square / clips)
    half = np.sqrt(square * (share * (1 - share) / clips + square / (4 * clips**2))) / (1 + square / clips)
    return Interval(float(middle - half) if share > 0 else 0.0, float(middle + half) if share < 1 else 1.0)


def mean_of_independent(values: Sequence[float], bounds: Sequence[Interval]) -> Interval:
    """The interval of a mean of estimates of different clips, from their own intervals.

    By the method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27, 2008): distances to the
    bounds are added as squares.

    Args:
        values: the estimates; those that are not numbers are left out, as they are of the mean.
        bounds: their intervals; one that is not defined leaves the whole undefined.
    """
    given = [(value, one) for value, one in zip(values, bounds, strict=True) if np.isfinite(value)]
    if not given:
        return UNDEFINED
    mean = float(np.mean([value for value, _ in given]))
    below = np.sqrt(sum((value - one.low) ** 2 for value, one in given)) / len(given)
    above = np.sqrt(sum((one.high - value) ** 2 for value, one in given)) / len(given)
    return Interval(mean - float(below), mean + float(above))


def mean_of_dependent(values: Sequence[float], bounds: Sequence[Interval]) -> Interval:
    """As `mean_of_independent` where the estimates may go up and down together: the mean of the bounds, the widest."""
    given = [one for value, one in zip(values, bounds, strict=True) if np.isfinite(value)]
    if not given:
        return UNDEFINED
    return Interval(float(np.mean([one.low for one in given])), float(np.mean([one.high for one in given])))


def classification_intervals(
    targets: IntArray, predicted: IntArray, groups: NDArray[np.object_], names: Sequence[str], level: float
) -> dict[str, Interval]:
    """Intervals of the metrics that count right and wrong answers, named as in `scores`.

    Accuracy, sensitivity, specificity and precision are proportions of clips. F1 is 2 J / (1 + J), where J is the share
    that is right of the clips that have the label or are called by it (Hand et al., Machine Learning 110, 2021), so
    that its interval is that of J carried over. Balanced accuracy is a mean of sensitivities, which are of different
    clips.

    Args:
        targets: (n,) numbers of labels.
        predicted: (n,) numbers of labels.
        groups: (n,) names of those whose clips are not independent.
        names: of the labels.
        level: of the intervals.
    """

    def of_clips(rows: NDArray[np.bool_], right: NDArray[np.bool_]) -> Interval:
        return wilson(right[rows], groups[rows], level)

    hit = targets == predicted
    found = {"accuracy": wilson(hit, groups, level)}
    shares = []
    for number, name in enumerate(names):
        of_label, called = targets == number, predicted == number
        shared = of_clips(of_label | called, hit)
        found |= {
            f"sensitivity.{name}": of_clips(of_label, called),
            f"specificity.{name}": of_clips(~of_label, ~called),
            f"precision.{name}": of_clips(called, of_label),
            f"f1.{name}": Interval(2 * shared.low / (1 + shared.low), 2 * shared.high / (1 + shared.high)),
        }
        shares.append(float(hit[of_label].mean()) if of_label.any() else float("nan"))
    found["balanced_accuracy"] = mean_of_independent(shares, [found[f"sensitivity.{name}"] for name in names])
    return found
