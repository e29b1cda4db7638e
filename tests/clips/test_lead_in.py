"""Blank frames at the ends of a clip are no part of it; those inside stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lus.checks import rules
from lus.clips import decode, sampling
from lus.common import params_file
from tests.clips import dicom_files
from tests.conftest import ROOT, draw_frames, write_video

LIMITS = params_file.load_params(ROOT / "params.yaml").limits


def _clip(before: int, after: int, logo: bool = False) -> np.ndarray:
    frames = draw_frames(40, 160, 120, 0)
    ends = np.zeros((before + after, 120, 160, 3), np.uint8)
    if logo:
        ends[:, 4:8, 4:12] = 40
    return np.concatenate([ends[:before], frames, ends[before:]])


def _avi(frames: np.ndarray, folder: Path) -> Path:
    return write_video(folder / "a.avi", frames)


def _dicom(frames: np.ndarray, folder: Path) -> Path:
    return dicom_files.save(dicom_files.dataset(frames), folder / "a.dcm")


@pytest.mark.parametrize("write", [_avi, _dicom])
@pytest.mark.parametrize("logo", [False, True])
@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 2), (5, 3), (30, 30)])
def test_blank_ends_are_trimmed_with_a_remark(
    before: int, after: int, logo: bool, write: Callable[[np.ndarray, Path], Path], tmp_path: Path
) -> None:
    path = write(_clip(before, after, logo), tmp_path)
    assert decode.inspect(path, LIMITS).frames == 40
    examined = rules.examine_clip(path, [20], 64, LIMITS)
    assert examined.findings == []
    assert [one.found for one in examined.reported if one.check == "trimmed"] == [str(before + after)]
    (tmp_path / "whole").mkdir()
    bare = write(_clip(0, 0), tmp_path / "whole")
    every = np.arange(40)
    shown, wanted = (sampling.read_frames(one, every, 64)[0].astype(int) for one in (path, bare))
    # The code is lossy, and how much depends on the frames before.
    assert np.abs(shown - wanted).mean() < 3


@pytest.mark.parametrize("logo", [False, True])
@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 1), (1, 1)])
def test_one_blank_frame_is_left_and_breaks_no_rule(before: int, after: int, logo: bool, tmp_path: Path) -> None:
    path = _avi(_clip(before, after, logo), tmp_path)
    assert decode.inspect(path, LIMITS).frames == 40 + before + after
    examined = rules.examine_clip(path, [20], 64, LIMITS)
    assert (examined.findings, [one.check for one in examined.reported]) == ([], [])


def test_a_flash_inside_stays_one(tmp_path: Path) -> None:
    frames = _clip(3, 0)
    frames[20] = 255
    assert [one.check for one in rules.examine_clip(_avi(frames, tmp_path), [20], 64, LIMITS).findings] == ["flashes"]


def test_a_clip_of_one_blank_frame_and_one_picture_has_two_frames(tmp_path: Path) -> None:
    frames = np.concatenate([np.zeros((1, 120, 160, 3), np.uint8), draw_frames(1, 160, 120, 0)])
    assert decode.inspect(write_video(tmp_path / "a.avi", frames), LIMITS).frames == 2
