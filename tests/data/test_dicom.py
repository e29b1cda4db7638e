from __future__ import annotations

import contextlib
import io
import json
import logging
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from lus import checks, clip, cohort, dicom, leaks, params, pool
from lus.errors import Unusable
from lus.stages import frames as frames_stage
from tests.conftest import ROOT, draw_frames, write_video
from tests.data import dicom_files
from tests.data.dicom_files import LOSSLESS, compressed, dataset, encapsulated, region, save

PARAMS = params.load(ROOT / "params.yaml")
LIMITS = PARAMS.limits
WIDTH, HEIGHT, COUNT = 160, 120, 24


def _speckle(seed: int = 0) -> np.ndarray:
    """Grey speckle with a tint and a coloured mark: (count, height, width, 3) RGB."""
    frames = draw_frames(COUNT, WIDTH, HEIGHT, seed)
    frames[..., 2] //= 2
    frames[:, 10:20, 10:30] = (200, 40, 20)
    return frames


def _smooth() -> np.ndarray:
    """The same without its noise, which no lossy code keeps."""
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in _speckle()])


FRAMES = _speckle()


def _decoded(path: Path) -> np.ndarray:
    """All frames, (count, height, width, 3) RGB, as `clip` has them."""
    frames = []
    with clip._opened(path) as source:
        while (got := source.read())[0]:
            frames.append(got[1][..., ::-1])
    return np.stack(frames)


def _refused(path: Path) -> str:
    with pytest.raises(Unusable) as caught:
        clip.inspect(path, LIMITS)
    return str(caught.value)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_an_uncompressed_clip_gives_the_frames_that_were_written(tmp_path: Path, syntax: str) -> None:
    path = save(dataset(FRAMES, syntax), tmp_path / "a.dcm")
    assert np.array_equal(_decoded(path), FRAMES)
    assert clip.inspect(path, LIMITS) == clip.ClipInfo(COUNT, 20.0, WIDTH, HEIGHT)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("channels", [3, 1])
def test_a_lossless_transfer_syntax_gives_the_frames_of_the_uncompressed_one(
    tmp_path: Path, syntax: str, channels: int
) -> None:
    frames = FRAMES if channels == 3 else np.ascontiguousarray(FRAMES[..., 0])
    path = save(compressed(dataset(frames), syntax), tmp_path / "a.dcm")
    assert dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(_decoded(path), frames if channels == 3 else np.repeat(frames[..., None], 3, axis=-1))


@pytest.mark.parametrize("encode", [dicom_files.baseline, dicom_files.mpeg2])
def test_a_lossy_transfer_syntax_gives_nearly_the_frames_of_the_uncompressed_one(
    tmp_path: Path, encode: Callable[[Dataset, np.ndarray], Dataset]
) -> None:
    frames = _smooth()
    decoded = _decoded(save(encode(dataset(frames), frames), tmp_path / "a.dcm"))
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).mean(axis=(0, 1, 2)).max() < 3


def test_an_h264_stream_without_a_container_is_decoded_and_cut(tmp_path: Path) -> None:
    luma = 16 + draw_frames(COUNT, 160, 112, 0)[..., 0]
    made = dataset(luma, CineRate=40, SequenceOfUltrasoundRegions=[region(20, 10, 139, 109)])
    path = save(dicom_files.h264(made, luma), tmp_path / "a.dcm")
    assert clip.inspect(path, LIMITS) == clip.ClipInfo(COUNT, 40.0, 120, 100)
    expected = (luma[:, 10:110, 20:140, None] - 16.0) * 255 / 219
    assert np.abs(_decoded(path) - expected).max() <= 1


def test_a_video_stream_is_cut_and_counted_like_frames_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = _smooth()
    elements = {"SequenceOfUltrasoundRegions": [region(20, 10, 139, 109)]}
    path = save(dicom_files.mpeg2(dataset(frames, **elements), frames), tmp_path / "a.dcm")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert clip.inspect(path, LIMITS) == clip.ClipInfo(COUNT, 20.0, 120, 100)
    with clip._opened(path) as source:
        assert source.read()[0]
        assert list((tmp_path / "temporary").iterdir()) == []
    assert np.abs(_decoded(path).astype(int) - frames[:, 10:110, 20:140]).mean() < 3


def test_a_video_stream_of_another_size_than_the_header_says_is_refused(tmp_path: Path) -> None:
    made = dicom_files.mpeg2(dataset(FRAMES), FRAMES)
    made.Rows = 100
    assert "a frame of 160 x 120 pixels, 160 x 100 as the header declares is expected" in _refused(
        save(made, tmp_path / "a.dcm")
    )


