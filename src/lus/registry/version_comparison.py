"""Two versions on the clips that both were tested on: is one no worse than the other, and could that be shown?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lus.common.params import Promote
from lus.metrics.comparisons import pair_clips
from lus.metrics.design_effect import Clusters
from lus.metrics.noninferiority import POWER, PairedClips
from lus.splits import folds

INTERVAL = 0.95
"""Level of the interval that is printed of a difference."""


@dataclass(frozen=True)
class VersionComparison:
    """A version against another on common clips.

    Attributes:
        accuracy, other: of the version, and of the other.
        pairs: on which clips one alone is right.
        grouped: whether patients with near-duplicate clips are counted as one; an older evaluation does not say.
    """

    accuracy: float
    other: float
    pairs: PairedClips
    grouped: bool

    @property
    def difference(self) -> float:
        """Of the accuracies; positive where the version is better."""
        return self.accuracy - self.other

    def passes(self, params: Promote) -> bool:
        """Whether it is shown to be no worse."""
        return self._p(params) <= params.level

    def _p(self, params: Promote) -> float:
        return self.pairs.p_no_worse(params.margin)

    def describe(self, name: str, params: Promote) -> str:
        """In a sentence, with the power of the test.

        Args:
            name: of the other version.
            params: of the gate.
        """
        bounds = self.pairs.interval(INTERVAL)
        interval = f"{bounds.low:+.3f} to {bounds.high:+.3f}" if np.isfinite(bounds.low) else "interval not defined"
        power, shown = self.pairs.power(params.margin, params.level), self.pairs.shown_margin(params.level)
        unit = "" if self.grouped else "; each patient counts as independent, as its evaluation has no column group"
        return (
            f"accuracy {self.accuracy:.3f} against {self.other:.3f} of {name} on {len(self.pairs.gains)} clips of "
            f"{len(self.pairs.clusters.sizes)} patients (difference {self.difference:+.3f}, {interval}), p "
            f"{self._p(params):.3g}; on these clips an equally good version passes with a probability of {power:.0%}, "
            f"and with {POWER:.0%} where a margin of {shown:.2f} is allowed{unit}"
        )


def compare_versions(
    ours: pd.DataFrame | None, theirs: pd.DataFrame | None, name: str, params: Promote
) -> VersionComparison | str:
    """Compare a version with another, or say why that cannot be done.

    Args:
        ours: `predictions.csv` of the version; None where it has none.
        theirs: of the other.
        name: of the other.
        params: of the gate: how much both must have in common.
    """
    if ours is None or theirs is None:
        return f"{'it' if ours is None else name} carries no predictions"
    labels, others = folds.label_names(ours), folds.label_names(theirs)
    if labels != others:
        return f"labels {', '.join(labels)}, those of {name} are {', '.join(others)}"
    both = ours.merge(theirs[["clip_id", "label", "predicted"]], on="clip_id", suffixes=("", "_other"))
    clusters = Clusters.of_groups(folds.groups(both).astype(object)) if len(both) else None
    if clusters is None:
        return f"no clip in common with {name}"
    if changed := int((both["label"] != both["label_other"]).sum()):
        return f"{changed} clips have another label than in the evaluation of {name}"
    share = min(len(both) / len(ours), len(both) / len(theirs))
    if share < params.min_common or len(clusters.sizes) < params.min_patients:
        return (
            f"{len(both)} clips of {len(clusters.sizes)} patients in common with {name}, which was tested on "
            f"{len(theirs)} clips, it on {len(ours)}: at least {params.min_common:.0%} of each and "
            f"{params.min_patients} patients are needed"
        )
    truth = both["label"].to_numpy(str)
    right, other = (both[column].to_numpy(str) == truth for column in ("predicted", "predicted_other"))
    pairs = pair_clips(np.ones(len(both), np.int64), right.astype(np.int64), other.astype(np.int64), clusters)
    return VersionComparison(float(right.mean()), float(other.mean()), pairs, "group" in both)
