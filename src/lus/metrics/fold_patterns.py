"""Accuracies of folds: can chance have made their pattern?

Where one head is carried through the folds, each fold but the first tests clips that the head has learnt before: one
fold is poor and the others are perfect. That pattern can be told from mean and deviation alone. Let d be how much the
folds lack to 100 %, k their number, m the mean and s the (population) standard deviation: the sum of d is k (1 - m)
and the sum of d^2 is k (s^2 + (1 - m)^2). As d is nowhere negative, the sum of squares is at most the square of the
sum, so that s <= (1 - m) sqrt(k - 1), and equal only where one fold alone lacks anything: for five, s = 2 (1 - m).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import IntArray

NEARLY = 0.98
"""From this accuracy on a fold counts as perfect."""
LEVEL = 0.01
"""A pattern that is less probable than this is not chance; divided by the rows that are looked at (Bonferroni)."""
SPURIOUS = 0.01
"""Fractions are looked for up to the number of clips at which as large a share of all numbers would be hit."""
SLACK = 1e-9
PART = 0.05
"""Of a clip: rounding an accuracy to three digits hides less in a fold of up to 100."""


def largest_deviation(mean: float, folds: int, sample: bool = False) -> float:
    """The largest standard deviation that folds with this mean can have: that of one fold alone below 100 %.

    Args:
        mean: accuracy, 0 to 1.
        folds: how many.
        sample: whether it is the sample standard deviation (divided by folds - 1).
    """
    return (1 - mean) * float(np.sqrt(folds if sample else folds - 1))


def odd_fold(accuracies: NDArray[np.float64]) -> int | None:
    """The number of the one fold that is poor while all others are perfect, or nearly; None where there is none."""
    worst = int(np.argmin(accuracies))
    others = np.delete(accuracies, worst)
    return worst if len(others) and accuracies[worst] < NEARLY <= others.min() else None


def least_clips(accuracy: float, tolerance: float) -> int | None:
    """The smallest number of clips of which `accuracy` is a share; None where its digits cannot tell.

    Args:
        accuracy: of one fold, 0 to 1.
        tolerance: by how much it may be off by rounding.
    """
    for clips in range(1, int(np.sqrt(SPURIOUS / max(tolerance, 1e-12))) + 1):
        if abs(round(accuracy * clips) - accuracy * clips) <= tolerance * clips:
            return clips
    return None


def hang_together(right: NDArray[np.bool_], patients: NDArray[np.object_]) -> float:
    """How much alike the clips of one patient are in being right: 0 not at all, 1 all or none.

    The intra-class correlation of Fleiss and Cuzick (Applied Psychological Measurement 3, 1979), not below 0.

    Args:
        right: (n,) whether each clip is predicted rightly.
        patients: (n,) names.
    """
    number = np.unique(patients.astype(str), return_inverse=True)[1]
    sizes, hits = np.bincount(number), np.bincount(number, right)
    share, spare = right.mean(), len(right) - len(sizes)
    if spare == 0 or share in (0, 1):
        return 0.0
    within = (hits * (sizes - hits) / sizes).sum() / (spare * share * (1 - share))
    return float(np.clip(1 - within, 0, 1))


def chance(accuracies: NDArray[np.float64], clusters: Sequence[IntArray], correlation: float = 0.0) -> float:
    """How probable it is that one fold is as poor, and all others as good, as these.

    All folds are held to be equally hard: each clip is right with the accuracy of all folds together, independently
    (binomial), or alike with the other clips of its patient (beta-binomial with that intra-class correlation).

    Args:
        accuracies: (folds,), 0 to 1.
        clusters: for each fold the numbers of clips of its patients; ones where clips are independent.
        correlation: of the clips of one patient, 0 to 1.

    Returns:
        At most 1: the sum over the folds that may be the poor one.
    """
    sizes = np.array([int(one.sum()) for one in clusters], np.float64)
    rates = 1 - np.asarray(accuracies, np.float64)
    wrong = float((rates * sizes).sum() / sizes.sum())
    worst = int(np.argmax(rates))
    second = float(np.delete(rates, worst).max())
    poor, good = np.empty(len(sizes)), np.empty(len(sizes))
    for number, (size, one) in enumerate(zip(sizes, clusters, strict=True)):
        mistakes = _mistakes(one, wrong, correlation)
        poor[number] = mistakes[int(np.ceil(rates[worst] * size - PART)) :].sum()
        good[number] = mistakes[: int(np.floor(second * size + PART)) + 1].sum()
    total = sum(poor[number] * np.delete(good, number).prod() for number in range(len(sizes)))
    return float(min(1.0, total))


def _mistakes(cluster: IntArray, wrong: float, correlation: float) -> NDArray[np.float64]:
    """The probability of each number of mistakes in a fold: (clips + 1,)."""
    found = np.ones(1)
    for size in cluster:
        found = np.convolve(found, _of_patient(int(size), wrong, correlation))
    return found


def _of_patient(size: int, wrong: float, correlation: float) -> NDArray[np.float64]:
    from scipy.stats import betabinom, binom

    counts = np.arange(size + 1)
    if wrong in (0, 1) or correlation < SLACK:
        return np.asarray(binom.pmf(counts, size, wrong), np.float64)
    if correlation > 1 - SLACK:
        return np.concatenate([[1 - wrong], np.zeros(size - 1), [wrong]])
    spread = (1 - correlation) / correlation
    return np.asarray(betabinom.pmf(counts, size, wrong * spread, (1 - wrong) * spread), np.float64)


def evenly(total: int, parts: int) -> IntArray:
    """`total` things in `parts` parts of sizes as equal as can be: (parts,)."""
    return np.array([len(part) for part in np.array_split(np.arange(total), parts)], np.int64)
