"""The rule by which the clips of a patient give one answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lus.common.arrays import FloatArray

RULE = "mean"
"""Of the probabilities of a patient's clips, each clip counting alike; in words, as files and pages name it."""


def combine_clips(probabilities: FloatArray, patients: Sequence[str]) -> FloatArray:
    """For each clip the answer to its patient: the mean of the probabilities of all of the patient's clips.

    Args:
        probabilities: (n, labels).
        patients: (n,) names.

    Returns:
        (n, labels) float32, the same for all clips of a patient.
    """
    number = np.unique(np.asarray(patients, dtype=str), return_inverse=True)[1]
    sums = np.zeros((number.max(initial=-1) + 1, probabilities.shape[1]))
    np.add.at(sums, number, probabilities.astype(np.float64))
    means = sums / np.bincount(number)[:, None]
    return np.asarray(means[number], np.float32)
