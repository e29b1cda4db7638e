"""Is one classifier no worse than another on the same clips? Tango's score test, and what a cohort could have shown.

Of n clips, b are gained (the first classifier alone is right) and c lost. With a true difference D of the shares that
are right, and q the share that is lost,

    z(D) = (b - c - n D) / sqrt(n (2 q + D (1 - D))),    2 n q^2 + (-(b + c) + (2 n - b + c) D) q - c D (1 - D) = 0,

where q is the likeliest share under D (Tango, Statistics in Medicine 17, 1998, 891-908, equations 24 to 26). Clips on
which both are right or both wrong count in n alone: they are evidence by their number, not by being alike.

Where a patient has several clips, the variance is multiplied by the design effect of the differences at D, that is by
the variance of the patients' sums over that of single clips: the variance that Obuchowski (Statistics in Medicine 17,
1998, 1495-1507) gives the difference without a model of the correlation within a patient, and Yang, Sun and Hardin
(Computational Statistics and Data Analysis 56, 2012, 1301-1320) bring into the test of non-inferiority. Taken alone,
that variance has the fault of a sign-flip test: five identical patients would pass, since without a difference it is
as small as the margin squared. As a design effect on Tango's it leaves his test as it is for one clip a patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lus.metrics.design_effect import Clusters
from lus.metrics.proportions import UNDEFINED, Interval

POWER = 0.8
"""With which a cohort is said to show something."""
SMALLEST = 1e-9
"""Variance that counts as none: no clip differs, and no margin is given."""


@dataclass(frozen=True)
class PairedClips:
    """Two classifiers on the same clips.

    Attributes:
        gains: (n,) 1 where the first alone is right, -1 where the second is, else 0.
        clusters: of the clips.
    """

    gains: NDArray[np.float64]
    clusters: Clusters

    def z(self, difference: float) -> float:
        """Tango's statistic: large where the true difference is larger than this one; 0 where nothing is known."""
        gained, lost, clips = int((self.gains > 0).sum()), int((self.gains < 0).sum()), len(self.gains)
        variance = clips * _variance(gained, lost, clips, difference) * self._design_effect(difference)
        if variance < SMALLEST:
            return 0.0
        return float((gained - lost - clips * difference) / np.sqrt(variance))

    def _design_effect(self, difference: float) -> float:
        return self.clusters.design_effect(self.gains - difference)

    def p_no_worse(self, margin: float) -> float:
        """One-sided p: small where the first is shown to be worse by less than `margin` (above 0)."""
        from scipy.stats import norm

        return float(norm.sf(self.z(-margin)))

    def interval(self, level: float) -> Interval:
        """The differences that the two-sided test does not refuse; not defined for one group."""
        from scipy.optimize import brentq
        from scipy.stats import norm

        if len(self.clusters.sizes) < 2:
            return UNDEFINED
        wide, seen = float(norm.ppf((1 + level) / 2)), float(self.gains.mean())

        def bound(end: float, sign: float) -> float:
            inner = seen if abs(seen) < 1 else seen * (1 - 1e-9)
            if sign * self.z(end) <= wide:
                return end
            return float(brentq(lambda one: sign * self.z(one) - wide, end, inner, xtol=1e-10))

        return Interval(bound(-1 + 1e-9, 1.0), bound(1 - 1e-9, -1.0))

    def power(self, margin: float, level: float, difference: float = 0.0) -> float:
        """How often as many clips would pass, were the true difference this one.

        By the normal approximation; clips differ as often, and hang together within patients as much, as was seen
        (with half a clip more gained and half a clip more lost, so that none seen is not none expected).

        Args:
            margin: of the test.
            level: of the test, one-sided.
            difference: the true one.
        """
        from scipy.stats import norm

        clips = len(self.gains) / self._design_effect(-margin)
        differing = (float((self.gains != 0).sum()) + 1) / (len(self.gains) + 1)
        differing = max(differing, abs(difference))
        gained, lost = (clips * (differing + sign * difference) / 2 for sign in (1, -1))
        refused = np.sqrt(_variance(gained, lost, clips, -margin))
        true = np.sqrt(max(differing - difference**2, SMALLEST))
        return float(norm.cdf((np.sqrt(clips) * (difference + margin) - norm.ppf(1 - level) * refused) / true))

    def shown_margin(self, level: float) -> float:
        """The smallest margin by which a classifier as good as the other would be shown no worse with `POWER`."""
        margins = np.linspace(0.002, 0.998, 499)
        enough = [margin for margin in margins if self.power(float(margin), level) >= POWER]
        return float(enough[0]) if enough else 1.0


def _variance(gained: float, lost: float, clips: float, difference: float) -> float:
    """Of one clip's difference, at the likeliest share that is lost under a true difference."""
    linear = -gained - lost + (2 * clips - gained + lost) * difference
    constant = -lost * difference * (1 - difference)
    share = (np.sqrt(max(linear**2 - 8 * clips * constant, 0.0)) - linear) / (4 * clips)
    return float(max(2 * share + difference * (1 - difference), 0.0))
