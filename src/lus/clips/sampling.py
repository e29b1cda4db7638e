"""Evenly spaced frames of a clip, and a thumbnail of every frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lus.clips import decode
from lus.clips.decode import ClipInfo
from lus.clips.video import Notes
from lus.common.arrays import Frames, Thumbnails
from lus.common.params import Limits

THUMBNAIL = 32
"""Pixels a side of a thumbnail."""


@dataclass(frozen=True)
class Sample:
    """What is kept of a clip.

    Attributes:
        info: what the clip is.
        indices: (n,) numbers of the frames that were kept.
        frames: those frames, (n, size, size, 3) uint8 RGB.
        thumbnails: every frame of the clip, (frames, 32, 32) uint8 grey.
        spread: evenly spaced frames, whatever the lengths, as many as were asked for or as there are: as `frames`.
        notes: what was found while it was decoded.
    """

    info: ClipInfo
    indices: NDArray[np.int64]
    frames: Frames
    thumbnails: Thumbnails
    spread: Frames = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.uint8))
    notes: Notes = field(default_factory=Notes)


def sample_indices(count: int, length: int) -> NDArray[np.int64]:
    """Evenly spaced frame numbers, the first and the last frame among them.

    Args:
        count: decoded frames of the clip, at least `length`.
        length: frames wanted.

    Returns:
        (length,) int64, strictly increasing.

    Raises:
        ValueError: the clip has fewer frames than wanted.
    """
    if count < length:
        raise ValueError(f"{length} different frames cannot be taken from {count}")
    return np.linspace(0, count - 1, length).round().astype(np.int64)


def union_indices(count: int, lengths: Iterable[int]) -> NDArray[np.int64]:
    """Frame numbers that serve every one of several lengths: (n,) int64, strictly increasing."""
    return np.unique(np.concatenate([sample_indices(count, length) for length in lengths]))


def read_frames(
    path: Path, indices: NDArray[np.int64], size: int, whole: bool = False
) -> tuple[Frames, Thumbnails, Notes]:
    """Decode a clip, keep the given frames and resize them to a square, as the published method does.

    Args:
        path: the clip.
        indices: (length,) frame numbers, strictly increasing.
        size: pixels a side.
        whole: whether the last one asked for is the clip's last, so that what follows was trimmed.

    Returns:
        (length, size, size, 3) uint8 RGB; a thumbnail of every frame up to the last one asked for; and what was found
        on the way.

    Raises:
        Unusable: the file cannot be read or ends before the last frame asked for.
    """
    wanted = {int(index): row for row, index in enumerate(indices)}
    count = int(indices[-1]) + 1
    frames = np.empty((len(indices), size, size, 3), np.uint8)
    thumbnails = np.empty((count, THUMBNAIL, THUMBNAIL), np.uint8)
    with decode.open_clip(path) as source:
        for position in range(count):
            ok, frame = source.read()
            if not ok:
                found = f"an end after {position} frames"
                raise decode.unreadable(path, found, f"a frame number {count}", "fetch it again")
            thumbnails[position] = make_thumbnail(frame)
            if position in wanted:
                resized = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
                cv2.cvtColor(resized, cv2.COLOR_BGR2RGB, dst=frames[wanted[position]])
        # What is behind the last frame of a clip, as `decode.inspect` counts them, is blank.
        if whole:
            source.notes.blank += sum(1 for _ in iter(source.grab, False))
        return frames, thumbnails, source.notes


def make_thumbnail(frame: Frames) -> Thumbnails:
    """A frame (height, width, 3), BGR, from every few of its pixels: looking at all of them would cost a decoding."""
    height, width = frame.shape[:2]
    few = frame[:: max(1, height // (2 * THUMBNAIL)), :: max(1, width // (2 * THUMBNAIL)), 1]
    tiny = cv2.resize(np.ascontiguousarray(few), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(tiny, np.uint8)


def sample(
    path: Path, lengths: Sequence[int], size: int, limits: Limits, info: ClipInfo | None = None, spread: int = 0
) -> Sample:
    """Keep of a clip what all the lengths need.

    Two passes where the number of frames is not known beforehand, so that memory stays bounded by the frames
    kept and not by the clip.

    Args:
        path: the clip.
        lengths: frames of a sequence.
        size: pixels a side of the frames kept.
        limits: of a usable clip.
        info: what `decode.inspect` said, where it has been asked before.
        spread: evenly spaced frames that are wanted beside those of the lengths.

    Raises:
        Unusable: the clip cannot be decoded or passes a limit that `decode.inspect` looks at.
        ValueError: it has fewer frames than the longest sequence.
    """
    info = info or decode.inspect(path, limits)
    indices = union_indices(info.frames, lengths)
    even = sample_indices(info.frames, min(spread, info.frames))
    read = np.union1d(indices, even)
    frames, thumbnails, notes = read_frames(path, read, size, whole=True)
    # The usual length is as many frames as are spread: nothing is copied then.
    kept, beside = (
        frames if len(rows) == len(read) else frames[np.searchsorted(read, rows)] for rows in (indices, even)
    )
    return Sample(info, indices, kept, thumbnails, beside, notes)
