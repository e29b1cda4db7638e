"""The phantom cohort: its physics, its folder, its determinism."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp, kstest

from lus.common.errors import BadInput
from lus.common.params import Profile, Simulate
from lus.phantom import (
    CALIBRATION_TIMES,
    DEVICES,
    Patient,
    draw_example_clips,
    draw_examples,
    draw_patient,
    plan_patients,
    simulate_clip,
    simulate_cohort,
)
from lus.phantom.clip import Scene, build_scene, locate_structures, receive_frames, simulate_echoes
from lus.phantom.cohort import apportion, clip_name, write_clip
from lus.phantom.patient import draw_motion
from lus.phantom.scan import BEAMS, ROWS, blur, envelope, make_grid, make_point_spread

LABELS: dict[str, dict[Profile, float]] = {
    "healthy": {"a-lines": 0.85, "b-lines": 0.15},
    "covid-19": {"b-lines": 0.85, "a-lines": 0.15},
    "pneumonia": {"consolidation": 0.6, "b-lines-still": 0.4},
}
TINY = Simulate(seed=3, patients=2, clips=1, frames=24, labels={k: LABELS[k] for k in ("healthy", "pneumonia")})


def patient(profile: Profile, number: int = 0, device: int = 0) -> Patient:
    return draw_patient("p01", "any", profile, DEVICES[device], (11, 0, number), 24)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "clips.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    video, frames = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    return frames


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    simulate_cohort(TINY, folder, workers=1)
    return folder


def test_same_seed_gives_same_bytes_twice_and_with_two_workers(cohort: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    simulate_cohort(TINY, tmp_path / "two", progress=lambda done, total: seen.append((done, total)), workers=2)
    assert contents(tmp_path / "two") == contents(cohort)
    assert seen == [(i, 4) for i in (1, 2, 3, 4)]
    simulate_cohort(TINY, tmp_path / "two", workers=1)
    assert contents(tmp_path / "two") == contents(cohort)
    assert [p.name for p in tmp_path.iterdir()] == ["two"]


def test_another_seed_another_clip_and_another_patient_give_other_frames() -> None:
    who = patient("a-lines", device=2)
    first = simulate_clip(who, 0)
    for other in (simulate_clip(who, 1), simulate_clip(patient("a-lines", 1, 2), 0)):
        assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], simulate_clip(replace(who, key=(12, 0, 0)), 0)[0])


def test_table_names_every_file_once_and_each_patient_in_one_label(cohort: Path) -> None:
    rows = table(cohort)
    assert list(rows[0]) == ["path", "label", "patient", "source", "probe"]
    assert sorted([r["path"] for r in rows] + ["clips.csv"]) == sorted(p.name for p in cohort.iterdir())
    assert Counter(r["label"] for r in rows) == {"healthy": 2, "pneumonia": 2}
    assert len({(r["patient"], r["label"]) for r in rows}) == len({r["patient"] for r in rows}) == 4
    assert {r["probe"] for r in rows} == {"convex"}
    assert {r["source"] for r in rows} <= {d.name for d in DEVICES}


def test_every_file_decodes_to_at_least_24_frames_of_its_device(cohort: Path) -> None:
    devices = {d.name: d for d in DEVICES}
    for row in table(cohort):
        frames, device = decoded(cohort / row["path"]), devices[row["source"]]
        assert len(frames) >= 24
        assert frames[0].shape == (device.height, device.width, 3)


@pytest.mark.parametrize("device", range(len(DEVICES)))
def test_every_device_writes_a_file_that_shows_what_was_simulated(device: int, tmp_path: Path) -> None:
    who = patient("consolidation", device=device)
    write_clip((who, 0, tmp_path))
    frames, made = decoded(tmp_path / clip_name(who, 0)), simulate_clip(who, 0)
    assert len(frames) == len(made)
    assert np.abs(frames[0][..., ::-1].astype(float) - made[0]).mean() < 4


def test_devices_and_neutral_names_do_not_tell_the_label() -> None:
    patients = plan_patients(Simulate(seed=1, patients=8, clips=1, frames=45, labels=LABELS))
    assert Counter((p.label, p.device.name) for p in patients) == {
        (label, d.name): 2 for label in LABELS for d in DEVICES
    }
    assert [p.id for p in patients] == [f"p{i:02d}" for i in range(1, 25)]
    assert len({p.label for p in patients[:8]}) > 1


def test_profiles_are_dealt_out_by_quota() -> None:
    patients = plan_patients(Simulate(seed=1, patients=8, clips=1, frames=45, labels=LABELS))
    assert Counter((p.label, p.profile) for p in patients) == {
        ("healthy", "a-lines"): 7,
        ("healthy", "b-lines"): 1,
        ("covid-19", "b-lines"): 7,
        ("covid-19", "a-lines"): 1,
        ("pneumonia", "consolidation"): 5,
        ("pneumonia", "b-lines-still"): 3,
    }
    assert apportion([1, 1, 1], 4) == [2, 1, 1]
    assert apportion([0, 2], 3) == [0, 3]


def test_uniform_scatterers_give_fully_developed_speckle() -> None:
    who = patient("a-lines")
    psf, rng = make_point_spread(who, make_grid(who)), np.random.default_rng(0)
    looks = [envelope(blur(rng.standard_normal((ROWS, BEAMS, 2), np.float32), psf))[20:-20, 20:-20] for _ in range(8)]
    field = np.stack(looks)
    field /= np.sqrt((field**2).mean(axis=(0, 2), keepdims=True) / 2)
    assert field.mean() / field.std() == pytest.approx(1.913, abs=0.04)
    assert kstest(field[:, ::12, ::25].ravel(), "rayleigh").statistic < 0.05


def plain(scene: Scene) -> Scene:
    """The same scene with a level chest wall without ribs, fluid or diaphragm."""
    wall = replace(scene.wall, ribs=(), tilt=0.0, bow=0.0, organ=None, effusion=0 * scene.wall.effusion)
    return replace(scene, wall=wall)


@pytest.mark.parametrize("number", range(3))
def test_a_lines_lie_at_multiples_of_the_pleural_depth(number: int) -> None:
    scene = plain(build_scene(replace(patient("a-lines", number), severity=0.0), 0))
    at = np.arange(0.5, 3.5, 0.02)
    profile = np.zeros(len(at))
    for t, frame in zip(range(12), receive_frames(scene), strict=False):
        share = scene.beams.z[:, 0] / locate_structures(scene, t).pleura.mean()
        profile += np.interp(at, share, np.log(frame[:, 32:96]).mean(axis=1))
    for multiple in (1, 2, 3):
        window = np.abs(at - multiple) < 0.3
        assert at[window][profile[window].argmax()] == pytest.approx(multiple, abs=0.07)


def test_b_lines_stay_bright_where_a_normal_lung_goes_dark() -> None:
    deep = {
        profile: np.mean(
            [
                next(receive_frames(build_scene(replace(patient(profile, n), severity=0.9), 0)))[-120:].mean()
                for n in range(6)
            ]
        )
        for profile in ("a-lines", "b-lines")
    }
    assert deep["b-lines"] > 2 * deep["a-lines"]


def test_sliding_lung_is_the_still_twin_seen_from_another_place() -> None:
    """One frame can tell nothing: it is a frame of the still twin whose random start lies elsewhere."""
    moving, still = build_scene(patient("b-lines"), 0), build_scene(patient("b-lines-still"), 0)
    for t in (0, 9, 23):
        gone = float(moving.motion.slide_mm[t] - still.motion.slide_mm[t])
        there = replace(still, lung=replace(still.lung, start_mm=still.lung.start_mm + gone))
        np.testing.assert_allclose(simulate_echoes(moving, t), simulate_echoes(there, t), atol=2e-3)


def likeness(frames: NDArray[np.uint8], lag: int, rows: slice) -> float:
    part = frames[:, rows, frames.shape[2] // 3 : -frames.shape[2] // 3, 0].astype(float)
    pairs = zip(part[:-lag], part[lag:], strict=True)
    return float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))


def test_only_the_time_course_tells_sliding_from_still() -> None:
    single: dict[str, list[NDArray[np.float64]]] = {"b-lines": [], "b-lines-still": []}
    gaps, wall = [], []
    for n in range(6):
        clips = {p: simulate_clip(patient(p, n, 2), 0) for p in ("b-lines", "b-lines-still")}
        for name, frames in clips.items():
            half = frames[len(frames) // 2, 90:, :, 0].astype(float)
            rough = np.abs(np.diff(half, axis=0)).mean(), np.abs(np.diff(half, axis=1)).mean()
            single[name].append(np.array([half.mean(), half.std(), *rough]))
        lung = [likeness(clips[p], 10, slice(90, 190)) for p in ("b-lines-still", "b-lines")]
        chest = [likeness(clips[p], 10, slice(12, 30)) for p in ("b-lines-still", "b-lines")]
        gaps.append(lung[0] - lung[1])
        wall.append(abs(chest[0] - chest[1]))
    moving, still = (np.array(single[name]) for name in ("b-lines", "b-lines-still"))
    assert min(ks_2samp(moving[:, i], still[:, i]).pvalue for i in range(4)) > 0.5
    assert np.median(gaps) > 0.15
    assert np.max(wall) < 0.05


def test_still_lungs_and_chest_walls_move_too() -> None:
    motion = draw_motion(patient("a-lines-still"), 0)
    assert 0 < np.ptp(motion.slide_mm) < 1
    assert np.ptp(motion.along_mm) > 0.1
    assert np.ptp(draw_motion(patient("a-lines"), 0).slide_mm) > 3


@pytest.mark.parametrize("earlier", [False, True])
def test_interrupted_run_leaves_no_half_folder(earlier: bool, cohort: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    if earlier:
        folder.mkdir()
        (folder / "clips.csv").write_text("path\n")
    before = contents(folder) if earlier else {}

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_cohort(TINY, folder, progress=stop, workers=1)
    assert (contents(folder) if folder.exists() else {}) == before
    assert [p.name for p in tmp_path.iterdir()] == (["cohort"] if earlier else [])


def test_folder_with_anything_else_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(BadInput, match=r"thesis\.txt"):
        simulate_cohort(TINY, tmp_path, workers=1)
    assert (tmp_path / "thesis.txt").read_text() == "irreplaceable"


def test_some_frames_of_a_clip_show_what_they_show_in_the_whole_clip() -> None:
    one = patient("a-lines")
    whole, some = simulate_clip(one, 0), simulate_clip(one, 0, (0, 9))
    assert (some[0] == whole[0]).all()
    # The noise is another.
    assert np.corrcoef(some[1].ravel(), whole[9].ravel())[0, 1] > 0.99
    assert np.corrcoef(some[1].ravel(), whole[9].ravel())[0, 1] > np.corrcoef(some[0].ravel(), whole[9].ravel())[0, 1]


def test_the_examples_are_the_same_at_every_call_and_differ_from_each_other() -> None:
    first = draw_examples(96)
    first[:] = 0  # what a caller does to them stays with the caller
    frames = draw_examples(96)
    assert frames.shape == (30, 96, 96, 3)
    assert frames.dtype == np.uint8
    apart = np.abs(frames[:, None, ..., 1].astype(float) - frames[None, ..., 1]).mean(axis=(2, 3))
    assert (apart[~np.eye(30, dtype=bool)] > 0.5).all()
    assert np.abs(draw_examples(48)[..., 1].mean(axis=(1, 2)) - frames[..., 1].mean(axis=(1, 2))).max() < 1


def test_example_clips_are_the_same_for_ever_and_of_any_length() -> None:
    clips = draw_example_clips(5, 64)
    assert clips.shape == (3, 5, 64, 64, 3)
    assert np.array_equal(clips, draw_example_clips(5, 64))
    assert len({clip.tobytes() for clip in clips}) == 3
    assert draw_example_clips(40, 32).shape == (3, 40, 32, 32, 3)
    shown = {frame.tobytes() for frame in draw_examples(64, CALIBRATION_TIMES)}
    assert shown.isdisjoint({frame.tobytes() for clip in clips for frame in clip})
