"""What a DICOM header says that a clip needs, and nothing else of it.

Of a file's header only the elements named in `ELEMENTS` are read, and of them only sizes and rates leave this module.
pydicom's warnings, logs and errors may quote any element, a patient's name among them: none of their text goes on.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from lus.clips import dicom_layout
from lus.clips.dicom_start import EXPLICIT, IMPLICIT, find_start
from lus.common.errors import Finding, Unusable

if TYPE_CHECKING:
    from pydicom import Dataset

ELEMENTS = (
    *("Modality", "BurnedInAnnotation", "SequenceOfUltrasoundRegions"),
    *("CineRate", "RecommendedDisplayFrameRate", "FrameTime", "FrameTimeVector"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "NumberOfFrames"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleSlope", "RescaleIntercept"),
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
)
"""All that is read of a header, by DICOM keyword. Frames are counted; their number tells only how their bytes lie."""
GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
"""Photometric interpretations with one and with three samples a pixel."""
BIG_ENDIAN = "1.2.840.10008.1.2.2"
UNCOMPRESSED = (IMPLICIT, EXPLICIT, BIG_ENDIAN)
RLE = "1.2.840.10008.1.2.5"
COMPRESSED = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 57, 70, 80, 81, 90, 91))
"""JPEG baseline, extended and lossless, JPEG-LS, JPEG 2000: what GDCM decodes."""
VIDEO = tuple(f"1.2.840.10008.1.2.4.{end}{part}" for end in range(100, 109) for part in ("", ".1"))
"""What holds a whole MPEG-2, H.264 or HEVC stream, in one part or in several."""
TISSUE_2D = 1
"""Of an ultrasound region: its spatial format and its data type (PS3.3, C.8.5.5.1.1 and C.8.5.5.1.2)."""
CORNERS = tuple(f"RegionLocation{corner}" for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1"))
PIXELS = 0x7FE00008
"""The first of the elements that may hold pixels."""
UNDEFINED = 0xFFFFFFFF
"""A length that only the end of the pixels tells."""


@dataclass(frozen=True)
class Box:
    """A part of a picture in pixels; `right` and `bottom` are the first beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """Pixels within it; 0 where it is empty."""
        return max(0, self.right - self.left) * max(0, self.bottom - self.top)


@dataclass(frozen=True)
class Header:
    """What is known of a DICOM clip before any of it is decoded.

    Attributes:
        syntax: the UID of its transfer syntax, one of those that can be read.
        width, height: pixels of a whole frame.
        box: the part of it that is shown.
        fps: frames a second; 0 where none are declared.
        start, length: where its pixels lie in the file, in bytes; as many as are there.
        options: what pydicom's decoders want to know; empty for a video stream.
        levels: what each stored value is shown as: (2 ** bits,) grey levels, or (2 ** bits, 3) BGR of a palette.
    """

    syntax: str
    width: int
    height: int
    box: Box
    fps: float
    start: int
    length: int
    options: dict[str, Any]
    levels: NDArray[np.uint8]

    @property
    def is_video(self) -> bool:
        """Whether its pixels are one stream for a video decoder."""
        return self.syntax in VIDEO

    @property
    def end(self) -> int:
        """The place behind the last byte of the pixels."""
        return self.start + self.length

    @property
    def frame_length(self) -> int:
        """Bytes of a frame that is not compressed."""
        return dicom_layout.frame_length(self.options)

    @property
    def swapped(self) -> bool:
        """Whether bytes are stored as words of two, the second byte first (PS3.5, 8.1.2 and annex A.3)."""
        options = self.options
        return self.syntax == BIG_ENDIAN and options["bits_allocated"] == 8 and options["pixel_vr"] == "OW"


def unusable_dicom(path: Path, check: str, found: str, expected: str, advice: str) -> Unusable:
    """What a file is refused with."""
    return Unusable(path.name, [Finding(check, found, expected, advice)])


def damaged_dicom(path: Path, found: str, expected: str) -> Unusable:
    """The refusal of a file that is not as its header, or the standard, says."""
    return unusable_dicom(path, "decode", found, expected, "fetch or export it again")


@contextmanager
def hide_values(path: Path, found: str, expected: str) -> Iterator[None]:
    """What goes wrong in pydicom, in whatever way, is a refusal in words of our own."""
    try:
        yield
    except (Unusable, MemoryError):
        raise
    except Exception:
        raise damaged_dicom(path, found, expected) from None


