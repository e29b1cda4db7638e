"""One clip: a video file -> its frames.

Containers declare frame counts that are wrong often enough to matter, so a clip is decoded to its end and
its frames are counted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lus.arrays import Frames
from lus.errors import BadInput

SUFFIXES = frozenset({".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
"""File name endings by which a folder is searched for clips, in lower case."""


@dataclass(frozen=True)
class ClipInfo:
    """What decoding a clip to its end shows.

    Attributes:
        frames: decoded frames.
        fps: frames a second as the container declares them; 0 where it declares none.
        width, height: pixels.
    """

    frames: int
    fps: float
    width: int
    height: int


def clip_id(path: Path) -> str:
    """SHA-256 of the file's content, 64 hexadecimal digits: the identity of a clip, whatever its name."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _capture(path: Path) -> Iterator[cv2.VideoCapture]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BadInput(f"{path.name}: cannot be opened ({error.strerror}); a video file was expected") from None
    if not path.is_file():
        raise BadInput(f"{path.name}: is not a file; a video file was expected")
    if size == 0:
        raise BadInput(f"{path.name}: is empty; a video file was expected: fetch it again")
    if not os.access(path, os.R_OK):
        raise BadInput(f"{path.name}: may not be read by this user; change its permissions")
    # FFmpeg by name: other backends would take a name with `%d` in it for a series of images.
    # An absolute path: FFmpeg would take a name with a colon in it for a protocol.
    capture = cv2.VideoCapture(os.fspath(path.absolute()), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise BadInput(f"{path.name}: is not a video that can be decoded; convert it, for example to .mp4")
        yield capture
    finally:
        capture.release()


def inspect(path: Path, max_frames: int | None = None, max_pixels: int | None = None) -> ClipInfo:
    """Decode a clip to its end and count.

    Args:
        path: the clip.
        max_frames, max_pixels: limits at which decoding stops, so that a clip out of all bounds costs little.

    Raises:
        BadInput: the file cannot be read, holds no frame, or passes a limit.
    """
    with _capture(path) as capture:
        fps = capture.get(cv2.CAP_PROP_FPS)
        ok, first = capture.read()
        if not ok:
            raise BadInput(f"{path.name}: holds no frame that can be decoded; fetch or convert it again")
        height, width = first.shape[:2]
        if max_pixels is not None and height * width > max_pixels:
            raise BadInput(
                f"{path.name}: has frames of {width} x {height} pixels, at most {max_pixels} pixels are expected; "
                "make them smaller"
            )
        count = 1
        while capture.grab():
            count += 1
            if max_frames is not None and count > max_frames:
                raise BadInput(f"{path.name}: has more than {max_frames} frames, which is the most; cut the clip")
    return ClipInfo(frames=count, fps=fps if np.isfinite(fps) and fps > 0 else 0.0, width=width, height=height)


def sample_indices(count: int, length: int) -> NDArray[np.int64]:
    """Evenly spaced frame numbers, the first and the last frame among them.

    Args:
        count: decoded frames of the clip.
        length: frames wanted.

    Returns:
        (length,) int64, strictly increasing.

    Raises:
        BadInput: the clip has fewer frames than wanted.
    """
    if count < length:
        raise BadInput(f"the clip has {count} frames, at least {length} are expected; record a longer clip")
    return np.linspace(0, count - 1, length).round().astype(np.int64)


def union_indices(count: int, lengths: Iterable[int]) -> NDArray[np.int64]:
    """Frame numbers that serve every one of several lengths: (n,) int64, strictly increasing."""
    return np.unique(np.concatenate([sample_indices(count, length) for length in lengths]))


def read_frames(path: Path, indices: NDArray[np.int64], size: int) -> Frames:
    """Decode the given frames of a clip and resize them to a square, as the published method does.

    Args:
        path: the clip.
        indices: (length,) frame numbers, strictly increasing.
        size: pixels a side.

    Returns:
        (length, size, size, 3) uint8, RGB.

    Raises:
        BadInput: the file cannot be read or ends before the last frame asked for.
    """
    frames = np.empty((len(indices), size, size, 3), np.uint8)
    with _capture(path) as capture:
        position = -1
        for row, index in enumerate(indices):
            while position < index:
                if not capture.grab():
                    raise BadInput(
                        f"{path.name}: ends after {position + 1} frames, frame {index + 1} was expected; fetch it again"
                    )
                position += 1
            ok, frame = capture.retrieve()
            if not ok:
                raise BadInput(f"{path.name}: frame {index + 1} cannot be decoded; fetch it again")
            resized = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
            cv2.cvtColor(resized, cv2.COLOR_BGR2RGB, dst=frames[row])
    return frames


def sample(
    path: Path, length: int, size: int, max_frames: int | None = None, max_pixels: int | None = None
) -> tuple[Frames, ClipInfo]:
    """Decode a clip whose length is not known beforehand.

    Two passes, so that memory stays bounded by the frames kept and not by the clip. The limits are those of
    `inspect`.

    Returns:
        frames (length, size, size, 3) uint8 RGB, and what the clip is.
    """
    info = inspect(path, max_frames, max_pixels)
    try:
        indices = sample_indices(info.frames, length)
    except BadInput as error:
        raise BadInput(f"{path.name}: {error}") from None
    return read_frames(path, indices, size), info
