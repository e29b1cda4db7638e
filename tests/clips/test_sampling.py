from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lus.clips import sampling
from lus.common import params_file
from tests.conftest import ROOT, write_video

LIMITS = params_file.load_params(ROOT / "params.yaml").limits


@given(length=st.integers(1, 64), extra=st.integers(0, 4000))
def test_samples_are_increasing_and_span_the_clip(length: int, extra: int) -> None:
    count = length + extra
    indices = sampling.sample_indices(count, length)
    assert len(indices) == length
    assert (np.diff(indices) > 0).all()
    assert indices[0] == 0
    assert length == 1 or indices[-1] == count - 1


@given(count=st.integers(20, 500))
def test_the_union_holds_every_length(count: int) -> None:
    union = sampling.union_indices(count, (5, 10, 15, 20))
    assert (np.diff(union) > 0).all()
    for length in (5, 10, 15, 20):
        assert set(sampling.sample_indices(count, length)) <= set(union)


def test_more_frames_than_there_are_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="20 different frames cannot be taken from 19"):
        sampling.sample_indices(19, 20)


def test_sampled_frames_are_the_frames_asked_for(tmp_path: Path) -> None:
    grey = np.linspace(10, 240, 24).astype(np.uint8)
    frames = np.broadcast_to(grey[:, None, None, None], (24, 64, 64, 3))
    path = write_video(tmp_path / "steps.avi", frames)
    sampled = sampling.read_frames(path, np.array([0, 3, 20, 23]), 32)[0]
    assert sampled.shape == (4, 32, 32, 3)
    assert np.abs(sampled.mean(axis=(1, 2, 3)) - grey[[0, 3, 20, 23]]).max() < 3


def test_channels_come_out_as_red_green_blue(tmp_path: Path) -> None:
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    frames[..., 2] = 200  # OpenCV writes blue, green, red
    sampled = sampling.read_frames(write_video(tmp_path / "red.avi", frames), np.array([1]), 32)[0]
    assert sampled[..., 0].mean() > 150
    assert sampled[..., 2].mean() < 50


def test_sampling_gives_frames_thumbnails_and_what_the_clip_is(make_clip: Callable[..., Path]) -> None:
    sample = sampling.sample(make_clip("a.avi", count=40), (5, 20), 48, LIMITS)
    assert sample.frames.shape == (len(sample.indices), 48, 48, 3)
    assert sample.frames.dtype == np.uint8
    assert set(sampling.sample_indices(40, 5)) | set(sampling.sample_indices(40, 20)) == set(sample.indices)
    assert sample.info.frames == 40
    assert sample.thumbnails.shape == (40, sampling.THUMBNAIL, sampling.THUMBNAIL)


@pytest.mark.parametrize(("count", "lengths"), [(40, (20,)), (40, (5, 9)), (40, (30,)), (12, (5,))])
def test_frames_are_spread_over_the_clip_whatever_the_lengths_and_change_nothing_else(
    make_clip: Callable[..., Path], count: int, lengths: tuple[int, ...]
) -> None:
    path = make_clip("a.avi", count=count)
    plain, sample = (sampling.sample(path, lengths, 48, LIMITS, spread=spread) for spread in (0, 20))
    wanted = sampling.read_frames(path, sampling.sample_indices(count, min(count, 20)), 48)[0]
    assert np.array_equal(sample.spread, wanted)
    assert np.array_equal(sample.frames, plain.frames)
    assert np.array_equal(sample.indices, plain.indices)
    assert np.array_equal(sample.thumbnails, plain.thumbnails)
    assert len(plain.spread) == 0


def test_thumbnails_show_the_frames(tmp_path: Path) -> None:
    grey = np.linspace(10, 240, 24).astype(np.uint8)
    path = write_video(tmp_path / "steps.avi", np.broadcast_to(grey[:, None, None, None], (24, 64, 64, 3)))
    thumbnails = sampling.sample(path, (2,), 32, LIMITS).thumbnails
    assert np.abs(thumbnails.mean(axis=(1, 2)) - grey).max() < 3