def test_ybr_is_shown_in_its_colours(tmp_path: Path) -> None:
    frames = _smooth()
    full = convert_color_space(frames, "RGB", "YBR_FULL")
    path = save(dataset(full, PhotometricInterpretation="YBR_FULL"), tmp_path / "full.dcm")
    assert np.abs(_decoded(path).astype(int) - frames).max() <= 3
    made = dataset(full, PhotometricInterpretation="YBR_FULL_422")
    pairs = full.reshape(COUNT, HEIGHT, WIDTH // 2, 2, 3)
    blue_red = pairs[..., 1:].mean(axis=3)
    made.PixelData = np.concatenate([pairs[..., 0], blue_red], axis=-1).astype(np.uint8).tobytes()
    halved = _decoded(save(made, tmp_path / "half.dcm"))
    assert np.abs(halved.astype(int) - frames).mean() < 2


def test_planes_of_colours_come_out_as_pixels(tmp_path: Path) -> None:
    made = dataset(FRAMES, PlanarConfiguration=1)
    made.PixelData = FRAMES.transpose(0, 3, 1, 2).tobytes()
    assert np.array_equal(_decoded(save(made, tmp_path / "a.dcm")), FRAMES)


def test_inverted_grey_is_turned(tmp_path: Path) -> None:
    grey = np.ascontiguousarray(FRAMES[..., 0])
    path = save(dataset(grey, PhotometricInterpretation="MONOCHROME1"), tmp_path / "a.dcm")
    assert np.array_equal(_decoded(path)[..., 0], 255 - grey)


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
    assert np.array_equal(_decoded(path)[..., 1], grey)


def test_a_window_is_applied(tmp_path: Path) -> None:
    grey = FRAMES[..., 0].astype(np.uint16) * 4
    made = dataset(grey, BitsStored=12, WindowCenter=["300", "1"], WindowWidth=["401", "2"])
    shown = _decoded(save(made, tmp_path / "a.dcm"))[..., 0]
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
    assert np.array_equal(_decoded(save(made, tmp_path / "a.dcm")), table.T[index])


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
    assert clip.inspect(save(dataset(FRAMES, **elements), tmp_path / "a.dcm"), LIMITS).fps == rate


@pytest.mark.parametrize("name", ["a.dcm", "IM_0001", "a.mp4"])
def test_a_dicom_file_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    assert clip.inspect(save(dataset(FRAMES), tmp_path / name), LIMITS).frames == COUNT


def test_a_video_that_is_named_like_a_dicom_file_is_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", FRAMES).rename(tmp_path / "a.dcm")
    assert clip.inspect(path, LIMITS).frames == COUNT


def test_frames_are_cut_to_the_largest_region_of_tissue(tmp_path: Path) -> None:
    regions = [
        region(0, 0, 20, 20),
        region(30, 8, 139, 112),
        region(0, 0, 159, 119, form=3),
        region(0, 0, 159, 119, kind=2),
    ]
    path = save(dataset(FRAMES, SequenceOfUltrasoundRegions=regions, BurnedInAnnotation="YES"), tmp_path / "a.dcm")
    assert np.array_equal(_decoded(path), FRAMES[:, 8:113, 30:140])
    assert clip.inspect(path, LIMITS) == clip.ClipInfo(COUNT, 20.0, 110, 105)


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
            assert "an ultrasound region that is empty or outside of the picture" in _refused(path)
            return
        shown = _decoded(path)[0]
        across, down = np.arange(left, min(right, WIDTH - 1) + 1), np.arange(top, min(bottom, HEIGHT - 1) + 1)
        assert shown.shape == (len(down), len(across), 3)
        assert np.array_equal(shown[0, :, 0], across)
        assert np.array_equal(shown[:, 0, 1], down)


def test_a_region_without_corners_is_none(tmp_path: Path) -> None:
    item = Dataset()
    item.PhysicalDeltaX = 0.1
    assert np.array_equal(
        _decoded(save(dataset(FRAMES, SequenceOfUltrasoundRegions=[item]), tmp_path / "a.dcm")), FRAMES
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
    assert np.array_equal(_decoded(save(made, tmp_path / "a.dcm")), FRAMES)


@pytest.mark.parametrize(("declared", "syntax"), [(900, None), (3, None), (900, JPEGLosslessSV1), (3, JPEGLosslessSV1)])
def test_frames_are_counted_and_not_believed(tmp_path: Path, declared: int, syntax: str | None) -> None:
    made = compressed(dataset(FRAMES), syntax) if syntax else dataset(FRAMES)
    made.NumberOfFrames = declared
    path = save(made, tmp_path / "a.dcm")
    assert clip.inspect(path, LIMITS).frames == COUNT
    assert np.array_equal(_decoded(path), FRAMES)


def _cut_off(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("syntax", [None, *LOSSLESS], ids=str)
def test_a_file_cut_off_gives_the_whole_frames_that_are_left(tmp_path: Path, syntax: str | None) -> None:
    made = compressed(dataset(FRAMES), syntax) if syntax else dataset(FRAMES)
    decoded = _decoded(_cut_off(save(made, tmp_path / "a.dcm"), 0.62))
    assert 12 < len(decoded) < 18
    assert np.array_equal(decoded, FRAMES[: len(decoded)])


def _halves(made: Dataset, table: bool) -> Dataset:
    """Each frame in two fragments, with or without a table of where frames begin."""
    made = compressed(made, JPEGLosslessSV1)
    codes = list(generate_frames(made.PixelData, number_of_frames=COUNT))
    made.PixelData = encapsulate(codes, fragments_per_frame=2, has_bot=table)
    return made


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_frames_in_several_fragments_are_put_together(tmp_path: Path, table: bool, share: float) -> None:
    path = _cut_off(save(_halves(dataset(FRAMES), table), tmp_path / "a.dcm"), share)
    decoded = _decoded(path)
    assert len(decoded) == COUNT if share == 1 else 8 < len(decoded) < 14
    assert np.array_equal(decoded, FRAMES[: len(decoded)])


def test_a_frame_that_cannot_be_decoded_is_no_end_of_the_clip(tmp_path: Path) -> None:
    made = compressed(dataset(FRAMES), RLELossless)
    codes = list(generate_frames(made.PixelData, number_of_frames=COUNT))
    codes[11] = codes[11][:64] + bytes([128] * (len(codes[11]) - 64))
    said = _refused(save(encapsulated(made, codes, RLELossless), tmp_path / "a.dcm"))
    assert said == (
        "a.dcm: a frame that cannot be decoded, a frame as the header declares it is expected; fetch or export it again"
    )


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless])
def test_code_of_another_size_than_the_header_says_reaches_no_decoder(tmp_path: Path, syntax: str) -> None:
    made = (
        dicom_files.baseline(dataset(FRAMES), FRAMES)
        if syntax == JPEGBaseline8Bit
        else compressed(dataset(FRAMES), syntax)
    )
    made.Rows, made.Columns = HEIGHT // 2, WIDTH
    assert "a frame that cannot be decoded" in _refused(save(made, tmp_path / "a.dcm"))


def _said(path: Path) -> str:
    try:
        return str(clip.inspect(path, LIMITS))
    except Unusable as error:
        return str(error)


def _said_in_a_guarded_process(path: Path) -> str:
    guard: pool.Guard[Path, str] = pool.Guard(20, lambda _, what: what)
    return pool.run(_said, [path], workers=1, guard=guard)[0]


def test_an_element_that_says_to_be_huge_takes_no_memory(tmp_path: Path) -> None:
    path = save(dataset(FRAMES, FrameTimeVector=["0", "40"]), tmp_path / "a.dcm")
    head = b"\x18\x00\x65\x10"
    content = path.read_bytes()
    assert content.count(head + b"DS\x04\x00") == 1
    path.write_bytes(content.replace(head + b"DS\x04\x00", head + b"OB\x00\x00\xf0\xff\xff\xff"))
    assert "a DICOM file without pixels" in _said_in_a_guarded_process(path)


def test_a_jpeg_frame_without_its_tables_ends_no_process(tmp_path: Path) -> None:
    made = dataset(FRAMES)
    codes = list(generate_frames(compressed(made, JPEGLosslessSV1).PixelData, number_of_frames=COUNT))
    codes[0] = codes[0].replace(b"\xff\xc4", b"\xfe\xc4", 1)
    path = save(encapsulated(made, codes, JPEGLosslessSV1), tmp_path / "a.dcm")
    assert "a frame that cannot be decoded" in _said_in_a_guarded_process(path)


def _deflated(path: Path) -> Path:
    made = dataset(FRAMES)
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return save(made, path)


def test_a_syntax_that_is_not_read_is_named_and_one_that_is_unknown_is_not(tmp_path: Path) -> None:
    expected = "an uncompressed, RLE, JPEG, JPEG-LS, JPEG 2000 or MPEG one is expected; export it in another"
    deflated = _refused(_deflated(tmp_path / "a.dcm"))
    assert deflated == f"a.dcm: the transfer syntax Deflated Explicit VR Little Endian, {expected}"
    made = encapsulated(dataset(FRAMES), [b"\0\0"], HTJ2KLossless)
    assert "the transfer syntax High-Throughput JPEG 2000" in _refused(save(made, tmp_path / "b.dcm"))
    path = save(dataset(FRAMES), tmp_path / "c.dcm")
    private = b"1.2.826.0.1.680.471"
    path.write_bytes(path.read_bytes().replace(ExplicitVRLittleEndian.encode() + b"\0", private + b"\0", 1))
    assert _refused(tmp_path / "c.dcm") == f"c.dcm: an unknown transfer syntax, {expected}"


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"Modality": "CT"}, "a DICOM file of another modality, ultrasound (US) is expected"),
        ({"Modality": None}, "a DICOM file of another modality, ultrasound (US) is expected"),
        ({"PixelData": None}, "a DICOM file without pixels, an ultrasound clip is expected"),
        ({"Rows": None}, "a DICOM header without a usable Rows"),
        ({"BitsStored": 17}, "a DICOM header without a usable BitsStored"),
        ({"BitsAllocated": 32}, "pixels of 32 bits, 8 or 16 is expected"),
        ({"PhotometricInterpretation": "HSV"}, "pixels of another kind, grey, palette, RGB or YBR ones is expected"),
        ({"Columns": 65535, "Rows": 65535}, "the number of pixels of a frame (65535 x 65535) is 4294836225"),
        ({"BurnedInAnnotation": "YES"}, "text burnt into the picture and no ultrasound region to cut it to"),
        (
            {"SequenceOfUltrasoundRegions": [region(0, 0, 99, 99, form=3)]},
            "of which none shows tissue in two dimensions",
        ),
    ],
)
def test_what_a_header_says_wrongly_is_refused_in_a_sentence(
    tmp_path: Path, elements: dict[str, object], said: str
) -> None:
    assert said in _refused(save(dataset(FRAMES, **elements), tmp_path / "a.dcm"))


