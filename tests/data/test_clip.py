from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lus import clip
from lus.errors import BadInput
from tests.conftest import draw_frames, write_video

NAMES = [
    "plain.avi",
    "with space.avi",
    "a+b.mp4",
    "(brackets) [x].avi",
    "UPPER.AVI",
    "100%d.avi",
    "lunge-ä.mp4",
    "a:b.avi",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_decodes(make_clip: Callable[..., Path], name: str) -> None:
    info = clip.inspect(make_clip(name, count=23))
    assert (info.frames, info.width, info.height, info.fps) == (23, 120, 104, 20.0)


def test_a_clip_without_extension_decodes(make_clip: Callable[..., Path]) -> None:
    path = make_clip("x.avi")
    bare = path.with_name("bare")
    path.rename(bare)
    assert clip.inspect(bare).frames == 24


def test_identity_follows_content_and_not_name(make_clip: Callable[..., Path]) -> None:
    first, other = make_clip("a.avi"), make_clip("b.avi", seed=1)
    renamed = first.with_name("c.avi")
    renamed.write_bytes(first.read_bytes())
    assert clip.clip_id(first) == clip.clip_id(renamed) != clip.clip_id(other)


@given(length=st.integers(1, 64), extra=st.integers(0, 4000))
def test_samples_are_increasing_and_span_the_clip(length: int, extra: int) -> None:
    count = length + extra
    indices = clip.sample_indices(count, length)
    assert len(indices) == length
    assert (np.diff(indices) > 0).all()
    assert indices[0] == 0
    assert length == 1 or indices[-1] == count - 1


@given(count=st.integers(20, 500))
def test_the_union_holds_every_length(count: int) -> None:
    union = clip.union_indices(count, (5, 10, 15, 20))
    assert (np.diff(union) > 0).all()
    for length in (5, 10, 15, 20):
        assert set(clip.sample_indices(count, length)) <= set(union)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(BadInput, match="has 19 frames, at least 20 are expected"):
        clip.sample_indices(19, 20)


def test_sampled_frames_are_the_frames_asked_for(tmp_path: Path) -> None:
    grey = np.linspace(10, 240, 24).astype(np.uint8)
    frames = np.broadcast_to(grey[:, None, None, None], (24, 64, 64, 3))
    path = write_video(tmp_path / "steps.avi", frames)
    sampled = clip.read_frames(path, np.array([0, 3, 20, 23]), 32)
    assert sampled.shape == (4, 32, 32, 3)
    assert np.abs(sampled.mean(axis=(1, 2, 3)) - grey[[0, 3, 20, 23]]).max() < 3


def test_channels_come_out_as_red_green_blue(tmp_path: Path) -> None:
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[..., 2] = 200  # OpenCV writes blue, green, red
    sampled = clip.read_frames(write_video(tmp_path / "red.avi", frames), np.array([1]), 32)
    assert sampled[..., 0].mean() > 150
    assert sampled[..., 2].mean() < 50


def test_sampling_gives_frames_and_what_the_clip_is(make_clip: Callable[..., Path]) -> None:
    frames, info = clip.sample(make_clip("a.avi", count=40), 20, 48)
    assert frames.shape == (20, 48, 48, 3)
    assert frames.dtype == np.uint8
    assert info.frames == 40


def test_a_short_clip_is_named(make_clip: Callable[..., Path]) -> None:
    with pytest.raises(BadInput, match=r"a\.avi: the clip has 9 frames, at least 20 are expected"):
        clip.sample(make_clip("a.avi", count=9), 20, 48)


def _refused(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        clip.inspect(path)
    return str(caught.value)


def test_files_that_are_no_clips_are_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.avi").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "dangling.avi").symlink_to(tmp_path / "gone.avi")
    (tmp_path / "folder.avi").mkdir()
    assert _refused(tmp_path / "empty.avi").startswith("empty.avi: is empty")
    assert _refused(tmp_path / "text.mp4").startswith("text.mp4: is not a video that can be decoded")
    assert _refused(tmp_path / "dangling.avi").startswith("dangling.avi: cannot be opened (No such file or directory)")
    assert _refused(tmp_path / "folder.avi").startswith("folder.avi: is not a file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(make_clip: Callable[..., Path]) -> None:
    path = make_clip("a.avi")
    path.chmod(0)
    assert "may not be read" in _refused(path)


def test_a_clip_out_of_bounds_is_refused_before_it_is_decoded_to_its_end(make_clip: Callable[..., Path]) -> None:
    path = make_clip("long.avi", count=60)
    with pytest.raises(BadInput, match=r"long\.avi: has more than 30 frames"):
        clip.sample(path, 20, 48, max_frames=30)
    with pytest.raises(BadInput, match=r"has frames of 120 x 104 pixels, at most 10000 pixels"):
        clip.sample(path, 20, 48, max_pixels=10_000)


def test_a_clip_cut_short_gives_the_frames_that_are_left(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", draw_frames(40, 120, 104, 0))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 10 < clip.inspect(path).frames < 30
    with pytest.raises(BadInput, match="ends after"):
        clip.read_frames(path, np.array([0, 39]), 32)


@pytest.mark.real
def test_decoded_frame_counts_equal_the_published_ones(upstream: Path) -> None:
    published = pd.read_csv(upstream / "b-mandelbrot/pulmonary-covid19/videos.csv").set_index("filename")["frames"]
    clips = sorted((upstream / "jannisborn/covid19_ultrasound/data/pocus_videos/convex").iterdir())
    counted = {path.name: clip.inspect(path).frames for path in clips}
    assert len(counted) == 119
    assert counted == published[list(counted)].to_dict()
