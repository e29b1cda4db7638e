from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
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
    assert (
        tuple(one.name for one in found)
        == gate.NAMES
        == ("audit", "protocol", "limits", "parity", "champion", "former", "validation")
    )
    assert gate.failed(found) == []


def test_conditions_that_are_not_all_there_are_not_said_to_pass() -> None:
    found = gate.judge(GOOD, ALL.promote)
    for part in ([], found[:-1], found[1:], [*found, found[0]]):
        with pytest.raises(
            ValueError, match="audit, protocol, limits, parity, champion, former, validation are expected"
        ):
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
        ({"champion_predictions": None}, "champion", "version 1 carries no predictions"),
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


def _champion(**changes: Any) -> gate.Condition:
    return next(one for one in gate.judge(replace(GOOD, **changes), ALL.promote) if one.name == "champion")


def test_the_same_predictions_are_no_worse_within_the_margin_where_patients_are_many() -> None:
    same = predictions(wrong=4, patients=60)
    assert _champion(predictions=same, champion_predictions=same).passed
    facts = replace(GOOD, predictions=same, champion_predictions=same)
    strict = ALL.promote.model_copy(update={"margin": 0.0})
    assert [one.name for one in gate.failed(gate.judge(facts, strict))] == ["champion"]
    assert not _champion(champion_predictions=GOOD.predictions).passed  # 40 patients


def test_five_identical_patients_do_not_pass() -> None:
    five = predictions(wrong=0, patients=5)
    assert "5 patients in common" in (one := _champion(predictions=five, champion_predictions=five)).found
    assert not one.passed
    few = ALL.promote.model_copy(update={"min_patients": 2})
    facts = replace(GOOD, predictions=five, champion_predictions=five)
    (said,) = gate.failed(gate.judge(facts, few))
    assert "p 0.304" in said.found


def test_right_on_the_six_clips_in_common_and_wrong_on_the_other_54_does_not_pass() -> None:
    champion, challenger = predictions(wrong=0, patients=60, first=0), predictions(wrong=54, patients=60, first=-54)
    challenger["clip_id"] = [f"{number:064x}" for number in range(1000, 1054)] + champion["clip_id"].tolist()[:6]
    challenger["label"] = challenger["label"].tolist()[:54] + champion["label"].tolist()[:6]
    challenger["predicted"] = challenger["predicted"].tolist()[:54] + champion["label"].tolist()[:6]
    found = _champion(predictions=challenger, champion_predictions=champion)
    assert not found.passed
    assert "6 clips of 6 patients in common with version 1, which was tested on 60 clips" in found.found


def test_half_of_the_clips_of_each_side_must_be_common() -> None:
    ours, theirs = predictions(4, patients=100), predictions(4, patients=49)
    assert "49 clips of 49 patients in common" in _champion(predictions=ours, champion_predictions=theirs).found
    assert "49 clips of 49 patients in common" in _champion(predictions=theirs, champion_predictions=ours).found
    assert "difference +0.000" in _champion(predictions=ours, champion_predictions=predictions(4, patients=50)).found


def test_patients_of_near_duplicate_clips_are_one() -> None:
    same = predictions(wrong=4, patients=60)
    joined = same.assign(group=[f"g{number // 2}" for number in range(60)])
    assert _champion(predictions=same, champion_predictions=same).passed
    found = _champion(predictions=joined, champion_predictions=same)
    assert not found.passed
    assert "60 clips of 30 patients" in found.found


def test_an_older_evaluation_without_groups_is_compared_by_patient_and_this_is_said() -> None:
    old = predictions(wrong=4, patients=60).drop(columns="group")
    found = _champion(predictions=old, champion_predictions=old)
    assert found.passed
    assert "each patient counts as independent, as its evaluation has no column group" in found.found
    assert "independent" not in _champion(champion_predictions=old).found


def test_what_the_cohort_could_have_shown_is_said() -> None:
    found = _champion().found
    assert "on these clips an equally good version passes with a probability of" in found
    assert "and with 80% where a margin of 0." in found


def test_versions_that_are_compared_on_one_patient_are_refused_or_have_no_interval() -> None:
    one = predictions(wrong=4).assign(group="p")
    other = one.assign(predicted="sick")
    assert "40 clips of 1 patients in common" in _failed(predictions=one, champion_predictions=other)["champion"]


def _former(**predictions_of: Any) -> gate.Condition:
    former = {name.removeprefix("v"): table for name, table in predictions_of.items()}
    return gate.judge(replace(GOOD, former=former), ALL.promote)[gate.NAMES.index("former")]


def test_a_version_is_compared_with_the_best_that_ever_was_champion() -> None:
    assert _former() == gate.Condition("former", True, "no other version was the champion", _former().expected)
    assert _former(v3=predictions(wrong=12), v2=predictions(wrong=14)).passed
    found = _former(v3=predictions(wrong=12), v2=predictions(wrong=0))
    assert not found.passed
    assert found.found.startswith("accuracy 0.900 against 1.000 of version 2 on 40 clips")


def test_margins_one_after_the_other_cannot_let_accuracy_drift_down() -> None:
    # Each is worse than the one before by less than the margin, and is shown to be no worse.
    versions = [predictions(wrong=wrong, patients=600) for wrong in (30, 42, 54)]
    steps = [_champion(predictions=after, champion_predictions=before) for before, after in pairwise(versions)]
    assert [one.passed for one in steps] == [True, True]
    facts = replace(GOOD, predictions=versions[2], champion_predictions=versions[1], former={"1": versions[0]})
    assert [one.name for one in gate.failed(gate.judge(facts, ALL.promote))] == ["former"]


def test_former_champions_of_another_cohort_hold_nothing_up_and_are_named() -> None:
    found = _former(v2=predictions(4, first=1000), v3=None, v4=predictions(wrong=12))
    assert found.passed
    assert found.found.endswith(
        "not compared: no clip in common with version 2; not compared: version 3 carries no predictions"
    )
    many = _former(**{f"v{number}": None for number in range(9)})
    assert many.found.endswith("not compared: version 2 carries no predictions; and 6 others")


def test_without_a_champion_there_is_nothing_to_be_worse_than() -> None:
    assert _failed(champion=None, champion_predictions=None) == {}
