from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lus.checks import leaks
from lus.clips import decode, layouts
from lus.common import params, workers
from lus.phantom.clip import simulate_clip
from lus.phantom.cohort import plan
from tests.conftest import ROOT, draw_frames, write_video

PARAMS = params.load(ROOT / "params.yaml")
Frames = np.ndarray
Row = tuple[str, str, str]


def _sampled(path: Path, frames: Frames) -> np.ndarray:
    """The fingerprint of a clip that is written to a file and decoded again."""
    write_video(path, frames)
    indices = decode.union_indices(len(frames), (min(len(frames), 20),))
    return leaks.fingerprint(decode.read_frames(path, indices, 299)[0])


@pytest.fixture(scope="module")
def phantoms() -> list[Frames]:
    """Clips of four phantom patients: the two pairs of the default phantom that look most alike."""
    patients = {one.id: one for one in plan(PARAMS.simulate)}
    return [simulate_clip(patients[name], number) for name, number in (("p07", 0), ("p23", 0), ("p30", 0), ("p37", 1))]


@pytest.fixture(scope="module")
def originals(phantoms: list[Frames], tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("originals")
    return [_sampled(folder / f"{number}.avi", frames) for number, frames in enumerate(phantoms)]


def _clips(*rows: Row) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["path", "patient", "label"])


def _pairs(clips: pd.DataFrame, fingerprints: list[np.ndarray]) -> list[tuple[str, str]]:
    found = leaks.near_duplicates(clips, fingerprints)
    return list(zip(found["path"], found["other_path"], strict=True))


def _cut(frames: Frames, left: float, upper: float, right: float, lower: float) -> Frames:
    height, width = frames.shape[1:3]
    return frames[:, int(height * upper) : int(height * (1 - lower)), int(width * left) : int(width * (1 - right))]


def _scaled(frames: Frames, factor: float) -> Frames:
    return np.stack([cv2.resize(one, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) for one in frames])


def _lit(frames: Frames, contrast: float, brightness: float) -> Frames:
    return np.clip(frames * contrast + brightness, 0, 255).astype(np.uint8)


def _middle(frames: Frames) -> Frames:
    return frames[int(0.15 * len(frames)) : int(0.85 * len(frames))]


