from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lus.checks import shortcuts
from lus.clips import layouts

Row = tuple[str, str, str]


def _table(labels: list[str], patients: list[str], **properties: list[str] | list[int] | list[float]) -> pd.DataFrame:
    """A cohort table; properties that are not given have one value."""
    same: dict[str, object] = dict.fromkeys(("source", "probe", "licence"), "x")
    same |= {"fps": 25.0, "width": 320, "height": 240, "frames": 100}
    paths = [f"{number:03}.avi" for number in range(len(labels))]
    return pd.DataFrame({"path": paths, "label": labels, "patient": patients} | same | properties)


def _row(table: pd.DataFrame, name: str) -> dict[str, object]:
    return table.set_index("property").loc[name].to_dict()


def test_a_property_that_goes_with_the_label_is_telling_and_says_by_which_values() -> None:
    labels = ["a"] * 12 + ["b"] * 12
    paths = [f"{number}.{'MPEG' if label == 'a' else 'mov'}" for number, label in enumerate(labels)]
    table = _table(labels, [f"p{number}" for number in range(24)], path=["0.mov", *paths[1:]])
    found = shortcuts.find_shortcuts(table, seed=0)
    assert found["property"].iloc[0] == "container"
    assert sorted(found["property"]) == sorted(shortcuts.PROPERTIES)
    container = _row(found, "container")
    assert container["strength"] == pytest.approx(23 / 24)
    assert (container["telling"], container["values"]) == (True, "mov: b 12 of 13; mpeg: a 11 of 11")
    assert container["p"] < 0.001


def test_a_value_that_only_one_patient_has_is_not_credited() -> None:
    patients = [f"p{number // 4}" for number in range(48)]
    labels = ["a" if number < 24 else "b" for number in range(48)]
    found = _row(shortcuts.find_shortcuts(_table(labels, patients, source=patients), seed=0), "source")
    assert (found["strength"], found["p"], found["telling"], found["values"]) == (0.5, 1.0, False, "")


def test_a_property_of_one_value_is_chance_whatever_the_labels() -> None:
    found = shortcuts.find_shortcuts(_table(["a", "b", "c", "c"], ["p", "q", "r", "r"]), seed=0)
    assert (found["strength"] == 1 / 3).all()
    assert (found["chance"] == 1 / 3).all()
    assert (found["p"] == 1).all()
    assert not found["telling"].any()


def test_many_clips_of_few_patients_are_little_evidence() -> None:
    labels = ["a"] * 40 + ["b"] * 40
    few = [f"p{number // 20}" for number in range(80)]
    many = [f"p{number // 4}" for number in range(80)]
    found = [
        _row(shortcuts.find_shortcuts(_table(labels, who, source=labels), seed=0), "source") for who in (few, many)
    ]
    assert [one["strength"] for one in found] == [1.0, 1.0]
    # Of the six ways to give two of four patients each label two are as good as the true one.
    assert found[0]["p"] == pytest.approx(1 / 3, abs=0.03)
    assert [one["telling"] for one in found] == [False, True]


def test_labels_count_as_equally_frequent() -> None:
    labels = ["a"] * 60 + ["b"] * 4
    values = ["rare"] * 6 + ["common"] * 54 + ["rare"] * 3 + ["common"]
    table = _table(labels, [f"p{number}" for number in range(64)], source=values)
    # Six of sixty a and three of four b have the rare value: it says b, though most of its clips are a.
    strength = (54 / 60 + 3 / 4) / 2
    assert _row(shortcuts.find_shortcuts(table, seed=0), "source")["strength"] == pytest.approx(strength)


def test_a_small_advantage_is_not_telling_however_certain() -> None:
    labels = ["a"] * 400 + ["b"] * 400
    values = ["x"] * 228 + ["y"] * 172 + ["x"] * 172 + ["y"] * 228
    table = _table(labels, [f"p{number}" for number in range(800)], source=values)
    found = _row(shortcuts.find_shortcuts(table, seed=0, permutations=1000), "source")
    assert found["strength"] == pytest.approx(0.57)
    assert found["p"] < 0.01 / len(shortcuts.PROPERTIES)
    assert not found["telling"]


