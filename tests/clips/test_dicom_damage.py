"""DICOM files that are damaged, incomplete, or say of themselves what is not so."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from lus.checks import rules
from lus.clips import decode
from lus.common import workers
from lus.common.errors import Unusable
from tests.clips import dicom_files
from tests.clips.dicom_clips import COUNT, FRAMES, HEIGHT, LIMITS, WIDTH, decoded, refused
from tests.clips.dicom_files import LOSSLESS, compressed, dataset, encapsulated, region, save
from tests.conftest import ROOT


@pytest.mark.parametrize(("declared", "syntax"), [(900, None), (3, None), (900, JPEGLosslessSV1), (3, JPEGLosslessSV1)])
def test_frames_are_counted_and_not_believed(tmp_path: Path, declared: int, syntax: str | None) -> None:
    made = compressed(dataset(FRAMES), syntax) if syntax else dataset(FRAMES)
    made.NumberOfFrames = declared
    path = save(made, tmp_path / "a.dcm")
    assert decode.inspect(path, LIMITS).frames == COUNT
    assert np.array_equal(decoded(path), FRAMES)


def _cut_off(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("syntax", [None, *LOSSLESS], ids=str)
def test_a_file_cut_off_gives_the_whole_frames_that_are_left(tmp_path: Path, syntax: str | None) -> None:
    made = compressed(dataset(FRAMES), syntax) if syntax else dataset(FRAMES)
    found = decoded(_cut_off(save(made, tmp_path / "a.dcm"), 0.62))
    assert 12 < len(found) < 18
    assert np.array_equal(found, FRAMES[: len(found)])


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
    found = decoded(path)
    assert len(found) == COUNT if share == 1 else 8 < len(found) < 14
    assert np.array_equal(found, FRAMES[: len(found)])


def test_a_frame_that_cannot_be_decoded_is_no_end_of_the_clip(tmp_path: Path) -> None:
    made = compressed(dataset(FRAMES), RLELossless)
    codes = list(generate_frames(made.PixelData, number_of_frames=COUNT))
    codes[11] = codes[11][:64] + bytes([128] * (len(codes[11]) - 64))
    said = refused(save(encapsulated(made, codes, RLELossless), tmp_path / "a.dcm"))
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
    assert "a frame that cannot be decoded" in refused(save(made, tmp_path / "a.dcm"))


def _said(path: Path) -> str:
    try:
        return str(decode.inspect(path, LIMITS))
    except Unusable as error:
        return str(error)


def _said_in_a_guarded_process(path: Path) -> str:
    guard: workers.JobLimits[Path, str] = workers.JobLimits(20, lambda _, what: what)
    return workers.run_jobs(_said, [path], workers=1, limits=guard)[0]


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
    deflated = refused(_deflated(tmp_path / "a.dcm"))
    assert deflated == f"a.dcm: the transfer syntax Deflated Explicit VR Little Endian, {expected}"
    made = encapsulated(dataset(FRAMES), [b"\0\0"], HTJ2KLossless)
    assert "the transfer syntax High-Throughput JPEG 2000" in refused(save(made, tmp_path / "b.dcm"))
    path = save(dataset(FRAMES), tmp_path / "c.dcm")
    private = b"1.2.826.0.1.680.471"
    path.write_bytes(path.read_bytes().replace(ExplicitVRLittleEndian.encode() + b"\0", private + b"\0", 1))
    assert refused(tmp_path / "c.dcm") == f"c.dcm: an unknown transfer syntax, {expected}"


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
    assert said in refused(save(dataset(FRAMES, **elements), tmp_path / "a.dcm"))


def test_a_single_picture_has_too_few_frames(tmp_path: Path) -> None:
    path = save(dataset(FRAMES[:1], NumberOfFrames=None), tmp_path / "a.dcm")
    with pytest.raises(Unusable, match="the number of frames is 1, at least 20 is expected"):
        rules.examine_clip(path, (20,), 299, LIMITS)


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
                decode.inspect(path, LIMITS)


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
        "import pathlib, resource; from lus.clips import decode; from lus.common import params_file\n"
        f"limits = params_file.load_params(pathlib.Path({str(ROOT / 'params.yaml')!r})).limits\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "import pydicom, pydicom.pixels; before = peak()\n"
        f"try: decode.inspect(pathlib.Path({str(path)!r}), limits)\n"
        f"except decode.Unusable as error: assert '{count} blank frames and no other' in str(error), error\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60 << (10 if sys.platform == "linux" else 20)
