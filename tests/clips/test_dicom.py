from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from lus.checks import shortcuts, survey
from lus.clips import decode, dicom_start, layouts
from tests.clips import dicom_files
from tests.clips.dicom_clips import COUNT, FRAMES, HEIGHT, LIMITS, WIDTH, decoded, refused, smooth
from tests.clips.dicom_files import LOSSLESS, compressed, dataset, region, save
from tests.conftest import ROOT, draw_frames, write_video


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_an_uncompressed_clip_gives_the_frames_that_were_written(tmp_path: Path, syntax: str) -> None:
    path = save(dataset(FRAMES, syntax), tmp_path / "a.dcm")
    assert np.array_equal(decoded(path), FRAMES)
    assert decode.inspect(path, LIMITS) == decode.ClipInfo(COUNT, 20.0, WIDTH, HEIGHT)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("channels", [3, 1])
def test_a_lossless_transfer_syntax_gives_the_frames_of_the_uncompressed_one(
    tmp_path: Path, syntax: str, channels: int
) -> None:
    frames = FRAMES if channels == 3 else np.ascontiguousarray(FRAMES[..., 0])
    path = save(compressed(dataset(frames), syntax), tmp_path / "a.dcm")
    assert dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(decoded(path), frames if channels == 3 else np.repeat(frames[..., None], 3, axis=-1))


@pytest.mark.parametrize("encode", [dicom_files.baseline, dicom_files.mpeg2])
def test_a_lossy_transfer_syntax_gives_nearly_the_frames_of_the_uncompressed_one(
    tmp_path: Path, encode: Callable[[Dataset, np.ndarray], Dataset]
) -> None:
    frames = smooth()
    found = decoded(save(encode(dataset(frames), frames), tmp_path / "a.dcm"))
    assert found.shape == frames.shape
    assert np.abs(found.astype(int) - frames).mean(axis=(0, 1, 2)).max() < 3


def test_an_h264_stream_without_a_container_is_decoded_and_cut(tmp_path: Path) -> None:
    luma = 16 + draw_frames(COUNT, 160, 112, 0)[..., 0]
    made = dataset(luma, CineRate=40, SequenceOfUltrasoundRegions=[region(20, 10, 139, 109)])
    path = save(dicom_files.h264(made, luma), tmp_path / "a.dcm")
    assert decode.inspect(path, LIMITS) == decode.ClipInfo(COUNT, 40.0, 120, 100)
    expected = (luma[:, 10:110, 20:140, None] - 16.0) * 255 / 219
    assert np.abs(decoded(path) - expected).max() <= 1


def test_a_video_stream_is_cut_and_counted_like_frames_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = smooth()
    elements = {"SequenceOfUltrasoundRegions": [region(20, 10, 139, 109)]}
    path = save(dicom_files.mpeg2(dataset(frames, **elements), frames), tmp_path / "a.dcm")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert decode.inspect(path, LIMITS) == decode.ClipInfo(COUNT, 20.0, 120, 100)
    with decode.open_clip(path) as source:
        assert source.read()[0]
        assert list((tmp_path / "temporary").iterdir()) == []
    assert np.abs(decoded(path).astype(int) - frames[:, 10:110, 20:140]).mean() < 3


def test_a_video_stream_of_another_size_than_the_header_says_is_refused(tmp_path: Path) -> None:
    made = dicom_files.mpeg2(dataset(FRAMES), FRAMES)
    made.Rows = 100
    assert "a frame of 160 x 120 pixels, 160 x 100 as the header declares is expected" in refused(
        save(made, tmp_path / "a.dcm")
    )