def test_a_single_picture_has_too_few_frames(tmp_path: Path) -> None:
    path = save(dataset(FRAMES[:1], NumberOfFrames=None), tmp_path / "a.dcm")
    with pytest.raises(Unusable, match="the number of frames is 1, at least 20 is expected"):
        checks.examine(path, (20,), 299, LIMITS)


@given(cut=st.integers(132, 2000), place=st.integers(132, 1400), value=st.integers(0, 0xFFFFFFFF))
@settings(deadline=None, max_examples=150)
def test_a_damaged_header_is_refused_or_read(cut: int, place: int, value: int) -> None:
    content = io.BytesIO()
    dataset(FRAMES[:2, :16, :16], SequenceOfUltrasoundRegions=[region(1, 1, 9, 9)]).save_as(
        content, enforce_file_format=True
    )
    damaged = bytearray(content.getvalue())
    damaged[place : place + 4] = struct.pack("<L", value)
    with tempfile.TemporaryDirectory() as folder:
        for one in (damaged, damaged[:cut]):
            path = Path(folder) / "a.dcm"
            path.write_bytes(one)
            with contextlib.suppress(Unusable):
                clip.inspect(path, LIMITS)


def test_memory_is_that_of_a_frame(tmp_path: Path) -> None:
    """A clip of 300 MB, opened and read."""
    count, side = 100, 1000
    made = dataset(np.zeros((1, side, side, 3), np.uint8))
    path = save(made, tmp_path / "a.dcm")
    header = path.read_bytes()[: -3 * side * side]
    assert header[-4:] == struct.pack("<L", 3 * side * side)
    with path.open("wb") as file:
        file.write(header[:-4] + struct.pack("<L", 3 * side * side * count))
        file.truncate(len(header) + 3 * side * side * count)
    code = (
        "import pathlib, resource; from lus import clip, params\n"
        f"limits = params.load(pathlib.Path({str(ROOT / 'params.yaml')!r})).limits\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "import pydicom, pydicom.pixels; before = peak()\n"
        f"assert clip.inspect(pathlib.Path({str(path)!r}), limits).frames == {count}\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60 << (10 if sys.platform == "linux" else 20)


IDENTITIES = {
    "PatientName": "Zzyzx^Quentin",
    "PatientID": "ID4711XQ",
    "PatientBirthDate": "19370213",
    "PatientAddress": "Qwertz Lane 7",
    "AccessionNumber": "ACC90210X",
    "InstitutionName": "Saint Elsewhere",
    "ReferringPhysicianName": "Doctor^Moreau",
    "OperatorsName": "Operator^Vogon",
    "StudyDate": "20190817",
    "ContentDate": "20190818",
    "StudyTime": "101112",
    "StudyID": "STUDY8812",
    "ImageComments": "Comment on Xanadu",
    "DeviceSerialNumber": "SN55-77-99",
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.123454321",
}
PRIVATE = "Private Gomez"
SECRETS = [part for value in (*IDENTITIES.values(), PRIVATE) for part in value.split("^")]


def _identified(seed: int, **elements: object) -> Dataset:
    """A clip full of identities, its picture with a name burnt in above the region that shows tissue."""
    frames = np.zeros((COUNT, 200, 260, 3), np.uint8)
    cv2.putText(frames[0], "ZZYZX QUENTIN", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 0, 255), 2)
    frames[1:] = frames[0]
    frames[:, 60:180, 50:210] = draw_frames(COUNT, WIDTH, HEIGHT, seed)
    made = dataset(
        frames, BurnedInAnnotation="YES", SequenceOfUltrasoundRegions=[region(50, 60, 209, 179)], **IDENTITIES
    )
    made.private_block(0x0011, "Vendor Anton", create=True).add_new(1, "LO", PRIVATE)
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def _written(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_nothing_that_identifies_a_patient_is_printed_logged_or_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips"
    for label in ("healthy", "covid-19"):
        for number in range(2):
            seed = number + 10 * (label == "healthy")
            made = _identified(seed)
            made = compressed(made, JPEGLosslessSV1) if number else made
            save(made, folder / label / f"p{seed}" / "a.dcm")
    bad = folder / "healthy" / "p11"
    save(_identified(40, SequenceOfUltrasoundRegions=None), bad / "burnt.dcm")
    rows = b"\x28\x00\x10\x00"
    damaged = save(_identified(41), bad / "damaged.dcm")
    content = damaged.read_bytes()
    assert content.count(rows + b"US\x02\x00\xc8\x00") == 1
    damaged.write_bytes(content.replace(rows + b"US\x02\x00\xc8\x00", rows + b"IS\x06\x00Zzyzx "))
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    section = PARAMS.cohort.model_copy(update={"max_unusable": 0.9, "min_patients": 2})
    small = PARAMS.model_copy(update={"cohort": section})
    with caplog.at_level(logging.INFO), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        table, left_out = cohort.build(folder, small.cohort, LIMITS, workers=1)
        table.to_csv(tmp_path / "cohort.csv", index=False)
        left_out.to_csv(tmp_path / "cohort-left-out.csv", index=False)
        print(frames_stage.run(tmp_path / "cohort.csv", tmp_path / "frames", tmp_path / "checks", small))
        command = [sys.executable, "-c", "from lus.cli import main; main()", "check", "--json", str(folder)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    printed = capfd.readouterr()
    assert {"burnt.dcm", "damaged.dcm"} == {Path(path).name for path in left_out["path"]}
    assert table["patient"].tolist() == ["p0", "p1", "p10", "p11"]
    assert done.returncode == 2
    assert len(json.loads(done.stdout)["clips"]) == 6
    seen = [printed.out, printed.err, caplog.text, done.stdout, done.stderr, *(str(one.message) for one in warned)]
    written = [one for name in ("frames", "checks") for one in _written(tmp_path / name)]
    written += [(tmp_path / name).read_bytes() for name in ("cohort.csv", "cohort-left-out.csv")]
    everything = b"\n".join([*written, *(text.encode() for text in seen)]).lower()
    assert [secret for secret in SECRETS if secret.lower().encode() in everything] == []
    for kept in (tmp_path / "frames/frames").iterdir():
        frames = np.load(kept).astype(int)
        assert frames.shape[1:] == (299, 299, 3)
        # The name is purple, and the only colour in these files.
        assert np.ptp(frames, axis=-1).max() == 0


def test_the_container_of_a_dicom_clip_is_dcm() -> None:
    assert leaks.containers(pd.Series(["a/b.DCM", "c.avi"])).tolist() == ["dcm", "avi"]


def test_pydicom_is_loaded_only_where_a_dicom_file_is_read(make_clip: Callable[..., Path]) -> None:
    code = (
        "import pathlib, sys; from lus import clip, params\n"
        f"limits = params.load(pathlib.Path({str(ROOT / 'params.yaml')!r})).limits\n"
        f"clip.inspect(pathlib.Path({str(make_clip('a.avi'))!r}), limits)\n"
        "assert 'pydicom' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_begins_otherwise_is_no_dicom_file() -> None:
    assert dicom.recognised(b"\0" * 128 + b"DICM")
    assert not dicom.recognised(b"DICM" + b"\0" * 128)
    assert not dicom.recognised(b"")
