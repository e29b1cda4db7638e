from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lus.checks import measures, rules
from lus.clips import decode
from lus.clips.decode import ClipInfo
from lus.clips.sampling import Sample
from lus.common import params_file
from lus.common.errors import Unusable
from tests.conftest import ROOT, draw_frames, write_video

LIMITS = params_file.load_params(ROOT / "params.yaml").limits
RULES = rules.make_rules(LIMITS, 20)
GOOD = ClipInfo(frames=24, fps=20, width=120, height=104)


def _thumbnails(frames: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(one[..., 1], (32, 32), interpolation=cv2.INTER_AREA) for one in frames])


def _values(frames: np.ndarray, info: ClipInfo = GOOD) -> dict[str, float]:
    sample = Sample(info, np.arange(len(frames)), frames, _thumbnails(frames))
    measured = measures.measure_frames(frames)
    return measures.measure_clip(sample, measured, rules.find_blank(measured, LIMITS))


def _broken(frames: np.ndarray, info: ClipInfo = GOOD) -> set[str]:
    return {finding.check for finding in rules.find_broken(_values(frames, info), RULES)}


def _reported(frames: np.ndarray) -> set[str]:
    return {finding.check for finding in rules.find_broken(_values(frames), RULES, reports=True)}


SPECKLE = draw_frames(20, 128, 128, 0)


def test_speckle_passes_every_rule() -> None:
    assert _broken(SPECKLE) == set()
    assert _reported(SPECKLE) == set()


