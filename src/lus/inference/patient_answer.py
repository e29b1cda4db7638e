"""The answer to a patient, from the answers to the clips that there are of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lus.common.patient_rule import RULE, combine_clips
from lus.inference.classifier import Prediction


@dataclass(frozen=True)
class PatientAnswer:
    """What the classifier says of a patient.

    Attributes:
        label: the most probable one.
        probabilities: of each label.
        clips: how many it is made of; those that got no answer are not among them.
        rule: by which the clips' probabilities are combined.
    """

    label: str
    probabilities: dict[str, float]
    clips: int
    rule: str = RULE


def answer_patients(
    answers: Sequence[Prediction | None], patients: Sequence[Hashable | None]
) -> list[PatientAnswer | None]:
    """Beside each clip's answer that to its patient.

    Args:
        answers: to clips; None of a clip that got none.
        patients: of the same clips; None where it is not known who a clip shows.

    Returns:
        For each clip the answer to its patient; None where the patient is not known, or none of their clips was
        answered.
    """
    rows: dict[Hashable, list[Prediction]] = {}
    for answer, patient in zip(answers, patients, strict=True):
        if answer is not None and patient is not None:
            rows.setdefault(patient, []).append(answer)
    found = {patient: combine_answers([one.probabilities for one in own]) for patient, own in rows.items()}
    return [found.get(patient) for patient in patients]


def combine_answers(probabilities: Sequence[Mapping[str, float]]) -> PatientAnswer:
    """The answer to one patient.

    Args:
        probabilities: of each label, a mapping for each clip; at least one, all of the same labels.
    """
    labels = list(probabilities[0])
    given = np.array([[one[label] for label in labels] for one in probabilities], np.float32)
    together = combine_clips(given, ["one"] * len(given))[0]
    combined = {label: float(value) for label, value in zip(labels, together, strict=True)}
    return PatientAnswer(labels[int(together.argmax())], combined, len(given))