def test_ybr_is_shown_in_its_colours(tmp_path: Path) -> None:
    frames = smooth()
    full = convert_color_space(frames, "RGB", "YBR_FULL")
    path = save(dataset(full, PhotometricInterpretation="YBR_FULL"), tmp_path / "full.dcm")
    assert np.abs(decoded(path).astype(int) - frames).max() <= 3
    made = dataset(full, PhotometricInterpretation="YBR_FULL_422")
    pairs = full.reshape(COUNT, HEIGHT, WIDTH // 2, 2, 3)
    blue_red = pairs[..., 1:].mean(axis=3)
    made.PixelData = np.concatenate([pairs[..., 0], blue_red], axis=-1).astype(np.uint8).tobytes()
    halved = decoded(save(made, tmp_path / "half.dcm"))
    assert np.abs(halved.astype(int) - frames).mean() < 2


def test_planes_of_colours_come_out_as_pixels(tmp_path: Path) -> None:
    made = dataset(FRAMES, PlanarConfiguration=1)
    made.PixelData = FRAMES.transpose(0, 3, 1, 2).tobytes()
    assert np.array_equal(decoded(save(made, tmp_path / "a.dcm")), FRAMES)


def test_inverted_grey_is_turned(tmp_path: Path) -> None:
    grey = np.ascontiguousarray(FRAMES[..., 0])
    path = save(dataset(grey, PhotometricInterpretation="MONOCHROME1"), tmp_path / "a.dcm")
    assert np.array_equal(decoded(path)[..., 0], 255 - grey)


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_more_bits_are_scaled_by_those_stored_and_nothing_else_in_the_word_is_shown(
    tmp_path: Path, kind: type[np.integer]
) -> None:
    grey = FRAMES[..., 0].astype(np.uint16)
    stored = (grey << 4 | grey >> 4) - (2048 if kind is np.int16 else 0)
    words = (stored & 0x0FFF) | 0x5000  # an overlay in the bits that are not used
    path = save(
        dataset(words.astype(np.uint16), BitsStored=12, PixelRepresentation=int(kind is np.int16)), tmp_path / "a.dcm"
    )
    assert np.array_equal(decoded(path)[..., 1], grey)


def test_a_window_is_applied(tmp_path: Path) -> None:
    grey = FRAMES[..., 0].astype(np.uint16) * 4
    made = dataset(grey, BitsStored=12, WindowCenter=["300", "1"], WindowWidth=["401", "2"])
    shown = decoded(save(made, tmp_path / "a.dcm"))[..., 0]
    expected = np.clip((grey - 299.5) / 400 + 0.5, 0, 1) * 255  # PS3.3, C.11.2.1.2.1
    assert np.abs(shown - expected).max() <= 0.5 + 1e-6
    assert {0, 255} < set(np.unique(shown))


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    index = np.ascontiguousarray(FRAMES[..., 0])
    table = np.random.default_rng(1).integers(0, 256, (3, 256), np.uint8)
    made = dataset(index, PhotometricInterpretation="PALETTE COLOR")
    for name, values in zip(("Red", "Green", "Blue"), table, strict=True):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(made, f"{name}PaletteColorLookupTableData", values.tobytes())
    assert np.array_equal(decoded(save(made, tmp_path / "a.dcm")), table.T[index])


@pytest.mark.parametrize(
    ("elements", "rate"),
    [
        ({"CineRate": 30}, 30),
        ({"CineRate": None, "RecommendedDisplayFrameRate": 25}, 25),
        ({"CineRate": None, "FrameTime": "40"}, 25),
        ({"CineRate": None, "FrameTimeVector": ["0", "40", "60"]}, 20),
        ({"CineRate": 0, "FrameTime": "0"}, 0),
        ({"CineRate": None}, 0),
    ],
)
def test_the_rate_is_the_first_that_is_declared(tmp_path: Path, elements: dict[str, object], rate: float) -> None:
    assert decode.inspect(save(dataset(FRAMES, **elements), tmp_path / "a.dcm"), LIMITS).fps == rate


@pytest.mark.parametrize("name", ["a.dcm", "IM_0001", "a.mp4"])
def test_a_dicom_file_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    assert decode.inspect(save(dataset(FRAMES), tmp_path / name), LIMITS).frames == COUNT


@pytest.mark.parametrize("name", ["a.dcm", "IM_0001", "1.2.840.113619.2.391.512"])
def test_a_folder_is_searched_for_dicom_files_of_any_name(tmp_path: Path, name: str) -> None:
    path = save(dataset(FRAMES), tmp_path / "a" / name)
    save(dataset(FRAMES), tmp_path / "a" / "DICOMDIR")
    (tmp_path / "a" / "notes.txt").write_text("no clip")
    (tmp_path / "a" / "short").write_bytes(b"DICM")
    os.mkfifo(tmp_path / "a" / "pipe")
    assert survey.find_clips([tmp_path]) == [path]
    listed = {one.path: one for one in layouts.list_folders(tmp_path)}
    assert (listed[path].label, listed[path].refused) == ("a", "")
    refused = {one.path.name: one.refused for one in listed.values() if one.refused}
    assert refused.keys() == {"DICOMDIR", "notes.txt", "short", "pipe"}
    assert refused["DICOMDIR"] == "neither a DICOM clip nor named as a video is (no suffix)"


def test_a_video_that_is_named_like_a_dicom_file_is_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", FRAMES).rename(tmp_path / "a.dcm")
    assert decode.inspect(path, LIMITS).frames == COUNT


def test_frames_are_cut_to_the_largest_region_of_tissue(tmp_path: Path) -> None:
    regions = [
        region(0, 0, 20, 20),
        region(30, 8, 139, 112),
        region(0, 0, 159, 119, form=3),
        region(0, 0, 159, 119, kind=2),
    ]
    path = save(dataset(FRAMES, SequenceOfUltrasoundRegions=regions, BurnedInAnnotation="YES"), tmp_path / "a.dcm")
    assert np.array_equal(decoded(path), FRAMES[:, 8:113, 30:140])
    assert decode.inspect(path, LIMITS) == decode.ClipInfo(COUNT, 20.0, 110, 105)


corner = st.integers(-50, 400)


@given(left=corner, top=corner, right=corner, bottom=corner)
@settings(deadline=None, max_examples=150)
def test_a_cut_shows_what_the_region_and_the_picture_share_or_the_region_is_refused(
    left: int, top: int, right: int, bottom: int
) -> None:
    picture = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    picture[0, ..., 0], picture[0, ..., 1] = np.arange(WIDTH), np.arange(HEIGHT)[:, None]
    with tempfile.TemporaryDirectory() as folder:
        item = region(*(max(0, one) for one in (left, top, right, bottom)))
        path = save(dataset(picture, SequenceOfUltrasoundRegions=[item]), Path(folder) / "a.dcm")
        left, top, right, bottom = (max(0, one) for one in (left, top, right, bottom))
        sensible = left < right and top < bottom and left < WIDTH and top < HEIGHT
        if not sensible:
            assert "an ultrasound region that is empty or outside of the picture" in refused(path)
            return
        shown = decoded(path)[0]
        across, down = np.arange(left, min(right, WIDTH - 1) + 1), np.arange(top, min(bottom, HEIGHT - 1) + 1)
        assert shown.shape == (len(down), len(across), 3)
        assert np.array_equal(shown[0, :, 0], across)
        assert np.array_equal(shown[:, 0, 1], down)


def test_a_region_without_corners_is_none(tmp_path: Path) -> None:
    item = Dataset()
    item.PhysicalDeltaX = 0.1
    assert np.array_equal(
        decoded(save(dataset(FRAMES, SequenceOfUltrasoundRegions=[item]), tmp_path / "a.dcm")), FRAMES
    )


def test_overlays_are_never_drawn(tmp_path: Path) -> None:
    made = dataset(FRAMES)
    made.add_new(0x60000010, "US", HEIGHT)
    made.add_new(0x60000011, "US", WIDTH)
    made.add_new(0x60000040, "CS", "G")
    made.add_new(0x60000050, "SS", [1, 1])
    made.add_new(0x60000100, "US", 1)
    made.add_new(0x60000102, "US", 0)
    made.add_new(0x60003000, "OW", b"\xff" * (WIDTH * HEIGHT // 8))
    assert np.array_equal(decoded(save(made, tmp_path / "a.dcm")), FRAMES)


def test_the_container_of_a_clip_is_the_ending_of_its_name() -> None:
    names = pd.Series(["a/b.DCM", "c.avi", "a.b/IM_0001", "1.2.840.113619.2.391.512"])
    assert shortcuts.get_containers(names).tolist() == ["dcm", "avi", "none", "none"]


def test_pydicom_is_loaded_only_where_a_dicom_file_is_read(make_clip: Callable[..., Path]) -> None:
    code = (
        "import pathlib, sys; from lus.clips import decode; from lus.common import params_file\n"
        f"limits = params_file.load_params(pathlib.Path({str(ROOT / 'params.yaml')!r})).limits\n"
        f"decode.inspect(pathlib.Path({str(make_clip('a.avi'))!r}), limits)\n"
        "assert 'pydicom' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_begins_otherwise_is_no_dicom_file() -> None:
    assert dicom_start.is_dicom(b"\0" * 128 + b"DICM")
    assert not dicom_start.is_dicom(b"DICM" + b"\0" * 128)
    assert not dicom_start.is_dicom(b"")