def test_a_permutation_that_loses_a_label_is_judged_by_the_others() -> None:
    # Where a patient of one clip draws the labels of p, no clip is left to be b and the guess a is right more often.
    table = _table(["a", "b", "a", "a"], ["p", "p", "q", "r"], source=["x", "y", "x", "x"])
    found = _row(shortcuts.find_shortcuts(table, seed=0), "source")
    assert (found["strength"], found["p"]) == (0.75, 1.0)


def test_rates_are_rounded_sizes_are_whole_and_frames_fall_into_quarters() -> None:
    labels = ["a"] * 4 + ["b"] * 4
    table = _table(
        labels,
        [f"p{number}" for number in range(8)],
        fps=[24.9, 25.0, 25.2, 25.4, 49.8, 50.0, 50.1, 50.3],
        width=[320, 320, 320, 320, 640, 640, 640, 640],
        frames=[20, 21, 22, 23, 90, 91, 95, 99],
    )
    found = shortcuts.find_shortcuts(table, seed=0).set_index("property")
    assert found.loc["rate", "values"] == "25: a 4 of 4; 50: b 4 of 4"
    assert found.loc["size", "values"] == "320x240: a 4 of 4; 640x240: b 4 of 4"
    assert list(found.loc[["rate", "size", "frames"], "strength"]) == [1.0, 1.0, 1.0]


def test_a_seed_fixes_the_outcome() -> None:
    labels = ["a", "b", "b", "a", "b", "a", "a", "b"]
    table = _table(labels, list("ppqqrrst"), source=list("xxyxyyxy"))
    first, again, other = (shortcuts.find_shortcuts(table, seed, permutations=200) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert list(first["p"]) != list(other["p"])


def _by_hand(values: list[str], labels: list[str], patients: list[str]) -> float:
    """The definition of a strength, clip by clip."""
    names = sorted(set(labels))
    recalls: dict[str, list[float]] = {name: [] for name in names}
    for value, label, patient in zip(values, labels, patients, strict=True):
        others = [number for number, who in enumerate(patients) if who != patient]
        shares = []
        for name in names:
            of_label = [number for number in others if labels[number] == name]
            alike = [number for number in of_label if values[number] == value]
            shares.append(len(alike) / len(of_label) if of_label else 0.0)
        best = [name for name, share in zip(names, shares, strict=True) if share == max(shares)]
        recalls[label].append((label in best) / len(best))
    return float(np.mean([np.mean(hits) for hits in recalls.values()]))


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("pqrstu"), st.sampled_from("xyz")), min_size=4, max_size=24
).filter(lambda rows: len({row[0] for row in rows}) > 1 and len({row[2] for row in rows}) > 1)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, order=st.randoms(use_true_random=False))
def test_strengths_follow_their_definition_whatever_the_order_of_the_rows(rows: list[Row], order: object) -> None:
    labels, patients, values = (list(column) for column in zip(*rows, strict=True))
    table = _table(labels, patients, source=values, licence=[*"wv", *values[2:]])
    found = shortcuts.find_shortcuts(table, seed=3, permutations=50)
    assert _row(found, "source")["strength"] == pytest.approx(_by_hand(values, labels, patients))
    assert found["strength"].between(0, 1).all()
    assert found["p"].between(1 / 51, 1).all()
    shuffled = list(table.index)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(shortcuts.find_shortcuts(table.loc[shuffled], seed=3, permutations=50), found)


@pytest.mark.real
def test_containers_and_sources_of_the_public_clips_give_labels_away(upstream: Path) -> None:
    listed = layouts.list_clips(upstream / "jannisborn/covid19_ultrasound/data")
    convex = [one for one in listed if not one.refused and one.path.parent.name == "convex"]
    rows = [{**vars(one), "path": str(one.path)} for one in convex]
    same = {"fps": 25.0, "width": 320, "height": 240, "frames": 100}
    found = shortcuts.find_shortcuts(pd.DataFrame(rows).assign(**same), seed=0)
    assert set(found.loc[found["telling"], "property"]) == {"container", "source"}
    assert _row(found, "container")["values"] == "mpeg: healthy 24 of 24; mov: covid-19 14 of 15"
