"""Encapsulated pixels of DICOM: where each frame's code lies, and what size it says it has.

What pydicom has for it takes the declared number of frames for right, and a cut-off frame for whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

ITEM = struct.pack("<HH", 0xFFFE, 0xE000)
IMAGE = b"\xff\xd8"
"""What the code of a frame begins with in JPEG and JPEG-LS."""
PROCESSES = {50: (0xC0,), 51: (0xC0, 0xC1), 57: (0xC3,), 70: (0xC3,), 80: (0xF7,), 81: (0xF7,)}
"""Second bytes of the markers before the size of a frame (ISO 10918-1, B.2.2; ISO 14495-1, C.2.2) that each JPEG and
JPEG-LS transfer syntax, by the end of its UID, may have: baseline, extended, lossless, JPEG-LS."""
HUFFMAN, SCAN, JPEG_LS = 0xC4, 0xDA, 0xF7
FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {HUFFMAN, 0xC8, 0xCC} | {JPEG_LS}
NOTHING = (0, 0, 0, 0, 0)
SIZE_2000 = b"\xff\x4f\xff\x51"
"""What a JPEG 2000 codestream begins with: its size follows (ISO 15444-1, A.5.1)."""


@dataclass(frozen=True)
class Extent:
    """A part of a file, in bytes.

    Attributes:
        start, length: where it lies.
        whole: whether all of it is there; the last of a file that was cut off is not.
    """

    start: int
    length: int
    whole: bool = True


class FilePart:
    """The next bytes of a file, as a file that ends after them."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all that are left by default."""
        got = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(got)
        return got


def read(file: BinaryIO, extent: Extent) -> bytes:
    """The bytes of a part."""
    file.seek(extent.start)
    return file.read(extent.length)


def _items(file: BinaryIO, start: int, end: int) -> Iterator[Extent]:
    """The items of a sequence (PS3.5, A.4) between two places of a file, up to what is no item."""
    place = start
    while place + 8 <= end:
        file.seek(place)
        head = file.read(8)
        (length,) = struct.unpack("<L", head[4:])
        if head[:4] != ITEM:
            return
        there = min(length, end - place - 8)
        yield Extent(place + 8, there, there == length)
        place += 8 + length


def split_fragments(file: BinaryIO, start: int, end: int) -> Iterator[Extent]:
    """The parts in which code is stored; the first item, the table of offsets, is none of them."""
    items = _items(file, start, end)
    next(items, None)
    return (item for item in items if item.length)


def split_frames(file: BinaryIO, start: int, end: int, *, apart: bool) -> Iterator[list[Extent]]:
    """The fragments of each frame that is wholly there.

    A frame begins with the fragment that begins as code does: within code these bytes do not occur. So neither the
    declared number of frames nor the table of offsets, which may both be wrong, is needed.

    Args:
        file: the file.
        start, end: where the items lie in it.
        apart: each fragment is a frame, as in RLE (PS3.5, A.4.2).
    """
    frame: list[Extent] = []
    for part in split_fragments(file, start, end):
        begins = apart or read(file, Extent(part.start, len(SIZE_2000))).startswith((IMAGE, SIZE_2000))
        if begins and frame:
            yield frame
            frame = []
        if not part.whole:
            return
        frame.append(part)
    if frame:
        yield frame


def check_frame_header(code: bytes, syntax: str, width: int, height: int, options: Mapping[str, Any]) -> None:
    """Hold a JPEG, JPEG-LS or JPEG 2000 frame to the header.

    A decoder takes memory for the size that the code says, and GDCM ends the process at a code of another kind.

    Args:
        code: of the frame.
        syntax: the transfer syntax's UID.
        width, height: as the header declares them.
        options: samples a pixel and bits, as pydicom's decoders want them.

    Raises:
        ValueError: the code is of another kind or says another size.
    """
    declared = (width, height, options["samples_per_pixel"])
    kinds = PROCESSES.get(int(syntax.rpartition(".")[2]))
    if kinds is None:
        fits = _size_2000(code) == declared
    else:
        kind, bits, *size = _size(code)
        fits = kind in kinds and tuple(size) == declared and (bits > 8) == (options["bits_allocated"] > 8)
    if not fits:
        raise ValueError("the code of a frame is not what the header declares")


def find_colours(code: bytes, options: Mapping[str, Any]) -> str:
    """What the colours of a JPEG frame are, where the code says otherwise than the header: else nothing.

    A frame that is declared RGB and stores two of its components at less than full size is YCbCr, as no RGB frame is
    stored so; GDCM takes it for RGB where the code has no marker of JFIF or Adobe.

    Args:
        code: of the frame.
        options: as for `check_frame_header`.
    """
    marked = any(mark in code[:64] for mark in (b"JFIF\0", b"Adobe"))
    if options["photometric_interpretation"] != "RGB" or marked or not code.startswith(IMAGE):
        return ""
    sampling = _sampling(code)
    return "YBR_FULL" if len(sampling) == 3 and sampling[0] != sampling[1] == sampling[2] else ""


def _sampling(code: bytes) -> list[int]:
    """How densely each component of a JPEG frame is sampled (ISO 10918-1, B.2.2); nothing where no frame is found."""
    place = 2
    while place + 10 <= len(code) and code[place] == 0xFF:
        marker = code[place + 1]
        if marker in FRAME_HEADERS:
            return [code[at] for at in range(place + 11, min(place + 11 + 3 * code[place + 9], len(code)), 3)]
        if marker == SCAN:
            break
        place += 1 if marker == 0xFF else 2 + int.from_bytes(code[place + 2 : place + 4])
    return []


def swap(stored: bytes) -> bytes:
    """Words of two bytes, the other byte first."""
    whole = bytearray(stored + b"\0" * (len(stored) % 2))
    whole[::2], whole[1::2] = whole[1::2], whole[::2]
    return bytes(whole)


def _size_2000(code: bytes) -> tuple[int, ...]:
    """Width, height and samples that a JPEG 2000 codestream says; nothing where it says none."""
    if not code.startswith(SIZE_2000) or len(code) < 42:
        return ()
    right, bottom, left, top = struct.unpack(">4L", code[8:24])
    return right - left, bottom - top, int.from_bytes(code[40:42])


def _size(code: bytes) -> tuple[int, ...]:
    """Kind, bits, width, height and samples that a JPEG or JPEG-LS frame says; zeros where its head is not whole."""
    place, found, tables = 2, NOTHING, False
    while code.startswith(IMAGE) and place + 10 <= len(code) and code[place] == 0xFF:
        marker = code[place + 1]
        if marker == SCAN:
            return found if tables or found[0] == JPEG_LS else NOTHING
        if marker in FRAME_HEADERS:
            bits, height, width, samples = struct.unpack(">BHHB", code[place + 4 : place + 10])
            found = (marker, bits, width, height, samples)
        tables |= marker == HUFFMAN
        # A marker may have fill bytes in front of it.
        place += 1 if marker == 0xFF else 2 + int.from_bytes(code[place + 2 : place + 4])
    return NOTHING
