"""Two classifiers on the same clips: is one better, over patients?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import IntArray
from lus.metrics.design_effect import Clusters
from lus.metrics.noninferiority import PairedClips

EXACT = 14
"""Up to so many patients on whom the two differ all their signs are gone through: 16,384 orders."""
SLACK = 1e-9
"""Equal sums differ in their last digits."""


@dataclass(frozen=True)
class Comparison:
    """The accuracy of one set of predictions less that of another on the same clips.

    Attributes:
        difference: positive where the first is better.
        low, high: its interval; not a number for one patient.
        p: two-sided: the first and the second are alike.
        p_better: one-sided: small where the first is better than the second.
        clips, patients: how many.
    """

    difference: float
    low: float
    high: float
    p: float
    p_better: float
    clips: int
    patients: int


def paired(
    targets: IntArray,
    first: IntArray,
    second: IntArray,
    patients: NDArray[np.object_],
    seed: int,
    permutations: int = 10_000,
    level: float = 0.95,
) -> Comparison:
    """Compare two sets of predictions of the same clips.

    The interval is Tango's score interval with the design effect of the patients (`noninferiority.PairedClips`). The
    p-values are those of a sign-flip test over patients: if the two classifiers were alike, each patient's
    difference would be as likely the other way round (Fisher, The Design of Experiments, 1935, section 21). They are
    exact for few patients, else of random orders with the true one among them (Phipson and Smyth, Statistical
    Applications in Genetics and Molecular Biology 9, 2010). Such a test is one of no difference alone: with a margin
    added to each difference, patients without any would count as evidence. `PairedClips.p_no_worse` is for that.

    Args:
        targets: (n,) numbers of labels.
        first, second: (n,) predicted numbers of labels.
        patients: (n,) names.
        seed: of the signs.
        permutations: random orders of signs.
        level: of the interval.

    Raises:
        ValueError: there is no clip, or the arrays differ in length.
    """
    if not len(targets) or not len(targets) == len(first) == len(second) == len(patients):
        raise ValueError(f"{len(targets)}, {len(first)}, {len(second)} and {len(patients)} values for the same clips")
    clusters = Clusters.of_groups(patients)
    pairs = pair_clips(targets, first, second, clusters)
    bounds = pairs.interval(level)
    better, either = _sign_flips(np.bincount(clusters.number, pairs.gains).astype(np.float64), permutations, seed)
    return Comparison(
        difference=float(pairs.gains.mean()),
        low=bounds.low,
        high=bounds.high,
        p=either,
        p_better=better,
        clips=len(targets),
        patients=len(clusters.sizes),
    )


def pair_clips(targets: IntArray, first: IntArray, second: IntArray, clusters: Clusters) -> PairedClips:
    """On which clips one of the two is right alone; arguments as of `paired`."""
    return PairedClips((first == targets).astype(np.float64) - (second == targets), clusters)


def _sign_flips(gains: NDArray[np.float64], permutations: int, seed: int) -> tuple[float, float]:
    """p-values of the sum of the patients' gains: that it is as large, as far from 0."""
    moving = gains[gains != 0]
    if len(moving) <= EXACT:
        signs = np.array(list(product((1, -1), repeat=len(moving))), np.float64).reshape(2 ** len(moving), -1)
    else:
        drawn = np.random.default_rng(seed).choice((-1.0, 1.0), (permutations, len(moving)))
        signs = np.concatenate([np.ones((1, len(moving))), drawn])
    sums, seen = signs @ moving, moving.sum()
    return (
        float((sums >= seen - SLACK).mean()),
        float((np.abs(sums) >= abs(seen) - SLACK).mean()),
    )
