from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lus.clips import layouts
from lus.common.arrays import IntArray
from lus.common.errors import BadInput
from lus.common.params import Folds
from lus.splits import protocols
from lus.splits.folds import Part
from lus.splits.protocols import LeaveSourceOut, NestedPatient, Published, PublishedFresh

PARAMS = Folds(seed=11, outer=5, inner=3)


def _cohort(sources: dict[str, dict[str, int]], clips: int = 2) -> pd.DataFrame:
    """Patients of each label at each source, with some clips each."""
    rows = []
    for source, labels in sources.items():
        for label, patients in labels.items():
            for patient in range(patients):
                name = f"{source}-{label}-{patient}"
                rows += [(f"{source}/{name}-{clip}.mp4", label, name, source) for clip in range(clips)]
    return pd.DataFrame(rows, columns=["path", "label", "patient", "source"])


@pytest.fixture
def hospitals() -> pd.DataFrame:
    return _cohort({"north": {"a": 6, "b": 6}, "south": {"a": 5, "b": 7}, "one": {"a": 1}, "two": {"b": 1}})


def _patients_on_both_sides(part: Part, clips: pd.DataFrame) -> dict[str, IntArray]:
    """The patients that a part is trained and tested on, with the row numbers of all their clips in it."""
    patients = clips["patient"].to_numpy(str)
    both = np.intersect1d(patients[part.train], patients[part.test])
    rows = np.union1d(part.train, part.test)
    return {str(name): rows[patients[rows] == name] for name in both}


def test_each_says_whether_its_number_leaks_and_why() -> None:
    assert list(protocols.RULES) == ["nested-patient", "leave-source-out", "published", "published-fresh"]
    for name, rule in protocols.RULES.items():
        assert rule.leaking == name.startswith("published") == bool(rule.why)
        assert rule.carries_weights == (name == "published")
        assert rule.folds_alike == (name != "leave-source-out")


def test_nested_folds_are_those_of_the_plan(hospitals: pd.DataFrame) -> None:
    parts = NestedPatient(PARAMS).parts(hospitals)
    assert [part.name for part in parts] == ["fold-0", "fold-1", "fold-2", "fold-3", "fold-4", "all"]
    assert all(not _patients_on_both_sides(part, hospitals) for part in parts)


def test_each_source_is_tested_by_itself_and_the_small_ones_together(hospitals: pd.DataFrame) -> None:
    rule = LeaveSourceOut(PARAMS)
    groups, parts = rule.groups(hospitals), rule.parts(hospitals)
    assert list(groups) == ["north", "south", protocols.REST]
    assert [part.name for part in parts] == ["fold-0", "fold-1", "fold-2", "all"]
    sources = hospitals["source"].to_numpy()
    assert [set(sources[part.test]) for part in parts[:-1]] == [{"north"}, {"south"}, {"one", "two"}]
    for part, rows in zip(parts, groups.values(), strict=False):
        assert (part.test == rows).all()
        assert not set(sources[part.train]) & set(sources[part.test])
        assert not _patients_on_both_sides(part, hospitals)
        for inner in part.inner:
            assert set(inner.train) | set(inner.test) == set(part.train)
    assert sorted(np.concatenate([part.test for part in parts])) == list(range(len(hospitals)))


def test_a_test_patients_clips_of_another_source_are_not_learnt_from(hospitals: pd.DataFrame) -> None:
    hospitals.loc[hospitals["patient"] == "south-a-0", "patient"] = "north-a-0"
    parts = LeaveSourceOut(PARAMS).parts(hospitals)
    assert not any(_patients_on_both_sides(part, hospitals) for part in parts)
    north = hospitals["source"] == "north"
    assert len(parts[0].train) == (~north).sum() - 2


def test_a_source_without_which_a_label_is_too_small_is_not_tested(hospitals: pd.DataFrame) -> None:
    cohort = pd.concat([hospitals, _cohort({"rare": {"a": 2, "c": 4}, "else": {"c": 1, "a": 4}})], ignore_index=True)
    found = LeaveSourceOut(PARAMS).groups(cohort)
    # Of label c, 1 patient would be left without source rare, and 4 without source else.
    assert list(found) == ["else", "north", "south", protocols.REST]


def test_one_source_alone_is_refused_with_what_to_do(hospitals: pd.DataFrame) -> None:
    for cohort in (hospitals.assign(source=""), _cohort({"north": {"a": 6, "b": 1}, "south": {"b": 6, "a": 1}})):
        with pytest.raises(BadInput, match=r"leave-source-out needs two sources or more, and 3 patients .* nested"):
            LeaveSourceOut(PARAMS).parts(cohort)


