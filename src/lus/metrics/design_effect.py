"""The design effect: by how much clips of one patient count for less than as many clips of as many patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import IntArray

PRIOR = 2.0
"""Squared deviations that are taken for seen at the start, of clips that are alike within their patient: those of two
clips. Without it clips that are all right, or that two classifiers answer alike, would say nothing of how alike those
of one patient are, and be taken for independent of each other by the first one that is not."""


@dataclass(frozen=True)
class Clusters:
    """Clips in groups (of one patient, or of patients who share near-duplicate clips).

    Attributes:
        number: (n,) of each clip's group.
        sizes: (groups,) clips of each.
    """

    number: IntArray
    sizes: IntArray

    @classmethod
    def of_groups(cls, groups: NDArray[np.object_]) -> Clusters:
        """From the names (n,) of the groups."""
        number = np.unique(groups.astype(str), return_inverse=True)[1].astype(np.int64)
        return cls(number, np.bincount(number).astype(np.int64))

    @property
    def mean_size(self) -> float:
        """Of the group of a clip: the design effect where the clips of a group are all alike."""
        return float((self.sizes**2).sum() / self.sizes.sum())

    @property
    def degrees(self) -> float:
        """Degrees of freedom of a variance over the groups: those of as many groups of the same size, less one.

        One fewer than the groups where their sizes are the same; far fewer where one group has half of the clips
        (Korn and Graubard, Survey Methodology 24, 1998, correct an effective sample size by them).
        """
        return float(max(1.0, self.sizes.sum() / self.mean_size - 1))

    def design_effect(self, deviations: NDArray[np.float64]) -> float:
        """Variance of a mean over clips, divided by what it would be if they were independent; 1 or more.

        That of Rao and Scott (Biometrics 48, 1992, 577-585): the variance of the groups' sums, without a model of the
        correlation within a group, over that of single clips; pulled a little to that of groups alike in themselves
        (`PRIOR`), since groups that are few or nearly all right tell little. The intervals and the test that rest on it
        are held to their levels by `benchmarks/simulated_cohorts.py`.

        Args:
            deviations: (n,) of each clip from the mean, or from what a hypothesis says it is.
        """
        together = float((np.bincount(self.number, deviations) ** 2).sum())
        single = float((deviations**2).sum())
        return max(1.0, (together + PRIOR * self.mean_size) / (single + PRIOR))
