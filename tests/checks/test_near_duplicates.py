from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lus.checks import near_duplicates
from lus.clips import layouts, sampling
from lus.common import params_file, workers
from lus.phantom.clip import simulate_clip
from lus.phantom.cohort import plan_patients
from tests.conftest import ROOT, draw_frames, write_video
from tests.phantoms import SIMULATE

PARAMS = params_file.load_params(ROOT / "params.yaml")
Frames = np.ndarray
Row = tuple[str, str, str]


def _sampled(path: Path, frames: Frames) -> np.ndarray:
    """The fingerprint of a clip that is written to a file and decoded again."""
    write_video(path, frames)
    indices = sampling.union_indices(len(frames), (min(len(frames), 20),))
    return near_duplicates.hash_frames(sampling.read_frames(path, indices, 299)[0])


@pytest.fixture(scope="module")
def phantoms() -> list[Frames]:
    """Clips of four phantom patients: the two pairs of this phantom that look most alike."""
    patients = {one.id: one for one in plan_patients(SIMULATE)}
    return [simulate_clip(patients[name], number) for name, number in (("p07", 0), ("p23", 0), ("p30", 0), ("p37", 1))]


@pytest.fixture(scope="module")
def originals(phantoms: list[Frames], tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("originals")
    return [_sampled(folder / f"{number}.avi", frames) for number, frames in enumerate(phantoms)]


def _clips(*rows: Row) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["path", "patient", "label"])


def _pairs(clips: pd.DataFrame, fingerprints: list[np.ndarray]) -> list[tuple[str, str]]:
    found = near_duplicates.find_near_duplicates(clips, fingerprints)
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
    assert near_duplicates.group_patients(clips, pairs) == [
        "p + q + r",
        "p + q + r",
        "p + q + r",
        "s",
        "p + q + r",
        "s",
    ]
    assert near_duplicates.group_patients(clips, pairs[:0]) == clips["patient"].tolist()


def test_patients_are_one_group_through_one_whose_clips_are_all_left_out() -> None:
    clips = _clips(("0", "p", "a"), ("1", "r", "a"), ("2", "s", "a"))
    pairs = pd.DataFrame([("p", "q"), ("q", "r")], columns=["patient", "other_patient"])
    assert near_duplicates.group_patients(clips, pairs) == ["p + r", "p + r", "s"]


def test_one_file_under_several_patients_or_labels_is_a_pair_for_each_further_one() -> None:
    rows = [
        ("1", "p", "a", "x"),
        ("2", "q", "a", "x"),
        ("3", "p", "b", "x"),
        ("4", "p", "a", "x"),
        ("5", "r", "a", "y"),
    ]
    clips = pd.DataFrame(rows, columns=["path", "patient", "label", "clip_id"])
    assert near_duplicates.find_identical_files(clips).to_numpy().tolist() == [
        ["1", "p", "a", "2", "q", "a", 0.0],
        ["1", "p", "a", "3", "p", "b", 0.0],
    ]
    assert list(near_duplicates.find_identical_files(clips[-1:])) == list(near_duplicates.find_identical_files(clips))


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
    found = near_duplicates.find_near_duplicates(clips, fingerprints)
    assert list(found.columns) == [
        *("path", "patient", "label"),
        *("other_path", "other_patient", "other_label"),
        "distance",
    ]
    assert found.to_numpy().tolist() == [
        ["2", "p2", "a", "2-same", "p4", "b", 0.0],
        ["1", "p1", "a", "1-changed", "p3", "b", 16 / 576],
    ]
    assert len(near_duplicates.find_near_duplicates(clips, fingerprints, threshold=0.01)) == 1


def test_frames_that_show_nothing_leave_no_hash_and_make_no_match() -> None:
    rng = np.random.default_rng(0)
    noisy_black = np.repeat(rng.integers(0, 8, (20, 299, 299, 1), dtype=np.uint8), 3, axis=-1)
    white = np.full_like(noisy_black, 255)
    shown = draw_frames(20, 299, 299, 1, stripes=3)

    def with_shown(blank: Frames, count: int) -> np.ndarray:
        return near_duplicates.hash_frames(np.concatenate([blank[count:], shown[:count]]))

    assert [len(with_shown(blank, 0)) for blank in (noisy_black, white)] == [0, 0]
    clips = _clips(("black", "p", "a"), ("white", "q", "a"))
    for count, pairs in ((0, []), (4, []), (5, [("black", "white")])):
        assert _pairs(clips, [with_shown(noisy_black, count), with_shown(white, count)]) == pairs


def test_clips_that_share_only_blank_frames_are_no_pair(phantoms: list[Frames], tmp_path: Path) -> None:
    halves = [frames[:12].copy() for frames in phantoms[:2]]
    clips = [
        _sampled(tmp_path / f"{number}.avi", np.concatenate([half[:6], np.zeros_like(half), half[6:]]))
        for number, half in enumerate(halves)
    ]
    assert all(0 < len(one) <= 12 for one in clips)
    assert _pairs(_clips(("0", "p", "a"), ("1", "q", "a")), clips) == []


def test_a_fingerprint_is_small_and_holds_a_row_for_each_frame(originals: list[np.ndarray]) -> None:
    assert all(one.shape == (20, len(near_duplicates.VIEWS), 72) and one.dtype == np.uint8 for one in originals)


def test_fingerprints_that_do_not_fit_the_clips_are_refused(originals: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="1 fingerprints were given for 2 clips"):
        near_duplicates.find_near_duplicates(_clips(("0", "p", "a"), ("1", "q", "a")), originals[:1])


def _public(upstream: Path) -> list[layouts.ListedClip]:
    listed = layouts.list_clips(upstream / "jannisborn/covid19_ultrasound/data")
    return [one for one in listed if not one.refused and one.path.parent.name == "convex"]


@pytest.mark.real
def test_two_pairs_of_the_public_clips_show_one_place_of_one_patient(upstream: Path) -> None:
    listed = _public(upstream)
    fingerprints = workers.run_jobs(_public_fingerprint, [one.path for one in listed])
    clips = _clips(*((one.path.stem, one.patient, one.label) for one in listed))
    assert len(clips) == 119
    name = "Pneu_northumbria_0409_{}".format
    assert _pairs(clips, fingerprints) == [
        (name("set5_vid1"), name("set5_vid2")),
        (name("set2_vid3"), name("set2_vid4")),
    ]


def _public_fingerprint(path: Path) -> np.ndarray:
    return near_duplicates.hash_frames(sampling.sample(path, (20,), 299, PARAMS.limits).frames)
