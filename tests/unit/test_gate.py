"""The gate's conditions, each on facts made for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lus import gate
from lus.gate import Facts
from lus.params import Promote

PARAMS = Promote(margin=0.05, level=0.05)


def _predictions(wrong: int, clips: int = 60) -> pd.DataFrame:
    """Two clips a patient; the first few patients are called wrongly."""
    labels = ["ab"[number // 2 % 2] for number in range(clips)]
    other = {"a": "b", "b": "a"}
    return pd.DataFrame(
        {
            "clip_id": [f"c{number}" for number in range(clips)],
            "patient": [f"p{number // 2}" for number in range(clips)],
            "label": labels,
            "predicted": [other[label] if number < wrong else label for number, label in enumerate(labels)],
        }
    )


ANSWER = np.array([[0.7, 0.3], [0.2, 0.8]], np.float32)
GOOD = Facts(
    "nested-patient",
    {"leaking": False, "findings": [], "passed": [], "unknown": []},
    True,
    (ANSWER, ANSWER + 0.005),
    _predictions(10),
)


def _failed(candidate: Facts, champion: Facts | None = None) -> dict[str, str]:
    return {one.name: one.found for one in gate.conditions(candidate, champion, PARAMS) if not one.passed}


def test_a_sound_version_passes_where_there_is_no_champion() -> None:
    assert _failed(GOOD) == {}


def test_a_leak_of_the_audit_is_named() -> None:
    findings = [{"check": "patients", "level": "leak"}, {"check": "labels", "level": "warning"}]
    leaky = replace(GOOD, audit={"leaking": True, "findings": findings})
    assert _failed(leaky) == {"audit": "leaks: patients"}
    warned = replace(GOOD, audit={"leaking": False, "findings": findings[1:]})
    assert _failed(warned) == {}


@pytest.mark.parametrize("protocol", ["published", "published-fresh"])
def test_a_leaking_protocol_is_refused_with_its_reason(protocol: str) -> None:
    found = _failed(replace(GOOD, protocol=protocol))
    assert list(found) == ["protocol"]
    assert "chosen by its score on the test clips" in found["protocol"]


def test_a_version_that_says_nothing_of_itself_fails_every_condition_that_can_be_looked_at() -> None:
    assert list(_failed(Facts(), GOOD)) == ["audit", "protocol", "limits", "parity", "no worse than the champion"]


def test_other_answers_than_when_it_was_registered_are_refused() -> None:
    assert list(_failed(replace(GOOD, answers=(ANSWER, ANSWER + 0.02)))) == ["parity"]
    near = np.array([[0.502, 0.498]], np.float32)
    assert list(_failed(replace(GOOD, answers=(near, near[:, ::-1])))) == ["parity"]
    assert list(_failed(replace(GOOD, answers=(ANSWER, ANSWER[:1])))) == ["parity"]


def test_a_worse_version_is_refused_and_an_equal_or_better_one_is_not() -> None:
    champion = replace(GOOD, predictions=_predictions(10))
    for wrong in (0, 10):
        assert _failed(replace(GOOD, predictions=_predictions(wrong)), champion) == {}
    found = _failed(replace(GOOD, predictions=_predictions(22)), champion)["no worse than the champion"]
    assert found.startswith("difference -0.200 (")
    assert "60 clips of 30 patients, p " in found


def test_versions_of_other_clips_or_labels_are_not_compared() -> None:
    champion = replace(GOOD, predictions=_predictions(10, clips=80))
    assert "60 of 80 clips in common" in _failed(GOOD, champion)["no worse than the champion"]
    relabelled = _predictions(10).assign(label="a")
    found = _failed(replace(GOOD, predictions=relabelled), GOOD)
    assert "the labels of the clips differ" in found["no worse than the champion"]
