"""One clip: a video or DICOM file -> its frames.

Containers declare frame counts that are wrong often enough to matter, so a clip is decoded to its end and
its frames are counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lus.clips import dicom
from lus.common import hashing
from lus.common.arrays import Frames, Thumbnails
from lus.common.errors import Finding, Unusable
from lus.common.params import Limits

SUFFIXES = frozenset(
    {".avi", ".dcm", ".dicom", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}
)
"""File name endings of clips, in lower case."""


_OPTIONS = "protocol_whitelist;file|format_whitelist;avi,mov,mp4,m4v,matroska,webm,mpeg,mpegts,mpegvideo,gif,asf"
"""For FFmpeg: a clip is one file of a video format, and neither an address nor a list of other files."""
_STREAM_OPTIONS = f"{_OPTIONS},h264,hevc"
"""A stream in a DICOM file may have no container."""
THUMBNAIL = 32
"""Pixels a side of a thumbnail."""


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


@dataclass(frozen=True)
class Source:
    """A clip that is being decoded.

    Attributes:
        width, height: pixels of a frame as the file declares them, before anything is cut off: what decoding costs.
        fps: frames a second as the file declares them.
        read: decodes the next frame: whether there was one, and its pixels, (height, width, 3) uint8 BGR.
        grab: goes past the next frame: whether there was one.
    """

    width: int
    height: int
    fps: float
    read: Callable[[], tuple[bool, Frames]]
    grab: Callable[[], bool]


@dataclass(frozen=True)
class Sample:
    """What is kept of a clip.

    Attributes:
        info: what the clip is.
        indices: (n,) numbers of the frames that were kept.
        frames: those frames, (n, size, size, 3) uint8 RGB.
        thumbnails: every frame of the clip, (frames, 32, 32) uint8 grey.
        spread: evenly spaced frames, whatever the lengths, as many as were asked for or as there are: as `frames`.
    """

    info: ClipInfo
    indices: NDArray[np.int64]
    frames: Frames
    thumbnails: Thumbnails
    spread: Frames = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.uint8))


def clip_id(path: Path) -> str:
    """SHA-256 of the file's content, 64 hexadecimal digits: the identity of a clip, whatever its name."""
    return hashing.sha256(path)


def shown(path: Path | str) -> str:
    """A path as text that can be written anywhere: bytes that are no UTF-8 are spelt out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _unusable(path: Path, found: str, expected: str, advice: str) -> Unusable:
    return Unusable(shown(path.name), [Finding("decode", found, expected, advice)])


def _over(path: Path, check: str, meaning: str, found: int, limit: int, advice: str, more: str = "") -> Unusable:
    return Unusable(shown(path.name), [Finding(check, f"{more}{found}", f"at most {limit}", advice, meaning)])


def is_clip(path: Path) -> bool:
    """Whether a file of a folder is meant to be a clip: by its name's ending, or by its first bytes as DICOM.

    Ultrasound machines write DICOM files without an ending, or with a UID for a name. The index beside them, DICOMDIR,
    is in the same format and no clip (PS3.10, 8.6); Linux shows the names of some discs in lower case. What cannot be
    read might be a clip: it counts as one, so that it is named with its reason.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        # What is no file, such as a pipe, might be waited for.
        if path.name.upper() == "DICOMDIR" or not path.is_file():
            return False
        with path.open("rb") as file:
            return dicom.recognised(file.read(132))
    except OSError:
        return True


def _refuse_unreadable(path: Path) -> bytes:
    """The first bytes of a file that can be read."""
    if shown(path) != str(path):
        # OpenCV would end the process.
        raise _unusable(path, "a name that is not UTF-8", "a name in UTF-8", "rename it")
    try:
        if not path.is_file() and path.stat():
            raise _unusable(path, "not a file", "a video file", "name a file")
        with path.open("rb") as file:
            head = file.read(132)
    except PermissionError:
        raise _unusable(
            path, "a file that this user may not read", "a readable video file", "change its permissions"
        ) from None
    except (OSError, ValueError) as error:
        # A dangling link is there and leads nowhere. A name with a zero byte is a ValueError.
        reason = error.strerror if isinstance(error, OSError) else error
        dangling = os.path.islink(path)  # noqa: PTH114 - Path.is_symlink raises for the names that come here
        what = "a link to a file that is not there" if dangling else f"nothing to open ({reason})"
        raise _unusable(path, what, "a video file", "put the file where its name says") from None
    if not head:
        raise _unusable(path, "an empty file", "a video file", "fetch it again")
    return head


