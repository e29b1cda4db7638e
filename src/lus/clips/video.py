"""A video file -> its frames, by FFmpeg (in PyAV): one after the other, and what was found on the way.

What FFmpeg says is heard: what it cannot decode is counted, and its first reason kept; nothing is shown that it did not
write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lus.common.arrays import Frames

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FORMATS = "avi,mov,mp4,m4v,matroska,webm,mpeg,mpegts,mpegvideo,gif,asf"
"""FFmpeg's names of the containers that are read: videos, and no lists of other files."""
BARE_FORMATS = "h264,hevc"
"""Streams without a container, as in DICOM files."""
TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
"""By degrees counter-clockwise."""


class CannotDecode(Exception):
    """FFmpeg cannot open a file; the message is its own reason."""


@dataclass
class Notes:
    """What was found while a video was decoded.

    Attributes:
        interlaced: frames that hold two fields, of which one is shown.
        damaged: packets that could not be decoded, and frames with damaged parts.
        blank: frames at the beginning and the end that show nothing and were trimmed.
        reason: what FFmpeg said of the first of them; empty where it said nothing.
    """

    interlaced: int = 0
    damaged: int = 0
    blank: int = 0
    reason: str = ""


@dataclass
class Video:
    """A video that is being decoded.

    Attributes:
        width, height: pixels of a frame as the file declares them.
        fps: frames a second as the file declares or implies them; 0 where neither.
        notes: what has been found so far.
    """

    width: int
    height: int
    fps: float
    frames: Iterator[VideoFrame]
    notes: Notes = field(default_factory=Notes)

    def __post_init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._last: VideoFrame | None = None

    def read(self) -> tuple[bool, Frames]:
        """Decode the next frame: whether there was one, and its pixels, (height, width, 3) uint8 BGR."""
        from av.error import FFmpegError

        for frame in self.frames:
            try:
                pixels = self._convert(frame)
            except FFmpegError as error:
                note(self.notes, error)
                continue
            return True, pixels
        return False, np.empty((0, 0, 3), np.uint8)

    def grab(self) -> bool:
        """Decode the next frame and do not look at it: whether there was one."""
        frame = next(self.frames, None)
        self._last = frame or self._last
        return frame is not None

    def last(self) -> Frames:
        """The pixels of the frame that was grabbed last; a ValueError where none was."""
        if self._last is None:
            raise ValueError("no frame was grabbed")
        return self._pixels(self._last, "bgr24")

    def _convert(self, frame: VideoFrame) -> Frames:
        """The pixels of a frame, upright and without fields, on black where nothing is drawn."""
        seen_through = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
        pixels = self._pixels(frame, "bgra" if seen_through else "bgr24")
        if seen_through:
            pixels = _draw_on_black(pixels)
        if frame.interlaced_frame:
            self.notes.interlaced += 1
            pixels = interpolate_field(pixels)
        turn = TURNS.get(frame.rotation % 360)
        return pixels if turn is None else np.asarray(cv2.rotate(pixels, turn), np.uint8)

    def _pixels(self, frame: VideoFrame, layout: str) -> Frames:
        from av.video.reformatter import Interpolation

        # OpenCV converts so too: clips decoded with it have the same pixels.
        made = self._reformatter.reformat(frame, format=layout, interpolation=Interpolation.BICUBIC, threads=1)
        return np.asarray(made.to_ndarray(), np.uint8)


def note(notes: Notes, error: Exception) -> None:
    """Count what FFmpeg could not decode."""
    notes.damaged += 1
    notes.reason = notes.reason or explain(error)


def explain(error: Exception) -> str:
    """FFmpeg's reason, without the name of the file."""
    return str(getattr(error, "strerror", "") or "unknown error")


def interpolate_field(frame: Frames) -> Frames:
    """Of an interlaced frame the field in its even rows; each odd row is the mean of its neighbours.

    The fields of a frame were recorded at different times. One of them is shown, so that nothing of another time or of
    another frame is in the picture; the price is half of the vertical resolution.

    Args:
        frame: (height, width, 3) uint8.
    """
    whole = frame.copy()
    even = frame[::2]
    between = cv2.addWeighted(even[:-1], 0.5, even[1:], 0.5, 0) if len(even) > 1 else even[:0]
    whole[1 : 2 * len(between) : 2] = between
    if len(frame) % 2 == 0:
        whole[-1] = frame[-2]
    return whole


def _draw_on_black(pixels: Frames) -> Frames:
    """(height, width, 4) BGRA -> (height, width, 3), where an alpha of 0 all over means that nobody set it."""
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    if alpha.min() == 255 or not alpha.any():
        return np.ascontiguousarray(colours)
    return np.asarray((colours.astype(np.uint16) * alpha + 127) // 255, np.uint8)


@contextmanager
def open_video(address: str, formats: str) -> Iterator[Video]:
    """A video while it is decoded.

    Args:
        address: the path of its file, an absolute one: FFmpeg would take a name with a colon for a protocol.
        formats: FFmpeg's names of the containers that it may have, with commas between them.

    Raises:
        CannotDecode: it cannot be opened, or holds no video.
    """
    import av
    from av.error import FFmpegError

    # One file and nothing that it leads to: neither addresses nor other files.
    options = {"protocol_whitelist": "file", "format_whitelist": formats}
    try:
        container = av.open(address, options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except FFmpegError as error:
        raise CannotDecode(explain(error)) from None
    with container:
        if not container.streams.video:
            raise CannotDecode("no video in it")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise CannotDecode("no decoder for its code")
        # One thread: with more, what is shown in the place of damaged parts depends on which of them is first.
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        notes = Notes()
        yield Video(stream.width, stream.height, _rate(stream), _decode(container, stream, notes), notes)


def _rate(stream: VideoStream) -> float:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else 0.0


def _decode(container: InputContainer, stream: VideoStream, notes: Notes) -> Iterator[VideoFrame]:
    """All frames that can be decoded: a damaged packet is passed over, and the end of a file is that of its frames."""
    from av.error import FFmpegError

    for packet in _packets(container, stream, notes):
        try:
            frames = stream.decode(packet)
        except MemoryError:
            raise
        except FFmpegError as error:
            note(notes, error)
            continue
        for frame in frames:
            notes.damaged += frame.is_corrupt
            yield frame


def _packets(container: InputContainer, stream: VideoStream, notes: Notes) -> Iterator[Packet[VideoStream] | None]:
    """The packets that can be read, and None: after it the decoder hands out what it has kept back."""
    from av.error import FFmpegError

    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except MemoryError:
        raise
    except FFmpegError as error:
        note(notes, error)
    yield None