def read(path: Path, file: BinaryIO) -> Header:
    """Read the header of an opened DICOM file.

    Raises:
        Unusable: it is no ultrasound, cannot be read, or says nothing sensible of what it shows.
    """
    with hide_values(path, "a DICOM header that cannot be read", "a whole one"):
        syntax, elements, place = _read(path, file)
        if str(elements.get("Modality", "")) != "US":
            raise unusable_dicom(
                path, "modality", "a DICOM file of another modality", "ultrasound (US)", "take an ultrasound clip"
            )
        start, length, declared, representation = _find_pixels(path, file, place, syntax)
        width, height = _whole(path, elements, "Columns"), _whole(path, elements, "Rows")
        video = syntax in VIDEO
        options = {} if video else _options(path, elements) | {"pixel_vr": representation}
        if syntax in UNCOMPRESSED:
            options = _layout(path, options, declared, int(_number(elements, "NumberOfFrames") or 0))
        return Header(
            syntax=syntax,
            width=width,
            height=height,
            box=_tissue(path, elements, width, height),
            fps=_rate(elements),
            start=start,
            length=length,
            options=options,
            levels=np.arange(256, dtype=np.uint8) if video else _levels(path, elements, options),
        )


def _read(path: Path, file: BinaryIO) -> tuple[str, Dataset, int]:
    """The transfer syntax, the elements, and the place where the pixels begin."""
    # Of a file, pydicom would take the memory for as many bytes as an element says it has.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start, has_meta, syntax = find_start(content[:140])
        content.seek(start)
        if has_meta:
            # The group of the transfer syntax has a form of its own (PS3.10, 7.1).
            meta = _elements(content, EXPLICIT, ["TransferSyntaxUID"], 0x00030000)
            syntax = str(meta.get("TransferSyntaxUID", ""))
        _refuse_syntax(path, syntax)
        return syntax, _elements(content, syntax, ELEMENTS, PIXELS), content.tell()


def _elements(content: mmap.mmap, syntax: str, keywords: Sequence[str], end: int) -> Dataset:
    """Those elements that have the keywords, from here to the first tag that is not below `end`."""
    from pydicom.filereader import read_dataset
    from pydicom.tag import BaseTag, Tag

    def stop(tag: BaseTag, *_: object) -> bool:
        return int(tag) >= end

    wanted: list[BaseTag | int] = [Tag(keyword) for keyword in keywords]
    file = cast(BinaryIO, content)
    return read_dataset(file, syntax == IMPLICIT, syntax != BIG_ENDIAN, stop_when=stop, specific_tags=wanted)


def _refuse_syntax(path: Path, syntax: str) -> None:
    """Refuse what cannot be decoded before more is read: a deflated file would have to be inflated whole."""
    from pydicom.uid import UID

    if syntax in (*UNCOMPRESSED, RLE, *COMPRESSED, *VIDEO):
        return
    # An unknown one could be any text.
    name = UID(syntax).name
    found = "an unknown transfer syntax" if name == syntax else f"the transfer syntax {name}"
    expected = "an uncompressed, RLE, JPEG, JPEG-LS, JPEG 2000 or MPEG one"
    raise unusable_dicom(path, "decode", found, expected, "export it in another")


def _number(elements: Dataset, keyword: str) -> float | None:
    """The first, or only, number of an element; None where there is none."""
    try:
        value = elements.get(keyword)
        number = float(value if isinstance(value, (int, float, str)) else value[0])
    except Exception:  # an element may hold anything, and pydicom raises anything
        return None
    return number if np.isfinite(number) else None


def _whole(path: Path, elements: Dataset, keyword: str, allowed: range = range(1, 1 << 16)) -> int:
    number = _number(elements, keyword)
    if number is None or number not in allowed:
        raise damaged_dicom(path, f"a DICOM header without a usable {keyword}", "one that describes its pixels")
    return int(number)


def _rate(elements: Dataset) -> float:
    """Frames a second, by the first element that gives it (PS3.3, C.7.6.5); 0 where none does."""
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = _number(elements, keyword)
        if rate is not None and rate > 0:
            return rate
    time = _number(elements, "FrameTime")
    if time is None or time <= 0:
        try:
            # The first frame has no time to one before it.
            time = float(np.mean([float(one) for one in elements.FrameTimeVector[1:]]))
        except Exception:  # as above
            time = 0
    return 1000 / time if np.isfinite(time) and time > 0 else 0.0


