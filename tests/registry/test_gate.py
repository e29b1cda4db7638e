from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lus.common import params_file
from lus.inference.compiled import Parity
from lus.inference.metadata import ModelMetadata
from lus.registry import gate
from lus.registry.gate import Facts
from tests.conftest import ROOT
from tests.versions import LABELS, LEAK, predictions

ALL = params_file.load_params(ROOT / "params.yaml")
METADATA = ModelMetadata(LABELS, 2, 32, ALL.limits, "xception-2", {})
GOOD = Facts(
    {"protocol": "nested-patient", "leaking": False, "why": ""},
    {"leaking": False, "findings": [], "passed": [], "unknown": []},
    predictions(wrong=4),
    METADATA,
    Parity(3, 0.001, 0),
    champion="1",
    champion_predictions=predictions(wrong=12),
)


def _failed(**changes: Any) -> dict[str, str]:
    """The conditions that fail where facts are otherwise good, with what was found."""
    return {one.name: one.found for one in gate.failed(gate.judge(replace(GOOD, **changes), ALL.promote))}


def test_a_good_version_passes_every_condition() -> None:
    found = gate.judge(GOOD, ALL.promote)
    assert tuple(one.name for one in found) == gate.NAMES == ("audit", "protocol", "limits", "parity", "champion")
    assert gate.failed(found) == []


def test_conditions_that_are_not_all_there_are_not_said_to_pass() -> None:
    found = gate.judge(GOOD, ALL.promote)
    for part in ([], found[:-1], found[1:], [*found, found[0]]):
        with pytest.raises(ValueError, match="audit, protocol, limits, parity, champion are expected"):
            gate.failed(part)


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"audit": None}, "audit", "carries no audit"),
        ({"audit": {"leaking": True, "findings": [LEAK]}}, "audit", "patients: 3 patients are on both sides."),
        ({"audit": {"leaking": False, "findings": [LEAK]}}, "audit", "3 patients"),
        ({"audit": {}}, "audit", "does not say"),
        ({"metrics": None}, "protocol", "carries no figures"),
        ({"metrics": {"protocol": "guess"}}, "protocol", "guess, which is not known"),
        ({"metrics": {"protocol": "published"}}, "protocol", "one head is carried through the folds"),
        ({"metrics": {"protocol": "nested-patient", "leaking": True, "why": "why"}}, "protocol", "nested-patient: why"),
        ({"metadata": "no limits"}, "limits", "no limits"),
        ({"parity": "no clips are stored with it"}, "parity", "no clips are stored"),
        ({"parity": Parity(3, 0.011, 0)}, "parity", "largest difference 0.011"),
        ({"parity": Parity(3, 0.001, 1)}, "parity", "1 of 3 clips labelled otherwise"),
        ({"parity": Parity(0, 0.0, 0)}, "parity", "0 of 0 clips"),
        ({"predictions": None}, "champion", "it carries no predictions"),
        ({"champion_predictions": None}, "champion", "version 1, the champion, carries no predictions"),
        ({"champion_predictions": predictions(4, labels=("a", "b"))}, "champion", "labels normal, sick, those of"),
        ({"champion_predictions": predictions(4, first=1000)}, "champion", "no clip in common with version 1"),
        ({"predictions": predictions(wrong=20)}, "champion", "accuracy 0.500 against 0.700 of version 1 on 40 clips"),
    ],
)
def test_each_condition_fails_alone_and_says_what_was_found(changes: dict[str, Any], name: str, said: str) -> None:
    found = _failed(**changes)
    assert list(found) == [name]
    assert said in found[name]


def test_clips_that_were_labelled_anew_are_not_compared() -> None:
    other = predictions(wrong=12)
    other.loc[0, "label"] = "sick"
    assert "1 clips have another label" in _failed(champion_predictions=other)["champion"]


def test_the_same_predictions_are_no_worse_within_the_margin_and_not_without_one() -> None:
    same = replace(GOOD, champion_predictions=GOOD.predictions)
    assert gate.failed(gate.judge(same, ALL.promote)) == []
    strict = ALL.promote.model_copy(update={"margin": 0.0})
    assert [one.name for one in gate.failed(gate.judge(same, strict))] == ["champion"]


def test_versions_that_are_compared_on_one_patient_have_no_interval() -> None:
    one = predictions(wrong=4).assign(patient="p")
    found = _failed(predictions=one, champion_predictions=one.assign(predicted="sick"))["champion"]
    assert "of 1 patients (difference +0.400, interval not defined), p 0.5" in found


def test_without_a_champion_there_is_nothing_to_be_worse_than() -> None:
    assert _failed(champion=None, champion_predictions=None) == {}
