from __future__ import annotations

from pathlib import Path

import pytest

from lus.clips import formats
from tests.clips.dicom_clips import FRAMES
from tests.clips.dicom_files import dataset, save


@pytest.mark.parametrize("name", ["DICOMDIR", "dicomdir"])
def test_the_index_of_a_disc_is_no_clip_in_letters_of_either_case(tmp_path: Path, name: str) -> None:
    assert not formats.is_clip(save(dataset(FRAMES), tmp_path / name))


@pytest.mark.parametrize(("name", "clip"), [("a.MP4", True), ("a.gif", True), ("a.txt", False), ("a", False)])
def test_a_video_is_recognised_by_the_ending_of_its_name(tmp_path: Path, name: str, clip: bool) -> None:
    (tmp_path / name).write_bytes(b"no DICOM")
    assert formats.is_clip(tmp_path / name) is clip