def _tissue(path: Path, elements: Dataset, width: int, height: int) -> Box:
    """Where the header says that the picture is: the largest region of 2D tissue, or all where it names no region."""
    # GDCM writes the size of a pixel as a region without corners.
    listed = elements.get("SequenceOfUltrasoundRegions") or []
    regions = [region for region in listed if any(corner in region for corner in CORNERS)]
    if not regions and str(elements.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        raise unusable_dicom(
            path,
            "burnt_in",
            "text burnt into the picture and no ultrasound region to cut it to",
            "a DICOM file with its ultrasound regions, or without burnt-in text",
            "export it anonymised",
        )
    if not regions:
        return Box(0, 0, width, height)
    tissue = [
        region
        for region in regions
        if _number(region, "RegionSpatialFormat") == TISSUE_2D and _number(region, "RegionDataType") == TISSUE_2D
    ]
    if not tissue:
        raise unusable_dicom(
            path,
            "region",
            "ultrasound regions of which none shows tissue in two dimensions",
            "a B-mode clip",
            "take a B-mode clip",
        )
    box = max((_box(region, width, height) for region in tissue), key=lambda one: one.area)
    if not box.area:
        raise unusable_dicom(
            path,
            "region",
            "an ultrasound region that is empty or outside of the picture",
            f"one within {width} x {height} pixels",
            "export it again",
        )
    return box


def _box(region: Dataset, width: int, height: int) -> Box:
    """A region, whose corners both belong to it (PS3.3, C.8.5.5.1.3), as far as the picture reaches."""
    corners = [_number(region, corner) for corner in CORNERS]
    left, top, right, bottom = (-1 if corner is None else int(corner) for corner in corners)
    # What has no corners, or one point for both, was never filled in.
    if min(left, top) < 0 or right <= left or bottom <= top:
        return Box(0, 0, 0, 0)
    return Box(left, top, min(right + 1, width), min(bottom + 1, height))


def _find_pixels(path: Path, file: BinaryIO, place: int, syntax: str) -> tuple[int, int, int, str]:
    """Where the pixels start, how many bytes are there at most and are declared, and their value representation.

    The element's head is in explicit or in implicit form (PS3.5, 7.1), whatever the syntax says: an even length
    does not look like a representation.
    """
    order = ">" if syntax == BIG_ENDIAN else "<"
    file.seek(place)
    head = file.read(8)
    if head[:4] != struct.pack(f"{order}HH", 0x7FE0, 0x0010) or len(head) < 8:
        raise damaged_dicom(path, "a DICOM file without pixels", "an ultrasound clip")
    explicit = head[4:6] in (b"OB", b"OW", b"UN")
    (length,) = struct.unpack(f"{order}L", file.read(4) if explicit else head[4:])
    start = file.tell()
    rest = file.seek(0, 2) - start
    if length == UNDEFINED and syntax in UNCOMPRESSED:
        raise damaged_dicom(path, "uncompressed pixels without a length", "one with its length")
    return start, min(length, rest), length, head[4:6].decode() if explicit else "OW"


def _options(path: Path, elements: Dataset) -> dict[str, Any]:
    """What pydicom's decoders want to know of a frame."""
    samples = _whole(path, elements, "SamplesPerPixel")
    allocated = _whole(path, elements, "BitsAllocated")
    interpretation = str(elements.get("PhotometricInterpretation", ""))
    if interpretation not in {1: GREY, 3: COLOUR}.get(samples, ()):
        raise damaged_dicom(path, "pixels of another kind", "grey, palette, RGB or YBR ones")
    if allocated not in (8, 16):
        raise damaged_dicom(path, f"pixels of {allocated} bits", "8 or 16")
    return {
        "rows": _whole(path, elements, "Rows"),
        "columns": _whole(path, elements, "Columns"),
        "number_of_frames": 1,
        "samples_per_pixel": samples,
        "photometric_interpretation": interpretation,
        "planar_configuration": int(_number(elements, "PlanarConfiguration") or 0),
        "bits_allocated": allocated,
        "bits_stored": _whole(path, elements, "BitsStored", range(1, allocated + 1)),
        "pixel_representation": _whole(path, elements, "PixelRepresentation", range(2)),
        "pixel_keyword": "PixelData",
    }


def _layout(path: Path, options: dict[str, Any], length: int, frames: int) -> dict[str, Any]:
    try:
        return dicom_layout.find_layout(options, length, frames)
    except dicom_layout.Contradiction as error:
        raise damaged_dicom(path, error.found, error.expected) from None


def _levels(path: Path, elements: Dataset, options: dict[str, Any]) -> NDArray[np.uint8]:
    with hide_values(path, "grey levels or a palette that cannot be shown", "usable ones"):
        return dicom_layout.show_levels(elements, options)
