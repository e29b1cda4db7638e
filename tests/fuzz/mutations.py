"""Ways in which a video file gets damaged: pure functions of its bytes, random numbers and another file's bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import numpy as np

Mutation = Callable[[bytes, np.random.Generator, bytes], bytes]
EDGE = 2048
"""Bytes at either end of a file that hold its header and, in some containers, its index."""
TELLING = (0, 1, 16384, 0x7FFFFFFF, 0xFFFFFFFF)
"""Integers at which sizes, counts and lengths go wrong; of shorter ones, their lower bytes."""
CODES = re.compile(
    rb"RIFF|LIST|avih|strh|strf|movi|idx1|JUNK|00dc"
    rb"|ftyp|moov|mvhd|trak|tkhd|edts|elst|mdia|mdhd|hdlr|minf|stbl|stsd|stts|stss|stsc|stsz|stco|co64|mdat"
)
"""Four-letter codes of AVI and MP4/MOV, beside which their lengths, sizes and counts stand."""
SIDES = {
    re.compile(rb"(?s:strf.{8}|avih.{36})"): "<u4",  # AVI
    re.compile(rb"(?s:stsd.{40})"): ">u2",  # MP4, MOV
    re.compile(rb"\xff\xc0\x00\x11\x08"): ">u2",  # a frame of Motion JPEG
    re.compile(rb"\x00\x00\x01\xb3"): ">u2",  # MPEG, which packs two of 12 bits
    re.compile(rb"[\xb0\xba]\x82"): ">u2",  # WebM, Matroska
    re.compile(rb"\x9d\x01\x2a"): "<u2",  # a key frame of VP8
    re.compile(rb"(?s:GIF8[79]a|\x2c.{4}(?=.{4}[\x00\x80-\x87]))"): "<u2",  # GIF, and a frame of it
    re.compile(rb"\x28\0[\x02\x10\x11]\0US\x02\0"): "<u2",  # DICOM: samples, rows, columns
    re.compile(rb"\x18\0[\x18\x1a\x1c\x1e]\x60UL\x04\0"): "<u4",  # a corner of a DICOM region
    re.compile(rb"(?s:\xff\x4f\xff\x51.{4})"): ">u4",  # a frame of JPEG 2000
}
"""What stands in front of the width and the height of a frame, and how these are written."""


def _place(length: int, rng: np.random.Generator, longest: int) -> slice:
    """Somewhere in a file, from one byte up to `longest`."""
    start = int(rng.integers(length))
    return slice(start, start + int(rng.integers(1, longest + 1)))


def _longest(content: bytes) -> int:
    return max(1, len(content) // 4)


def empty(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    return b""


def flip_bits(content: bytes, rng: np.random.Generator, other: bytes, within: slice = slice(None)) -> bytes:
    """One bit to some hundred, few more often than many."""
    places = range(len(content))[within]
    damaged = bytearray(content)
    for place in rng.choice(places, int(2 ** rng.uniform(0, 8))):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def overwrite(content: bytes, rng: np.random.Generator, other: bytes, value: int) -> bytes:
    """Runs of one value, from some bytes up to a disk's block."""
    damaged = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        start = int(rng.integers(EDGE if rng.random() < 0.5 else len(content)))
        run = range(len(content))[start : start + int(2 ** rng.uniform(1, 12))]
        damaged[run.start : run.stop] = bytes([value]) * len(run)
    return bytes(damaged)


def cut_end(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    return content[: int(rng.integers(1, len(content)))]


def cut_head(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    return content[int(rng.integers(1, EDGE if rng.random() < 0.5 else len(content))) :]


def double_block(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    block = _place(len(content), rng, _longest(content))
    return content[: block.stop] + content[block] + content[block.stop :]


def remove_block(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    block = _place(len(content), rng, _longest(content))
    return content[: block.start] + content[block.stop :]


def swap_blocks(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Two blocks, and all that stands between them stays."""
    a, b, c, d = sorted(int(cut) for cut in rng.integers(0, len(content) + 1, 4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def swap_header(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """The other file's header, in place of this one's or in front of it."""
    header = other[: int(rng.integers(4, EDGE))]
    return header + content[len(header) if rng.random() < 0.5 else 0 :]


def join_halves(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    return content[: int(rng.integers(1, len(content)))] + other[int(rng.integers(1, len(other))) :]


def set_integers(content: bytes, rng: np.random.Generator, other: bytes, order: str) -> bytes:
    """32-bit integers where a container keeps its numbers: beside a four-letter code, or else near an end."""
    damaged = bytearray(content)
    places: dict[bytes, list[int]] = {}
    for found in CODES.finditer(content):
        places.setdefault(found.group(), []).append(found.start())
    for _ in range(int(rng.integers(1, 4))):
        if places and rng.random() < 0.75:
            # Each code as often as any other: some stand in front of every frame.
            of_code = places[sorted(places)[int(rng.integers(len(places)))]]
            place = of_code[int(rng.integers(len(of_code)))] + 4 * int(rng.integers(-1, 16))
        else:
            place = int(rng.integers(EDGE)) - (EDGE if rng.random() < 0.25 else 0)
        _set(damaged, place, rng, f"{order}u4")
    return bytes(damaged)


def _set(damaged: bytearray, place: int, rng: np.random.Generator, form: str) -> None:
    width = np.dtype(form).itemsize
    start = min(place % len(damaged), len(damaged) - width)
    value = int(rng.choice(TELLING)) & ((1 << 8 * width) - 1)
    damaged[start : start + width] = np.array(value, form).tobytes()


def set_sides(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Width, height or both, of the clip or of some of its frames."""
    damaged = bytearray(content)
    found = [(match.end(), form) for before, form in SIDES.items() for match in before.finditer(content)]
    for chosen in rng.choice(len(found), min(len(found), int(2 ** rng.uniform(0, 6)))) if found else ():
        place, form = found[chosen]
        for side in range(2):
            if rng.random() < 0.7:
                _set(damaged, place + side * np.dtype(form).itemsize, rng, form)
    return bytes(damaged) if found else set_integers(content, rng, other, ">")


def garbage_behind_header(content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """Behind a header of some bytes, or of some frames more."""
    header = int(2 ** rng.uniform(4, np.log2(len(content) - 1)))
    return content[:header] + rng.bytes(len(content) - header)


KINDS: dict[str, Mutation] = {
    "empty": empty,
    "bits anywhere": flip_bits,
    "bits in the head": partial(flip_bits, within=slice(EDGE)),
    "bits in the tail": partial(flip_bits, within=slice(-EDGE, None)),
    "runs of 0x00": partial(overwrite, value=0),
    "runs of 0xFF": partial(overwrite, value=0xFF),
    "end cut off": cut_end,
    "head cut off": cut_head,
    "block doubled": double_block,
    "block removed": remove_block,
    "blocks swapped": swap_blocks,
    "foreign header": swap_header,
    "two halves": join_halves,
    "integers, big end first": partial(set_integers, order=">"),
    "integers, little end first": partial(set_integers, order="<"),
    "frame sizes": set_sides,
    "garbage": garbage_behind_header,
}
"""The mutations by name. They take files of more than 4 kB."""


def damage(kind: str, content: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """One mutation, drawn again where it happened to change nothing (zeros over zeros)."""
    for _ in range(100):
        damaged = KINDS[kind](content, rng, other)
        if damaged != content:
            return damaged
    raise ValueError(f"{kind!r} does not change this file of {len(content)} bytes")