def _write(path: Path, folds: dict[str, dict[str, list[str]]]) -> Path:
    path.write_text(json.dumps(folds))
    return path


def test_folds_by_name_are_those_of_the_file_and_chosen_by_their_own_test_clips(
    hospitals: pd.DataFrame, tmp_path: Path
) -> None:
    names = [Path(path).name for path in hospitals["path"]]
    file = _write(
        tmp_path / "folds.json",
        {
            "0": {"train": names[3:20], "test": [*names[:3], "elsewhere.mp4"]},
            "1": {"train": names[:3], "test": names[3:20]},
        },
    )
    for rule in (Published(file), PublishedFresh(file)):
        first, second, whole = rule.parts(hospitals)
        assert first.test.tolist() == [0, 1, 2]
        assert second.test.tolist() == list(range(3, 20))
        # Clips 2 and 3 are of one patient.
        both = _patients_on_both_sides(first, hospitals)
        assert {name: rows.tolist() for name, rows in both.items()} == {"north-a-1": [2, 3]}
        assert first.inner[0].test.tolist() == first.test.tolist()
        assert whole.train.tolist() == list(range(20))
        assert not len(whole.test)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "not found, a file of folds by clip name was expected"),
        ("{", "is no file of folds"),
        ("[1]", "is no file of folds"),
        ('{"0": {"test": ["a.mp4"]}}', "is no file of folds"),
        ('{"0": {"train": [1], "test": ["a.mp4"]}}', "a clip's name is no text"),
        ('{"0": {"train": 3, "test": ["a.mp4"]}}', "is no file of folds"),
        ("{}", "has no fold"),
        ('{"0": {"train": ["a.mp4"], "test": ["b.mp4"]}}', "fold 0 names no train clip of this cohort"),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    hospitals: pd.DataFrame, tmp_path: Path, content: str | None, what: str
) -> None:
    file = tmp_path / "folds.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadInput, match=what):
        Published(file).parts(hospitals)


def test_clips_of_one_name_cannot_be_told_apart(hospitals: pd.DataFrame, tmp_path: Path) -> None:
    hospitals.loc[1, "path"] = f"other/{Path(hospitals.loc[0, 'path']).name}"
    file = _write(tmp_path / "folds.json", {})
    with pytest.raises(BadInput, match=r"several clips are named north-a-0-0.mp4"):
        Published(file).parts(hospitals)


@pytest.mark.real
def test_the_published_folds_have_five_patients_on_both_sides(upstream: Path) -> None:
    listed = layouts.list_clips(upstream / "jannisborn/covid19_ultrasound/data", ())
    rows = [
        (str(one.path), one.label, one.patient, one.source)
        for one in listed
        if not one.refused and one.probe != "linear" and one.label != "viral-pneumonia"
    ]
    clips = pd.DataFrame(rows, columns=["path", "label", "patient", "source"])
    assert len(clips) == 119
    parts = Published(upstream / "b-mandelbrot/pulmonary-covid19/cross_val.json").parts(clips)
    assert len(parts) == 6
    assert sorted(np.concatenate([part.test for part in parts])) == list(range(119))
    both = [_patients_on_both_sides(part, clips) for part in parts]
    assert len({name for one in both for name in one}) == 5
    assert len({row for one in both for rows in one.values() for row in rows}) == 26
    # Seven sources have five clips or more; none of them is needed by the others.
    alone = LeaveSourceOut(Folds(seed=11, outer=5, inner=4)).groups(clips)
    assert sum(map(len, alone.values())) == 119
    assert len(alone) == 8
    assert list(alone)[-1] == protocols.REST


def test_a_protocol_is_made_by_its_name() -> None:
    file = Path("folds/own.json")
    named = [PARAMS.model_copy(update={"protocol": name, "file": str(file)}) for name in protocols.RULES]
    assert [protocols.make_protocol(one) for one in named] == [
        NestedPatient(named[0]),
        LeaveSourceOut(named[1]),
        Published(file),
        PublishedFresh(file),
    ]


def test_only_the_published_protocols_have_one_choice_for_all_folds() -> None:
    assert {name for name, rule in protocols.RULES.items() if rule.one_choice} == {"published", "published-fresh"}


def test_patients_who_show_one_scan_stand_on_one_side(hospitals: pd.DataFrame) -> None:
    twins = hospitals["patient"].isin(["north-a-0", "south-a-0"])
    hospitals["group"] = np.where(twins, "north-a-0 + south-a-0", hospitals["patient"])
    for rule in (NestedPatient(PARAMS), LeaveSourceOut(PARAMS)):
        for part in rule.parts(hospitals):
            for fold in (part, *part.inner):
                assert not set(hospitals["group"].iloc[fold.train]) & set(hospitals["group"].iloc[fold.test])