def _clouds(seed: int, count: int, speed: int = 1) -> np.ndarray:
    """A smooth pattern that drifts: (count, 32, 32)."""
    width = speed * count + 32
    field = cv2.resize(np.random.default_rng(seed).integers(0, 255, (4, width // (16 * speed)), np.uint8), (width, 32))
    return np.stack([field[:, speed * t : speed * t + 32] for t in range(count)])


def _blurred() -> np.ndarray:
    return np.stack([np.repeat(cv2.resize(one, (256, 256))[..., None], 3, axis=-1) for one in _clouds(3, 20)])


def _tinted() -> np.ndarray:
    return (SPECKLE * np.array([1, 0.85, 0.7])).astype(np.uint8)


def _bordered() -> np.ndarray:
    frames = np.full_like(SPECKLE, 90)
    frames[:, 40:90, 40:90] = SPECKLE[:, 40:90, 40:90]
    frames[:, ::8, :4] = 200
    return frames


def _frozen() -> np.ndarray:
    return np.concatenate([SPECKLE[:8], np.repeat(SPECKLE[8:9], 12, axis=0)])


@pytest.mark.parametrize(
    ("frames", "broken"),
    [
        (SPECKLE // 20, {"brightness", "contrast", "coverage", "extent", "blank_share"}),
        (
            np.full_like(SPECKLE, 250),
            {"brightness", "contrast", "sharpness", "blank_share", "still_share", "coverage", "extent"},
        ),
        (np.repeat(SPECKLE[:1], 20, axis=0), {"still_share", "coverage", "extent"}),
        (_frozen(), {"still_share"}),
        (SPECKLE * np.array([1, 0.1, 0.1]), {"saturation"}),
        (_tinted(), set()),
        (_bordered(), {"extent"}),
        (_blurred(), {"sharpness"}),
    ],
    ids=["dark", "white", "still", "frozen", "red", "tinted", "borders", "blurred"],
)
def test_each_rule_finds_its_fault_and_no_other(frames: np.ndarray, broken: set[str]) -> None:
    assert _broken(frames.astype(np.uint8)) == broken


@pytest.mark.parametrize(
    ("info", "broken"),
    [
        (ClipInfo(12, 20, 120, 104), {"frames"}),
        (ClipInfo(24, 20, 120, 60), {"side"}),
        (ClipInfo(24, 20, 16000, 16000), {"pixels", "clip_pixels"}),
        (ClipInfo(24, 1000, 120, 104), {"fps"}),
        (ClipInfo(24, 0, 120, 104), set()),
        (ClipInfo(5001, 20, 120, 104), {"frames"}),
    ],
)
def test_what_a_clip_is_is_held_to_the_limits(info: ClipInfo, broken: set[str]) -> None:
    assert {finding.check for finding in rules.find_broken(measures.measure_shape(info), RULES)} == broken


def test_colours_of_all_hues_are_told_from_a_tint() -> None:
    hues = SPECKLE.copy()
    hues[:, :64, :, 0] //= 4
    hues[:, 64:, :, 2] //= 4
    assert "colour" in _broken(hues)
    assert _values(_tinted())["colour"] < 0.05


def test_letters_and_vivid_colours_are_reported_and_refuse_nothing() -> None:
    written, marked = SPECKLE // 4, SPECKLE // 2
    for frame in written:
        frame[:40] = 0
        cv2.putText(frame, "14 cm", (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
    marked[:, 100:106, 20:60] = (0, 255, 0)
    assert _reported(written) == {"overlay_text"}
    assert _reported(marked) == {"overlay_colour"}
    assert _broken(marked) == set()


def test_frame_measures_are_those_of_the_definition() -> None:
    frames = draw_frames(4, 32, 32, 1)
    measured = measures.measure_frames(frames)
    grey = frames[..., 0].astype(float)
    assert np.allclose(measured["brightness"], grey.mean(axis=(1, 2)) / 255)
    assert np.allclose(measured["contrast"], grey.std(axis=(1, 2)) / 255)
    assert np.allclose(measured["black_share"], (grey < 8).mean(axis=(1, 2)))
    assert np.allclose(measured["change"][1:], np.abs(np.diff(grey, axis=0)).mean(axis=(1, 2)) / 255)
    assert measured["change"][0] == 0
    assert (measured["saturation"] == 0).all()
    assert (measured["colour"] == 0).all()


def test_saturation_is_that_of_hsv_weighted_by_brightness() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    hsv = [cv2.cvtColor(np.ascontiguousarray(one[::6, ::6]), cv2.COLOR_RGB2HSV).astype(float) for one in frames]
    expected = [(one[..., 1] * one[..., 2]).sum() / one[..., 2].sum() / 255 for one in hsv]
    assert np.allclose(measures.measure_frames(frames)["saturation"], expected, atol=0.005)


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 6), st.just(72), st.just(72), st.just(3)), fill=st.integers(0, 255)
    )
)
def test_any_frames_are_measured_without_a_gap(frames: np.ndarray) -> None:
    values = _values(frames)
    assert set(values) == {rule.column for rule in RULES} | {"black_share"}
    assert all(np.isfinite(value) and value >= 0 for value in values.values())


def test_a_cut_is_found_where_it_is() -> None:
    assert measures.find_jumps(np.concatenate([_clouds(1, 12), _clouds(2, 12)])) == ([12], [])


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_of_up_to_three_frames_is_no_cut(length: int) -> None:
    thumbnails = _clouds(1, 24)
    thumbnails[10 : 10 + length] = _clouds(2, length)
    assert measures.find_jumps(thumbnails) == ([], [10])


def test_movement_of_any_speed_a_still_and_a_blank_start_are_no_cuts() -> None:
    blank = np.concatenate([np.zeros((1, 32, 32), np.uint8), _clouds(1, 20)])
    for thumbnails in (_clouds(1, 24, 1), _clouds(1, 24, 9), np.repeat(_clouds(1, 1), 24, axis=0), blank):
        assert measures.find_jumps(thumbnails) == ([], [])


@given(arrays.arrays(np.uint8, st.tuples(st.integers(0, 12), st.just(4), st.just(4))))
def test_jumps_are_frames_of_the_clip(thumbnails: np.ndarray) -> None:
    cuts, flashes = measures.find_jumps(thumbnails)
    assert set(cuts).isdisjoint(flashes)
    assert all(0 < frame < len(thumbnails) for frame in (*cuts, *flashes))


def test_too_many_frames_are_to_be_cut_and_numbers_are_whole() -> None:
    (long,) = rules.find_broken({"frames": 5001}, RULES)
    assert (str(long), long.advice) == ("the number of frames is 5001, at most 5000 is expected", "cut the clip")
    (large,) = rules.find_broken({"pixels": 5_000_000}, RULES)
    assert str(large) == "the number of pixels of a frame is 5000000, at most 4200000 is expected"


def test_a_number_that_is_none_breaks_its_rule() -> None:
    assert [str(one) for one in rules.find_broken({"side": float("nan")}, RULES)] == [
        "the shorter side in pixels is nan, at least 100 is expected"
    ]


def test_measuring_costs_a_fraction_of_decoding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", draw_frames(60, 640, 480, 0))
    seconds = [rules.examine_clip(path, [20], 299, LIMITS).seconds for _ in range(5)]
    # The published figure is 15 % and is measured by benchmarks/checks.py; this catches a slip by a factor.
    assert min(one["check"] / one["decode"] for one in seconds) < 0.3


def test_examining_short_clips_stops_before_they_are_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", draw_frames(9, 120, 104, 0))
    with pytest.raises(rules.Unusable, match=r"a\.avi: the number of frames is 9, at least 20 is expected"):
        rules.examine_clip(path, [5, 20], 64, LIMITS, decode.inspect(path, LIMITS))


def test_the_likeliest_cause_comes_first_and_each_finding_has_its_own_advice() -> None:
    table = rules.make_rules(LIMITS, 20)
    broken = rules.find_broken({"coverage": 0.01, "still_share": 0.9, "saturation": 0.5, "colour": 0.9}, table)
    assert [one.check for one in broken] == ["still_share", "saturation", "colour", "coverage"]
    still, saturated, coloured, covered = map(str, broken)
    picture = "take the picture of a lung-ultrasound clip alone"
    assert Unusable("a.avi", broken).reason == (
        f"{still}: export the clip, not a still image; {saturated}; {coloured}; {covered}: {picture}"
    )
    assert Unusable("a.avi", broken[:1]).reason == f"{still}; export the clip, not a still image"
