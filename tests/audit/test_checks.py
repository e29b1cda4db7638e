from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lus.audit import checks
from lus.audit.checks import run_audit
from lus.audit.record import LEAK, NOTE, WARNING
from lus.splits import folds
from tests.audit import planted
from tests.audit.planted import CASES, Case


def _ids(case: Case) -> str:
    return case.name


def test_at_least_twelve_kinds_of_leaks_are_planted_for_all_checks() -> None:
    assert len(CASES) >= 12
    assert {case.check for case in CASES} == set(checks.CHECKS)


def test_a_clean_evaluation_passes_every_check() -> None:
    found = run_audit(planted.clean())
    assert found.findings == []
    assert found.passed == list(checks.CHECKS)
    assert found.unknown == []
    assert not found.leaking


@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_a_planted_leak_is_found_by_its_check(case: Case) -> None:
    found = run_audit(case.leak(planted.clean()))
    of_check = [one for one in found.findings if one.check == case.check]
    assert of_check, found
    for one in of_check:
        assert one.level in {LEAK, WARNING}
        assert one.sentence.endswith(".")
        json.dumps(dict(one.evidence), allow_nan=False)
    warnings = {"labels", "shortcuts", "sources", "figures", "tested"}
    assert found.leaking or case.check in warnings


@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_what_comes_close_to_a_leak_raises_nothing(case: Case) -> None:
    found = run_audit(case.clean(planted.clean()))
    assert found.findings == []
    assert case.check in found.passed


def test_what_an_evaluation_does_not_say_is_listed_and_not_passed() -> None:
    clean = planted.clean()
    silent = [
        replace(f, chosen_on=None, statistics_from=None, untrained=None, initial_weights=None) for f in clean.folds
    ]
    found = run_audit(replace(clean, folds=silent, probabilities=None, near_duplicates=None, leave_source_out=None))
    assert found.findings == []
    assert set(found.unknown) == {
        *("near-duplicates", "weights", "memory", "statistics", "selection"),
        *("figures", "shortcuts", "sources"),
    }


def test_a_source_that_tells_much_is_noted_even_where_the_model_is_better() -> None:
    telling = planted.says(planted.clean(), "source", lambda label: f"hospital of {label}", 0.45)
    better = planted.right(telling, np.arange(len(telling.clips)) % 18 > 0)
    found = [one for one in run_audit(better).findings if one.check == "shortcuts"]
    assert [one.level for one in found] == [NOTE]
    assert found[0].evidence["property"] == "source"


def test_evidence_names_folds_patients_and_clips() -> None:
    clean = planted.clean()
    row = int(clean.folds[0].test[0])
    leak = planted.fold(clean, 0, train=np.append(clean.folds[0].train, row))
    found = {one.check: one for one in run_audit(leak).findings}
    path, patient = clean.clips["path"][row], clean.clips["patient"][row]
    assert found["clips"].evidence == {"folds": {"fold 0": {"clips": [path]}}}
    assert found["patients"].evidence["folds"]["fold 0"]["patients"] == [patient]  # type: ignore[index]
    assert found["patients"].sentence.startswith("In fold 0, 1 patient with 2 of 18 test clips had other clips")


def test_what_several_folds_share_is_one_finding() -> None:
    found = {one.check: one for one in run_audit(planted.by_clip(planted.clean())).findings}
    assert found["patients"].sentence.startswith(
        "In 4 of 4 folds, 36 patients with 72 of 72 test clips had other clips"
    )
    assert list(found["patients"].evidence["folds"]) == [f"fold {number}" for number in range(4)]  # type: ignore[arg-type]


def test_training_clips_of_test_patients_are_not_blamed_on_the_normalisation_too() -> None:
    one = planted.by_clip(planted.clean())
    records = [replace(x, statistics_from={"the normalisation": x.train}, chosen_on={"it": x.train}) for x in one.folds]
    found = run_audit(replace(one, folds=records))
    assert [finding.check for finding in found.findings] == ["patients"]


def test_without_clips_that_only_earlier_folds_learnt_a_memory_cannot_be_looked_for() -> None:
    one = planted.clean()
    assert "memory" in run_audit(replace(one, folds=one.folds[:1])).unknown


def test_findings_stand_in_the_order_of_their_weight() -> None:
    leak = replace(planted.by_clip(planted.clean()), near_duplicates=None)
    several = planted.cells(leak, "patient", dict.fromkeys(range(8, 10), "p03"))
    levels = [one.level for one in run_audit(several).findings]
    assert levels == sorted(levels, key=[LEAK, WARNING, NOTE].index)
    assert set(levels) == {LEAK, WARNING}


def test_an_untrained_head_that_tells_labels_apart_by_luck_is_not_called_a_memory() -> None:
    """With features that separate the labels a random head does better than chance at times; it is never sure."""
    called = 0
    for seed in range(30):
        one = planted.clean()
        features = np.random.default_rng(seed).normal(size=(len(one.clips), 300))
        features[:, :3] += 5 * np.eye(3)[folds.targets(one.clips)]
        records = []
        for number, record in enumerate(one.folds):
            head = planted.Head(one.clips, 1000 * seed + number)
            head.features, head.weights = features, head.weights * 10
            records.append(replace(record, untrained=head.frozen()))
        called += any(found.check == "memory" for found in run_audit(replace(one, folds=records)).findings)
    assert called == 0


def test_patients_whom_near_duplicates_connect_are_one_to_its_tests() -> None:
    clean = planted.clean()
    paths, patients = clean.clips["path"], clean.clips["patient"]
    one = pd.DataFrame(
        [(paths[0], patients[0], paths.iloc[-1], patients.iloc[-1], 0.1)],
        columns=["path", "patient", "other_path", "other_patient", "distance"],
    )
    joined = replace(clean, near_duplicates=one)
    assert len(set(clean.groups)) == patients.nunique()
    assert len(set(joined.groups)) == patients.nunique() - 1
    assert joined.groups[0] == joined.groups[-1]
    assert len(set(joined.patients)) == patients.nunique()  # on both sides they are a finding of their own
