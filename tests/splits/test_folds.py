from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lus.common.errors import BadInput
from lus.common.params import Folds
from lus.splits import folds

LABELS = ["a", "b", "c", "d"]


def _cohort(patients: list[int], clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of labels and names of patients: `patients[i]` patients of label i with up to `clips` clips each."""
    targets, names = [], []
    for label, count in enumerate(patients):
        for patient in range(count):
            for _ in range(1 + patient % clips):
                targets.append(label)
                names.append(f"{label}-{patient}")
    return np.array(targets), np.array(names, object)


@settings(deadline=None, max_examples=40)
@given(patients=st.lists(st.integers(5, 12), min_size=2, max_size=4), clips=st.integers(1, 5), seed=st.integers(0, 99))
def test_no_patient_stands_on_both_sides_and_every_clip_is_tested_once(
    patients: list[int], clips: int, seed: int
) -> None:
    targets, names = _cohort(patients, clips)
    made = folds.by_patient(targets, names, 5, seed, LABELS)
    for fold in made:
        assert not set(names[fold.train]) & set(names[fold.test])
        assert len(np.union1d(fold.train, fold.test)) == len(targets)
    assert sorted(np.concatenate([fold.test for fold in made])) == list(range(len(targets)))


@settings(deadline=None, max_examples=20)
@given(patients=st.lists(st.integers(8, 14), min_size=2, max_size=3), seed=st.integers(0, 99))
def test_what_a_part_is_chosen_by_holds_no_test_clip_and_no_patient_that_is_learnt_from(
    patients: list[int], seed: int
) -> None:
    targets, names = _cohort(patients, 3)
    clips = pd.DataFrame({"label": [LABELS[target] for target in targets], "patient": names})
    parts = folds.plan(clips, Folds(seed=seed, outer=4, inner=3))
    assert [part.name for part in parts] == ["fold-0", "fold-1", "fold-2", "fold-3", "all"]
    assert sorted(np.concatenate([part.test for part in parts])) == list(range(len(targets)))
    for part in parts:
        assert not set(names[part.train]) & set(names[part.test])
        assert sorted(np.concatenate([inner.test for inner in part.inner])) == sorted(part.train)
        for inner in part.inner:
            assert set(inner.train) | set(inner.test) == set(part.train)
            assert not set(names[inner.train]) & set(names[inner.test])
    assert len(parts[-1].train) == len(targets)


def test_the_same_seed_gives_the_same_folds_and_another_gives_others() -> None:
    targets, names = _cohort([10, 10], 3)
    first, again, other = (folds.by_patient(targets, names, 5, seed, LABELS) for seed in (1, 1, 2))
    assert [fold.test.tolist() for fold in first] == [fold.test.tolist() for fold in again]
    assert [fold.test.tolist() for fold in first] != [fold.test.tolist() for fold in other]


def test_a_label_with_too_few_patients_is_refused() -> None:
    targets, names = _cohort([4, 9], 2)
    with pytest.raises(BadInput, match=r"label a has clips of 4 patients to cut into 5 folds, .* lower folds\.outer"):
        folds.by_patient(targets, names, 5, 0, LABELS)


def test_a_training_part_with_too_few_patients_names_the_inner_folds() -> None:
    targets, names = _cohort([5, 9], 2)
    clips = pd.DataFrame({"label": [LABELS[target] for target in targets], "patient": names})
    with pytest.raises(BadInput, match=r"label a has clips of 4 patients to cut into 5 .* lower folds\.inner"):
        folds.plan(clips, Folds(seed=0, outer=5, inner=5))


def test_labels_are_numbered_in_alphabetical_order() -> None:
    clips = pd.DataFrame({"label": ["c", "a", "b", "a"]})
    assert folds.label_names(clips) == ["a", "b", "c"]
    assert folds.targets(clips).tolist() == [2, 0, 1, 0]


def _several_labels(seed: int) -> pd.DataFrame:
    """Five patients of a, all with clips of b too; others of b."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(5):
        rows += [(f"p{patient}", "a")] * int(rng.integers(1, 6)) + [(f"p{patient}", "b")] * int(rng.integers(1, 12))
    for patient in range(int(rng.integers(0, 9))):
        rows += [(f"q{patient}", "b")] * int(rng.integers(1, 8))
    return pd.DataFrame(rows, columns=["patient", "label"])


def test_patients_of_several_labels_who_cannot_be_spread_are_refused_with_what_helps() -> None:
    refused = {}
    for seed in range(120):
        try:
            folds.plan(_several_labels(seed), Folds(seed=11, outer=5, inner=4))
        except BadInput as error:
            refused[seed] = str(error)
    assert refused  # few are
    for seed, said in refused.items():
        assert said.startswith("label a has 5 patients, 3 of them outside the test part fold-")
        assert "5 have clips of other labels too, so that they could not be spread evenly" in said
        assert "lower folds.inner to 3 in params.yaml, give each patient one label" in said
        clips = _several_labels(seed)
        assert len(folds.plan(clips, Folds(seed=11, outer=5, inner=3))) == 6
        others = pd.DataFrame([(f"r{number}", "a") for number in range(5)], columns=["patient", "label"])
        assert len(folds.plan(pd.concat([clips, others]), Folds(seed=11, outer=5, inner=4))) == 6
