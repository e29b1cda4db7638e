"""Sensitivity at a fixed specificity: what remains comparable where labels are more or less frequent than elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lus.metrics.intervals import percentiles, resampled
from lus.metrics.proportions import Interval, wilson
from lus.metrics.scores import Values

SPECIFICITY = 0.9
"""At which sensitivities are stated."""


def sensitivity_at_specificity(
    positive: NDArray[np.bool_], given: Values, weights: Values, specificity: float = SPECIFICITY
) -> Values:
    """The share of a label's clips above the lowest threshold that keeps the others below it.

    Args:
        positive: (n,) whether a clip has the label.
        given: (n,) its probability of the label.
        weights: (resamples, n), how often each clip counts.
        specificity: the share of the other clips that must lie below the threshold, at least.

    Returns:
        (resamples,), not numbers where the label or the others have no clip.
    """
    order = np.argsort(given, kind="stable")
    ordered, drawn = given[order], weights[:, order]
    ours, others = drawn * positive[order], drawn * ~positive[order]
    # A threshold just above each value: equal values lie on one side of it.
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    below = np.cumsum(others, axis=1)[:, ends]
    above = ours.sum(axis=1, keepdims=True) - np.cumsum(ours, axis=1)[:, ends]
    total, own = others.sum(axis=1), ours.sum(axis=1)
    fulfilled = below >= specificity * total[:, None] - 1e-9
    first = fulfilled.argmax(axis=1)
    hits = above[np.arange(len(above)), first]
    defined = (total > 0) & (own > 0)
    return np.asarray(np.divide(hits, own, out=np.full(len(own), np.nan), where=defined), np.float64)


def sensitivity_with_interval(
    positive: NDArray[np.bool_],
    given: Values,
    patients: NDArray[np.object_],
    resamples: int,
    level: float,
    seed: int,
) -> tuple[float, Interval]:
    """`sensitivity_at_specificity` of a cohort, with an interval over patients.

    The interval holds two: percentiles by bootstrap, in which the threshold is found anew in each resample, as it is
    the cohort's own; and Wilson's of the label's clips at the threshold that was found, without which a sensitivity of
    1 would seem certain.
    """
    once = float(sensitivity_at_specificity(positive, given, np.ones((1, len(given))))[0])
    drawn = percentiles(
        sensitivity_at_specificity(positive, given, resampled(patients, resamples, seed)), patients, level
    )
    if not np.isfinite(once):
        return once, drawn
    others = np.sort(given[~positive])
    threshold = others[int(np.ceil(SPECIFICITY * len(others) - 1e-9)) - 1]
    fixed = wilson(given[positive] > threshold, patients[positive], level)
    return once, Interval(float(np.fmin(drawn.low, fixed.low)), float(np.fmax(drawn.high, fixed.high)))
