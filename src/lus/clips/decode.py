"""One clip: a video or DICOM file -> its frames.

Containers declare frame counts that are wrong often enough to matter, so a clip is decoded to its end and
its frames are counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lus.clips import contents, dicom, dicom_start, video
from lus.clips.contents import Content
from lus.clips.lead_in import Trimmed, count_blank_end, is_blank
from lus.clips.source import Source
from lus.common import hashing
from lus.common.arrays import Frames
from lus.common.errors import Finding, Unusable
from lus.common.params import Limits


@dataclass(frozen=True)
class ClipInfo:
    """What decoding a clip to its end shows.

    Attributes:
        frames: decoded frames, without blank ones at the beginning and the end.
        fps: frames a second as the container declares them; 0 where it declares none.
        width, height: pixels.
    """

    frames: int
    fps: float
    width: int
    height: int


def clip_id(path: Path) -> str:
    """SHA-256 of the file's content, 64 hexadecimal digits: the identity of a clip, whatever its name."""
    return hashing.sha256(path)


def printable_path(path: Path | str) -> str:
    """A path as text that can be written anywhere: bytes that are no UTF-8 are spelt out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def unreadable(path: Path, found: str, expected: str, advice: str) -> Unusable:
    """The refusal of a clip that cannot be decoded: what was `found` in its file, and what to do."""
    return Unusable(printable_path(path.name), [Finding("decode", found, expected, advice)])


def _over_limit(path: Path, check: str, meaning: str, found: int, limit: int, advice: str, more: str = "") -> Unusable:
    return Unusable(printable_path(path.name), [Finding(check, f"{more}{found}", f"at most {limit}", advice, meaning)])


def _refuse_unreadable(path: Path) -> bytes:
    """The first bytes of a file that can be read."""
    if printable_path(path) != str(path):
        # It could not be told, in tables and answers, which clip it is.
        raise unreadable(path, "a name that is not UTF-8", "a name in UTF-8", "rename it")
    try:
        if not path.is_file() and path.stat():
            raise unreadable(path, "not a file", "a video file", "name a file")
        with path.open("rb") as file:
            head = file.read(contents.HEAD)
    except PermissionError:
        raise unreadable(
            path, "a file that this user may not read", "a readable video file", "change its permissions"
        ) from None
    except (OSError, ValueError) as error:
        # A dangling link is there and leads nowhere. A name with a zero byte is a ValueError.
        reason = error.strerror if isinstance(error, OSError) else error
        dangling = os.path.islink(path)  # noqa: PTH114 - Path.is_symlink raises for the names that come here
        what = "a link to a file that is not there" if dangling else f"nothing to open ({reason})"
        raise unreadable(path, what, "a video file", "put the file where its name says") from None
    if not head:
        raise unreadable(path, "an empty file", "a video file", "fetch it again")
    return head


@contextmanager
def open_clip(path: Path) -> Iterator[Source]:
    """A clip while it is decoded, from its first frame that shows something.

    Raises:
        Unusable: the file cannot be read.
    """
    with _open_whole(path) as whole:
        trimmed = Trimmed(whole)
        yield replace(whole, read=trimmed.read, grab=trimmed.grab, last=trimmed.last)


@contextmanager
def _open_whole(path: Path) -> Iterator[Source]:
    head = _refuse_unreadable(path)
    if not dicom_start.is_dicom(head):
        # An absolute path: FFmpeg would take a name with a colon in it for a protocol.
        with _open_video(path, os.fspath(path.absolute()), video.FORMATS, contents.describe(head)) as source:
            yield source
        return
    with dicom.open_recording(path) as recording:
        if not recording.is_video:
            size = recording.width, recording.height
            yield Source(*size, recording.fps, recording.read, recording.grab, recording.last)
            return
        formats = f"{video.FORMATS},{video.BARE_FORMATS}"
        with recording.unwrapped() as stream, _open_video(path, stream, formats, contents.UNKNOWN) as source:

            def read() -> tuple[bool, Frames]:
                ok, frame = source.read()
                return ok, recording.cut(frame) if ok else frame

            yield replace(source, fps=recording.fps or source.fps, read=read, last=lambda: recording.cut(source.last()))


@contextmanager
def _open_video(path: Path, address: str, formats: str, content: Content) -> Iterator[Source]:
    try:
        with video.open_video(address, formats) as opened:
            size = opened.width, opened.height
            yield Source(*size, opened.fps, opened.read, opened.grab, opened.last, opened.notes)
    except video.CannotDecode as error:
        found = f"nothing that can be decoded ({error})"
        if not content.is_read and content not in (contents.TEXT, contents.UNKNOWN):
            found = f"{content.name}, which is not read"
        raise unreadable(path, found, "a video file", "convert it, for example to .mp4") from None


def _refuse_large(path: Path, width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        meaning = f"the number of pixels of a frame ({width} x {height})"
        raise _over_limit(path, "pixels", meaning, width * height, limits.max_pixels, "make its frames smaller")


def inspect(path: Path, limits: Limits) -> ClipInfo:
    """Decode a clip to its end and count.

    Args:
        path: the clip.
        limits: decoding stops at the first one that is passed, so that a clip out of all bounds costs little
            time and no memory.

    Raises:
        Unusable: the file cannot be read, holds no frame, or passes a limit.
    """
    with open_clip(path) as source:
        # What is declared comes first: a decoder spends the memory of a frame before it shows the frame.
        _refuse_large(path, source.width, source.height, limits)
        fps = source.fps
        ok, first = source.read()
        if not ok and source.notes.blank:
            found = f"{source.notes.blank} blank frames and no other"
            dark = Finding("brightness", found, "a frame that shows something", "take a clip with more gain")
            raise Unusable(printable_path(path.name), [dark])
        if not ok:
            why = f" ({source.notes.reason})" if source.notes.reason else ""
            found = f"no frame that can be decoded{why}"
            raise unreadable(path, found, "a video file", "fetch or convert it again")
        height, width = first.shape[:2]
        _refuse_large(path, width, height, limits)
        allowed = min(limits.max_frames, limits.max_clip_pixels // (width * height))
        count = 1
        while source.grab():
            count += 1
            if count > limits.max_frames:
                raise _over_limit(
                    path, "frames", "the number of frames", count, limits.max_frames, "cut the clip", "at least "
                )
            if count > allowed:
                meaning = "the number of pixels of all frames together"
                pixels = count * width * height
                raise _over_limit(
                    path, "clip_pixels", meaning, pixels, limits.max_clip_pixels, "cut the clip", "at least "
                )
        ends_blank = count > 1 and is_blank(source.last())
    if ends_blank:
        with open_clip(path) as again:
            count -= count_blank_end(again)
    return ClipInfo(frames=count, fps=fps if np.isfinite(fps) and fps > 0 else 0.0, width=width, height=height)


def decoder_failure(path: Path, what: str) -> Unusable:
    """The refusal of a clip whose decoder went wrong: `what` it did, as in "died (signal 11)"."""
    return unreadable(path, f"a decoder that {what}", "a clip that decodes", "convert it, for example to .mp4")
