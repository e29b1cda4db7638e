"""Metrics of patients: each is one unit, answered by the clips that it has (`common.patient_rule`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray
from lus.common.params import Evaluate
from lus.common.patient_rule import RULE, combine_clips
from lus.metrics import intervals
from lus.metrics.proportions import Interval
from lus.metrics.scores import scores

PREFIX = "patient."
KEPT = ("accuracy", "balanced_accuracy", "auc", "brier")
OF_LABEL = ("sensitivity", "specificity")


def measure_patients(
    targets: IntArray,
    probabilities: FloatArray,
    patients: NDArray[np.object_],
    groups: NDArray[np.object_],
    names: Sequence[str],
    params: Evaluate,
) -> tuple[dict[str, Any], dict[str, Interval]]:
    """Accuracy, balanced accuracy, AUC, Brier score, and each label's sensitivity and specificity, of patients.

    A patient whose clips have several true labels has no one right answer: it is left out, and counted.

    Args:
        targets: (n,) numbers of labels, a row a clip.
        probabilities: (n, labels).
        patients: (n,) names.
        groups: (n,) who is independent of whom: patients, near-duplicate ones together.
        names: of the labels.
        params: level, resamples and seed of the intervals.

    Returns:
        The metrics, each named `patient.<metric>`, with the rule and the counts; and the intervals of those metrics.
        Without a patient that counts there are only rule and counts.
    """
    named, number = np.unique(patients.astype(str), return_inverse=True)
    truths = [set(targets[number == one].tolist()) for one in range(len(named))]
    first = np.unique(number, return_index=True)[1]
    units = np.array([row for row, known in zip(first, truths, strict=True) if len(known) == 1], np.int64)
    counts = {"rule": RULE, "counted": len(units), "several_labels": len(named) - len(units)}
    found: dict[str, Any] = {f"{PREFIX}{name}": value for name, value in counts.items()}
    if not len(units):
        return found, {}
    own, given = targets[units], combine_clips(probabilities, patients.tolist())[units]
    of_units = scores(own, given, names)
    bounds = intervals.intervals(own, given, groups[units], names, params.bootstrap, params.confidence, params.seed)
    kept = [*KEPT, *(f"{metric}.{name}" for metric in OF_LABEL for name in names)]
    found |= {f"{PREFIX}{name}": of_units[name] for name in kept}
    return found, {f"{PREFIX}{name}": bounds[name] for name in kept}
