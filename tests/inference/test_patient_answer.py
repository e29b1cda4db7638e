from __future__ import annotations

import pytest

from lus.inference.classifier import Prediction
from lus.inference.patient_answer import answer_patients


def _answer(sick: float) -> Prediction:
    label = "sick" if sick > 0.5 else "well"
    return Prediction(label, {"sick": sick, "well": 1 - sick}, [], {}, {}, [])


def test_each_clip_gets_the_answer_to_its_patient_from_the_clips_that_were_answered() -> None:
    answers = [_answer(0.9), _answer(0.4), None, _answer(0.2), None, _answer(0.7)]
    found = answer_patients(answers, ["a", "a", "a", "b", "c", None])
    first, second, refused, other, unanswered, unknown = found
    assert first == second == refused
    assert first is not None
    assert (first.label, first.clips, first.rule) == ("sick", 2, "mean")
    assert first.probabilities == pytest.approx({"sick": 0.65, "well": 0.35})
    assert other is not None
    assert (other.label, other.clips) == ("well", 1)
    assert (unanswered, unknown) == (None, None)
