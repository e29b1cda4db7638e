"""Metrics of parts of a cohort: by source, probe, size of the picture, and true label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray
from lus.metrics import intervals
from lus.metrics.scores import scores

COLUMNS = ("source", "probe", "size", "label")
"""By which properties of its clips a cohort is cut."""
FEWEST = 10
"""Patients below which a stratum is marked as small: its interval is wide, and one patient more can change it much."""


def tabulate_strata(
    clips: pd.DataFrame,
    targets: IntArray,
    probabilities: FloatArray,
    groups: NDArray[np.object_],
    names: Sequence[str],
    resamples: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """Accuracy, Brier score and counts of each stratum.

    Args:
        clips: rows of a cohort table: source, probe, width, height, label.
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        groups: (n,) who is independent of whom: patients, near-duplicate ones together.
        names: of the labels.
        resamples, level, seed: of the intervals.

    Returns:
        A row a stratum: by, stratum, clips, patients, accuracy, low, high, brier, small. A property that is the same
        for all clips has no rows.
    """
    size = clips["width"].astype(str) + " x " + clips["height"].astype(str)
    table = clips.assign(size=size)
    rows = []
    for column in COLUMNS:
        values = table[column].astype(str).replace("", "unknown").to_numpy(object)
        if len(set(values)) < 2:
            continue
        for value in sorted(set(values)):
            chosen = values == value
            own = scores(targets[chosen], probabilities[chosen], names)
            bounds = intervals.intervals(
                targets[chosen], probabilities[chosen], groups[chosen], names, resamples, level, seed
            )["accuracy"]
            patients = len(set(groups[chosen]))
            rows.append(
                {
                    "by": column,
                    "stratum": value,
                    "clips": int(chosen.sum()),
                    "patients": patients,
                    "accuracy": own["accuracy"],
                    "low": bounds.low,
                    "high": bounds.high,
                    "brier": own["brier"],
                    "small": patients < FEWEST,
                }
            )
    columns = ["by", "stratum", "clips", "patients", "accuracy", "low", "high", "brier", "small"]
    return pd.DataFrame(rows, columns=columns)