@contextmanager
def _opened(path: Path) -> Iterator[Source]:
    if not dicom.recognised(_refuse_unreadable(path)):
        # An absolute path: FFmpeg would take a name with a colon in it for a protocol.
        with _capture(path, os.fspath(path.absolute()), _OPTIONS) as source:
            yield source
        return
    with dicom.opened(path) as recording:
        if not recording.is_video:
            yield Source(recording.width, recording.height, recording.fps, recording.read, recording.grab)
            return
        with recording.unwrapped() as stream, _capture(path, stream, _STREAM_OPTIONS) as video:

            def read() -> tuple[bool, Frames]:
                ok, frame = video.read()
                return ok, recording.cut(frame) if ok else frame

            yield replace(video, fps=recording.fps or video.fps, read=read)


@contextmanager
def _capture(path: Path, address: str, options: str) -> Iterator[Source]:
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = options  # the only way to hand options through OpenCV
    # FFmpeg by name: other backends would take a name with `%d` in it for a series of images.
    # One thread: with more, what is shown in the place of damaged parts depends on which of them is first.
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise _unusable(path, "nothing that can be decoded", "a video file", "convert it, for example to .mp4")
        width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        yield Source(width, height, capture.get(cv2.CAP_PROP_FPS), capture.read, capture.grab)
    finally:
        capture.release()


def _refuse_large(path: Path, width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        meaning = f"the number of pixels of a frame ({width} x {height})"
        raise _over(path, "pixels", meaning, width * height, limits.max_pixels, "make its frames smaller")


def inspect(path: Path, limits: Limits) -> ClipInfo:
    """Decode a clip to its end and count.

    Args:
        path: the clip.
        limits: decoding stops at the first one that is passed, so that a clip out of all bounds costs little
            time and no memory.

    Raises:
        Unusable: the file cannot be read, holds no frame, or passes a limit.
    """
    with _opened(path) as source:
        # What is declared comes first: a decoder spends the memory of a frame before it shows the frame.
        _refuse_large(path, source.width, source.height, limits)
        fps = source.fps
        ok, first = source.read()
        if not ok:
            raise _unusable(path, "no frame that can be decoded", "a video file", "fetch or convert it again")
        height, width = first.shape[:2]
        _refuse_large(path, width, height, limits)
        allowed = min(limits.max_frames, limits.max_clip_pixels // (width * height))
        count = 1
        while source.grab():
            count += 1
            if count > limits.max_frames:
                raise _over(
                    path, "frames", "the number of frames", count, limits.max_frames, "cut the clip", "at least "
                )
            if count > allowed:
                meaning = "the number of pixels of all frames together"
                pixels = count * width * height
                raise _over(path, "clip_pixels", meaning, pixels, limits.max_clip_pixels, "cut the clip", "at least ")
    return ClipInfo(frames=count, fps=fps if np.isfinite(fps) and fps > 0 else 0.0, width=width, height=height)


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


def read_frames(path: Path, indices: NDArray[np.int64], size: int) -> tuple[Frames, Thumbnails]:
    """Decode a clip, keep the given frames and resize them to a square, as the published method does.

    Args:
        path: the clip.
        indices: (length,) frame numbers, strictly increasing.
        size: pixels a side.

    Returns:
        (length, size, size, 3) uint8 RGB; and a thumbnail of every frame up to the last one asked for.

    Raises:
        Unusable: the file cannot be read or ends before the last frame asked for.
    """
    wanted = {int(index): row for row, index in enumerate(indices)}
    count = int(indices[-1]) + 1
    frames = np.empty((len(indices), size, size, 3), np.uint8)
    thumbnails = np.empty((count, THUMBNAIL, THUMBNAIL), np.uint8)
    with _opened(path) as source:
        for position in range(count):
            ok, frame = source.read()
            if not ok:
                found = f"an end after {position} frames"
                raise _unusable(path, found, f"a frame number {count}", "fetch it again")
            thumbnails[position] = thumbnail(frame)
            if position in wanted:
                resized = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
                cv2.cvtColor(resized, cv2.COLOR_BGR2RGB, dst=frames[wanted[position]])
    return frames, thumbnails


def thumbnail(frame: Frames) -> Thumbnails:
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
        info: what `inspect` said, where it has been asked before.
        spread: evenly spaced frames that are wanted beside those of the lengths.

    Raises:
        Unusable: the clip cannot be decoded or passes a limit that `inspect` looks at.
        ValueError: it has fewer frames than the longest sequence.
    """
    info = info or inspect(path, limits)
    indices = union_indices(info.frames, lengths)
    even = sample_indices(info.frames, min(spread, info.frames))
    read = np.union1d(indices, even)
    frames, thumbnails = read_frames(path, read, size)
    # The usual length is as many frames as are spread: nothing is copied then.
    kept, beside = (
        frames if len(rows) == len(read) else frames[np.searchsorted(read, rows)] for rows in (indices, even)
    )
    return Sample(info, indices, kept, thumbnails, beside)


def undecodable(path: Path, what: str) -> Unusable:
    """The refusal of a clip whose decoder went wrong: `what` it did, as in "died (signal 11)"."""
    return _unusable(path, f"a decoder that {what}", "a clip that decodes", "convert it, for example to .mp4")
