"""DICOM files whose pixels lie otherwise than their header says, or in a way that few writers use."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from lus.clips import decode, dicom_start, formats
from tests.clips.dicom_clips import COUNT, LIMITS, decoded, refused, smooth
from tests.clips.dicom_files import dataset, encapsulated, save


def _ybr(frames: np.ndarray) -> np.ndarray:
    """RGB -> full-range YBR, (count, height, width, 3)."""
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]] for frame in frames])


def _half_colour(frames: np.ndarray) -> np.ndarray:
    """YBR of an even width -> bytes of YBR_FULL_422: (count, bytes)."""
    pairs = frames.reshape(*frames.shape[:2], -1, 2, 3)
    colour = pairs[..., 1:].mean(axis=3)
    stored = np.stack([pairs[..., 0, 0], pairs[..., 1, 0], colour[..., 0], colour[..., 1]], axis=-1)
    return stored.astype(np.uint8).reshape(len(frames), -1)


def _far(path: Path, frames: np.ndarray) -> float:
    """The mean difference of the frames of a file from those that it was made of."""
    shown = decoded(path)
    assert shown.shape == frames.shape
    return float(np.abs(shown.astype(int) - frames).mean())


def _with_pixels(frames: np.ndarray, content: bytes, **elements: object):
    made = dataset(frames, PhotometricInterpretation="YBR_FULL_422", **elements)
    made.PixelData = content + b"\0" * (len(content) % 2)
    return made


def _odd() -> np.ndarray:
    return smooth()[:, :, :121]


def test_half_the_colours_in_rows_with_a_pixel_more(tmp_path: Path) -> None:
    frames = _odd()
    padded = np.concatenate([frames, frames[:, :, -1:]], axis=2)
    path = save(_with_pixels(frames, _half_colour(_ybr(padded)).tobytes()), tmp_path / "a.dcm")
    assert _far(path, frames) < 2


def test_half_the_colours_in_rows_of_an_odd_width(tmp_path: Path) -> None:
    frames = _odd()
    flat = _ybr(frames).reshape(COUNT, 1, -1, 3)
    path = save(_with_pixels(frames, _half_colour(flat).tobytes()), tmp_path / "a.dcm")
    assert _far(path, frames) < 4


def test_three_bytes_a_pixel_where_two_are_declared(tmp_path: Path) -> None:
    path = save(_with_pixels(smooth(), _ybr(smooth()).tobytes()), tmp_path / "a.dcm")
    assert _far(path, smooth()) < 2


@pytest.mark.parametrize("elements", [{}, {"NumberOfFrames": 900}, {"NumberOfFrames": None}])
def test_a_length_that_is_no_whole_number_of_frames_is_refused_as_such(elements: dict, tmp_path: Path) -> None:
    content = smooth().tobytes()[:-1000]
    made = dataset(smooth(), **elements)
    made.PixelData = content
    said = refused(save(made, tmp_path / "a.dcm"))
    assert said == (
        f"a.dcm: {len(content)} bytes of pixels, a multiple of the 57600 bytes of a frame (RGB, 160 x 120, as the "
        "header says) is expected; fetch or export it again"
    )


@pytest.mark.parametrize("quality", [80, 95])
def test_colours_of_jpeg_are_those_of_its_code_where_it_is_declared_rgb(quality: int, tmp_path: Path) -> None:
    codes = []
    for frame in smooth():
        flags = [
            cv2.IMWRITE_JPEG_QUALITY,
            quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        ]
        code = cv2.imencode(".jpg", frame[..., ::-1], flags)[1].tobytes()
        assert code[2:4] == b"\xff\xe0"
        codes.append(code[:2] + code[4 + int.from_bytes(code[4:6]) :])  # without its JFIF marker
    assert b"JFIF" not in codes[0]
    path = save(encapsulated(dataset(smooth()), codes, JPEGBaseline8Bit), tmp_path / "a.dcm")
    assert _far(path, smooth()) < 5


def test_a_palette_of_16_bits_that_holds_values_of_8(tmp_path: Path) -> None:
    frames = smooth()[..., 0]
    ramp = np.arange(256, dtype="<u2").tobytes()
    tables = {f"{name}PaletteColorLookupTableData": ramp for name in ("Red", "Green", "Blue")}
    tables |= {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in ("Red", "Green", "Blue")}
    path = save(dataset(frames, PhotometricInterpretation="PALETTE COLOR", **tables), tmp_path / "a.dcm")
    assert np.array_equal(decoded(path)[..., 1], frames)


@pytest.mark.parametrize("width", [160, 121])
@pytest.mark.parametrize("representation", ["OB", "OW"])
def test_big_endian_words_of_two_pixels(width: int, representation: str, tmp_path: Path) -> None:
    """Frames of an odd length begin in the middle of a word."""
    frames = np.ascontiguousarray(smooth()[:, :119, :width, 0])
    made = dataset(frames, ExplicitVRBigEndian)
    content = np.frombuffer(made.PixelData, np.uint8)
    made.PixelData = content.reshape(-1, 2)[:, ::-1].tobytes() if representation == "OW" else content.tobytes()
    made["PixelData"].VR = representation
    path = save(made, tmp_path / "a.dcm")
    assert np.array_equal(decoded(path)[..., 1], frames)


def _without_preamble(path: Path, start: int) -> Path:
    path.write_bytes(path.read_bytes()[start:])
    return path


@pytest.mark.parametrize("start", [128, 132])
def test_a_file_without_its_preamble_is_dicom_by_its_content(start: int, tmp_path: Path) -> None:
    path = _without_preamble(save(dataset(smooth()), tmp_path / "IM0001"), start)
    assert formats.is_clip(path)
    assert np.array_equal(decoded(path), smooth())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, "1.2.840.10008.1.2.1"])
def test_a_file_without_preamble_and_head_is_dicom_by_its_content(syntax: str, tmp_path: Path) -> None:
    path = save(dataset(smooth(), syntax), tmp_path / "IM0001")
    _without_preamble(path, path.read_bytes().index(b"\x08\x00\x16\x00"))
    assert formats.is_clip(path)
    assert decode.inspect(path, LIMITS).frames == COUNT
    assert np.array_equal(decoded(path), smooth())


def test_no_other_file_is_taken_for_dicom() -> None:
    heads = (
        b"RIFF\0\1\0\0AVI LIST",
        b"\0\0\0\x14ftypqt  ",
        b"\x1aE\xdf\xa3\0\0\0\0",
        b"GIF89a\0\0\0\0",
        b"\x08\0",
        b"\x08\0\x16\0abcd",
    )
    assert [head for head in heads if dicom_start.is_dicom(head)] == []