COPIES: dict[str, Callable[[Frames], Frames]] = {
    "another codec": lambda frames: frames,
    "half the size": lambda frames: _scaled(frames, 0.5),
    "the middle 70 %": _middle,
    "the first half": lambda frames: frames[: len(frames) // 2],
    "brighter": lambda frames: _lit(frames, 1.0, 30),
    "darker": lambda frames: _lit(frames, 0.6, 0),
    "more contrast": lambda frames: _lit(frames, 1.4, -20),
    "cropped on all sides": lambda frames: _cut(frames, 0.03, 0.03, 0.03, 0.03),
    "cropped at a corner": lambda frames: _cut(frames, 0.03, 0.03, 0, 0),
    "cropped at another corner": lambda frames: _cut(frames, 0, 0.03, 0.03, 0),
    "cropped at the bottom": lambda frames: _cut(frames, 0, 0, 0, 0.03),
    "every second frame": lambda frames: frames[::2],
    "mirrored": lambda frames: frames[:, :, ::-1],
    "several at once": lambda frames: _scaled(_cut(_lit(_middle(frames), 1.2, 10), 0.02, 0.02, 0.02, 0.02), 0.5)[::2],
}


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_under_another_patient_is_found_and_nothing_else(
    change: str, phantoms: list[Frames], originals: list[np.ndarray], tmp_path: Path
) -> None:
    copy = _sampled(tmp_path / "copy.mp4", COPIES[change](phantoms[0]))
    clips = _clips(("0", "p0", "a"), ("1", "p1", "a"), ("2", "p2", "b"), ("3", "p3", "b"), ("copy", "p4", "a"))
    assert _pairs(clips, [*originals, copy]) == [("0", "copy")]


def test_a_copy_counts_where_the_patient_or_the_label_differs(originals: list[np.ndarray]) -> None:
    one = originals[0]
    rows = ("first", "p", "a"), ("same", "p", "a"), ("label", "p", "b"), ("patient", "q", "a")
    assert sorted(_pairs(_clips(*rows), [one] * 4)) == [
        ("first", "label"),
        ("first", "patient"),
        ("label", "patient"),
        ("same", "label"),
        ("same", "patient"),
    ]


def test_patients_whom_near_duplicates_connect_are_one_group() -> None:
    clips = _clips(("0", "p", "a"), ("1", "q", "a"), ("2", "r", "a"), ("3", "s", "a"), ("4", "p", "a"), ("5", "s", "b"))
    sides = [("p", "q"), ("q", "r"), ("s", "s")]
    pairs = pd.DataFrame(sides, columns=["patient", "other_patient"])
    assert leaks.joined(clips, pairs) == ["p + q + r", "p + q + r", "p + q + r", "s", "p + q + r", "s"]
    assert leaks.joined(clips, pairs[:0]) == clips["patient"].tolist()


def test_patients_are_one_group_through_one_whose_clips_are_all_left_out() -> None:
    clips = _clips(("0", "p", "a"), ("1", "r", "a"), ("2", "s", "a"))
    pairs = pd.DataFrame([("p", "q"), ("q", "r")], columns=["patient", "other_patient"])
    assert leaks.joined(clips, pairs) == ["p + r", "p + r", "s"]


def test_one_file_under_several_patients_or_labels_is_a_pair_for_each_further_one() -> None:
    rows = [
        ("1", "p", "a", "x"),
        ("2", "q", "a", "x"),
        ("3", "p", "b", "x"),
        ("4", "p", "a", "x"),
        ("5", "r", "a", "y"),
    ]
    clips = pd.DataFrame(rows, columns=["path", "patient", "label", "clip_id"])
    assert leaks.identical(clips).to_numpy().tolist() == [
        ["1", "p", "a", "2", "q", "a", 0.0],
        ["1", "p", "a", "3", "p", "b", 0.0],
    ]
    assert list(leaks.identical(clips[-1:])) == list(leaks.identical(clips))


def test_two_cuts_of_one_recording_that_overlap_are_found(phantoms: list[Frames], tmp_path: Path) -> None:
    frames, part = phantoms[0], int(0.6 * len(phantoms[0]))
    cuts = [_sampled(tmp_path / "start.avi", frames[:part]), _sampled(tmp_path / "end.avi", frames[-part:])]
    assert _pairs(_clips(("start", "p", "a"), ("end", "q", "a")), cuts) == [("start", "end")]


def test_a_quarter_of_the_frames_makes_a_pair(originals: list[np.ndarray]) -> None:
    shared, one, other = originals[0], originals[1], originals[2]
    clips = _clips(("one", "p", "a"), ("other", "q", "a"))
    for count, pairs in ((4, []), (5, [("one", "other")])):
        mixed = [np.concatenate([shared[:count], own[count:]]) for own in (one, other)]
        assert _pairs(clips, mixed) == pairs


def test_the_pairs_say_who_is_alike_and_how_much_the_nearest_first(originals: list[np.ndarray]) -> None:
    changed = originals[1].copy()
    changed[..., :4] ^= 0b10101010
    clips = _clips(("1", "p1", "a"), ("2", "p2", "a"), ("1-changed", "p3", "b"), ("2-same", "p4", "b"))
    fingerprints = [originals[1], originals[2], changed, originals[2]]
    found = leaks.near_duplicates(clips, fingerprints)
    assert list(found.columns) == [
        *("path", "patient", "label"),
        *("other_path", "other_patient", "other_label"),
        "distance",
    ]
    assert found.to_numpy().tolist() == [
        ["2", "p2", "a", "2-same", "p4", "b", 0.0],
        ["1", "p1", "a", "1-changed", "p3", "b", 16 / 576],
    ]
    assert len(leaks.near_duplicates(clips, fingerprints, threshold=0.01)) == 1


def test_frames_that_show_nothing_leave_no_hash_and_make_no_match() -> None:
    rng = np.random.default_rng(0)
    noisy_black = np.repeat(rng.integers(0, 8, (20, 299, 299, 1), dtype=np.uint8), 3, axis=-1)
    white = np.full_like(noisy_black, 255)
    shown = draw_frames(20, 299, 299, 1, stripes=3)

    def with_shown(blank: Frames, count: int) -> np.ndarray:
        return leaks.fingerprint(np.concatenate([blank[count:], shown[:count]]))

    assert [len(with_shown(blank, 0)) for blank in (noisy_black, white)] == [0, 0]
    clips = _clips(("black", "p", "a"), ("white", "q", "a"))
    for count, pairs in ((0, []), (4, []), (5, [("black", "white")])):
        assert _pairs(clips, [with_shown(noisy_black, count), with_shown(white, count)]) == pairs


def test_clips_that_share_only_blank_frames_are_no_pair(phantoms: list[Frames], tmp_path: Path) -> None:
    halves = [frames[:12].copy() for frames in phantoms[:2]]
    clips = [
        _sampled(tmp_path / f"{number}.avi", np.concatenate([np.zeros_like(half), half]))
        for number, half in enumerate(halves)
    ]
    assert all(0 < len(one) <= 12 for one in clips)
    assert _pairs(_clips(("0", "p", "a"), ("1", "q", "a")), clips) == []


def test_a_fingerprint_is_small_and_holds_a_row_for_each_frame(originals: list[np.ndarray]) -> None:
    assert all(one.shape == (20, len(leaks.VIEWS), 72) and one.dtype == np.uint8 for one in originals)


def test_fingerprints_that_do_not_fit_the_clips_are_refused(originals: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="1 fingerprints were given for 2 clips"):
        leaks.near_duplicates(_clips(("0", "p", "a"), ("1", "q", "a")), originals[:1])


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
    found = leaks.shortcuts(table, seed=0)
    assert found["property"].iloc[0] == "container"
    assert sorted(found["property"]) == sorted(leaks.PROPERTIES)
    container = _row(found, "container")
    assert container["strength"] == pytest.approx(23 / 24)
    assert (container["telling"], container["values"]) == (True, "mov: b 12 of 13; mpeg: a 11 of 11")
    assert container["p"] < 0.001


def test_a_value_that_only_one_patient_has_is_not_credited() -> None:
    patients = [f"p{number // 4}" for number in range(48)]
    labels = ["a" if number < 24 else "b" for number in range(48)]
    found = _row(leaks.shortcuts(_table(labels, patients, source=patients), seed=0), "source")
    assert (found["strength"], found["p"], found["telling"], found["values"]) == (0.5, 1.0, False, "")


def test_a_property_of_one_value_is_chance_whatever_the_labels() -> None:
    found = leaks.shortcuts(_table(["a", "b", "c", "c"], ["p", "q", "r", "r"]), seed=0)
    assert (found["strength"] == 1 / 3).all()
    assert (found["chance"] == 1 / 3).all()
    assert (found["p"] == 1).all()
    assert not found["telling"].any()


def test_many_clips_of_few_patients_are_little_evidence() -> None:
    labels = ["a"] * 40 + ["b"] * 40
    few = [f"p{number // 20}" for number in range(80)]
    many = [f"p{number // 4}" for number in range(80)]
    found = [_row(leaks.shortcuts(_table(labels, who, source=labels), seed=0), "source") for who in (few, many)]
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
    assert _row(leaks.shortcuts(table, seed=0), "source")["strength"] == pytest.approx(strength)


def test_a_small_advantage_is_not_telling_however_certain() -> None:
    labels = ["a"] * 400 + ["b"] * 400
    values = ["x"] * 228 + ["y"] * 172 + ["x"] * 172 + ["y"] * 228
    table = _table(labels, [f"p{number}" for number in range(800)], source=values)
    found = _row(leaks.shortcuts(table, seed=0, permutations=1000), "source")
    assert found["strength"] == pytest.approx(0.57)
    assert found["p"] < 0.01 / len(leaks.PROPERTIES)
    assert not found["telling"]


def test_a_permutation_that_loses_a_label_is_judged_by_the_others() -> None:
    # Where a patient of one clip draws the labels of p, no clip is left to be b and the guess a is right more often.
    table = _table(["a", "b", "a", "a"], ["p", "p", "q", "r"], source=["x", "y", "x", "x"])
    found = _row(leaks.shortcuts(table, seed=0), "source")
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
    found = leaks.shortcuts(table, seed=0).set_index("property")
    assert found.loc["rate", "values"] == "25: a 4 of 4; 50: b 4 of 4"
    assert found.loc["size", "values"] == "320x240: a 4 of 4; 640x240: b 4 of 4"
    assert list(found.loc[["rate", "size", "frames"], "strength"]) == [1.0, 1.0, 1.0]


def test_a_seed_fixes_the_outcome() -> None:
    labels = ["a", "b", "b", "a", "b", "a", "a", "b"]
    table = _table(labels, list("ppqqrrst"), source=list("xxyxyyxy"))
    first, again, other = (leaks.shortcuts(table, seed, permutations=200) for seed in (1, 1, 2))
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
    found = leaks.shortcuts(table, seed=3, permutations=50)
    assert _row(found, "source")["strength"] == pytest.approx(_by_hand(values, labels, patients))
    assert found["strength"].between(0, 1).all()
    assert found["p"].between(1 / 51, 1).all()
    shuffled = list(table.index)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(leaks.shortcuts(table.loc[shuffled], seed=3, permutations=50), found)


def _public(upstream: Path) -> list[layouts.Listed]:
    listed = layouts.list_clips(upstream / "jannisborn/covid19_ultrasound/data")
    return [one for one in listed if not one.refused and one.path.parent.name == "convex"]


@pytest.mark.real
def test_containers_and_sources_of_the_public_clips_give_labels_away(upstream: Path) -> None:
    listed = [{**vars(one), "path": str(one.path)} for one in _public(upstream)]
    same = {"fps": 25.0, "width": 320, "height": 240, "frames": 100}
    found = leaks.shortcuts(pd.DataFrame(listed).assign(**same), seed=0)
    assert set(found.loc[found["telling"], "property"]) == {"container", "source"}
    assert _row(found, "container")["values"] == "mpeg: healthy 24 of 24; mov: covid-19 14 of 15"


@pytest.mark.real
def test_two_pairs_of_the_public_clips_show_one_place_of_one_patient(upstream: Path) -> None:
    listed = _public(upstream)
    fingerprints = workers.run(_public_fingerprint, [one.path for one in listed])
    clips = _clips(*((one.path.stem, one.patient, one.label) for one in listed))
    assert len(clips) == 119
    name = "Pneu_northumbria_0409_{}".format
    assert _pairs(clips, fingerprints) == [
        (name("set5_vid1"), name("set5_vid2")),
        (name("set2_vid3"), name("set2_vid4")),
    ]


def _public_fingerprint(path: Path) -> np.ndarray:
    return leaks.fingerprint(decode.sample(path, (20,), 299, PARAMS.limits).frames)
