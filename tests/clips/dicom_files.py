"""DICOM files made on the spot: ultrasound clips in any transfer syntax, with whatever else a header may hold."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import cv2
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG2MPML,
    MPEG4HP41,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

LOSSLESS = (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)


def region(left: int, top: int, right: int, bottom: int, form: int = 1, kind: int = 1) -> Dataset:
    """An ultrasound region; both of its corners belong to it."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = form, kind
    item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
    return item


def dataset(frames: np.ndarray, syntax: str = ExplicitVRLittleEndian, **elements: object) -> Dataset:
    """An uncompressed ultrasound clip.

    Args:
        frames: (count, height, width, 3) RGB, or (count, height, width) grey, 8 or 16 bits.
        syntax: what the header says; the pixels are as in an uncompressed one.
        elements: by keyword, in the place of those made here; None leaves one out.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = UltrasoundMultiFrameImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid(entropy_srcs=["lus"])
    made.Modality, made.CineRate = "US", 20
    made.NumberOfFrames, made.Rows, made.Columns = frames.shape[:3]
    made.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    if frames.ndim == 4:
        made.PlanarConfiguration = 0
    made.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * frames.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(frames.dtype.kind == "i")
    content = frames.tobytes()
    made.PixelData = content + b"\0" * (len(content) % 2)
    made["PixelData"].VR = "OW" if frames.itemsize > 1 else "OB"
    for keyword, value in elements.items():
        setattr(made, keyword, value)
        if value is None:
            delattr(made, keyword)
    return made


def save(made: Dataset, path: Path) -> Path:
    """Write a clip as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def encapsulated(made: Dataset, codes: list[bytes], syntax: str, **elements: object) -> Dataset:
    """Put code in the place of the pixels."""
    made.file_meta.TransferSyntaxUID = syntax
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    made.PixelData = encapsulate(codes, has_bot=False)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return made


def compressed(made: Dataset, syntax: str) -> Dataset:
    """The same clip in one of the lossless syntaxes, by GDCM or pydicom."""
    if syntax == RLELossless:
        made.compress(RLELossless, encoding_plugin="pydicom")
        return made
    import gdcm
    from pydicom import dcmread

    kinds = {
        JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        JPEGLSLossless: gdcm.TransferSyntax.JPEGLSLossless,
        JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
    }
    # GDCM ends the process at regions that are not complete: it gets the pixels alone.
    bare = made.group_dataset(0x0028)
    bare.file_meta, bare.PixelData = made.file_meta, made.PixelData
    bare.SOPClassUID, bare.SOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    bare["PixelData"].VR = made["PixelData"].VR
    with tempfile.TemporaryDirectory() as folder:
        plain, coded = str(save(bare, Path(folder) / "plain.dcm")), str(Path(folder) / "coded.dcm")
        reader = gdcm.ImageReader()
        reader.SetFileName(plain)
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(kinds[syntax]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(coded)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        codes = generate_frames(dcmread(coded).PixelData, number_of_frames=made.NumberOfFrames)
        return encapsulated(made, list(codes), syntax)


def baseline(made: Dataset, frames: np.ndarray, quality: int = 95) -> Dataset:
    """The same clip as JPEG baseline, by OpenCV: YBR with half the colours."""
    codes = []
    for frame in frames:
        ok, code = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert ok
        codes.append(code.tobytes())
    return encapsulated(made, codes, JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422")


def mpeg2(made: Dataset, frames: np.ndarray) -> Dataset:
    """The same clip as an MPEG-2 program stream, by OpenCV."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.mpg"
        size = frames.shape[2], frames.shape[1]
        writer = cv2.VideoWriter(os.fspath(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MPG2"), 25, size)
        assert writer.isOpened()
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()
        return encapsulated(made, [path.read_bytes()], MPEG2MPML, PhotometricInterpretation="YBR_PARTIAL_420")


def _code(number: int) -> str:
    """An unsigned Exp-Golomb code (ITU-T H.264, 9.1) as a string of bits."""
    bits = f"{number + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _unit(kind: int, bits: str, content: bytes = b"") -> bytes:
    """A unit of an H.264 byte stream: bits, then bytes, then its end."""
    bits += "" if content else "1"
    bits += "0" * (-len(bits) % 8)
    payload = int(bits, 2).to_bytes(len(bits) // 8) + content
    return b"\0\0\0\1" + bytes([kind]) + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", payload)


def h264(made: Dataset, frames: np.ndarray) -> Dataset:
    """The same clip as H.264 without a container, in blocks that are not compressed: OpenCV's wheels write no H.264.

    Args:
        made: the clip.
        frames: (count, height, width) uint8 grey, 16 to 235, sides a multiple of 16.
    """
    rows, columns = frames.shape[1] // 16, frames.shape[2] // 16
    size = _code(columns - 1) + _code(rows - 1)
    stream = _unit(0x67, f"{66:08b}{0:08b}{30:08b}" + _code(0) * 2 + _code(2) + _code(0) + "0" + size + "1000")
    stream += _unit(0x68, _code(0) * 2 + "00" + _code(0) * 3 + "000" + _code(0) * 3 + "100")
    for number, frame in enumerate(frames):
        head = _code(0) + _code(7) + _code(0) + "0000" + _code(number % 2) + "00" + _code(0) + _code(1) + _code(25)
        blocks = frame.reshape(rows, 16, columns, 16).swapaxes(1, 2).reshape(-1, 256)
        # A block's kind, filled up to whole bytes, stands in front of its samples; the first one's ends the head.
        content = b"\x0d\0".join(block.tobytes() + b"\x80" * 128 for block in blocks)
        stream += _unit(0x65, head, content + b"\x80")
    return encapsulated(made, [stream], MPEG4HP41, PhotometricInterpretation="YBR_PARTIAL_420")
