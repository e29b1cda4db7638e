"""A clip that is being decoded, whatever decodes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lus.clips.video import Notes
from lus.common.arrays import Frames


@dataclass(frozen=True)
class Source:
    """A clip that is being decoded.

    Attributes:
        width, height: pixels of a frame as the file declares them, before anything is cut off: what decoding costs.
        fps: frames a second as the file declares them.
        read: decodes the next frame: whether there was one, and its pixels, (height, width, 3) uint8 BGR.
        grab: goes past the next frame: whether there was one.
        last: the pixels of the frame that was grabbed last.
        notes: what has been found so far; nothing of pictures that are no video.
    """

    width: int
    height: int
    fps: float
    read: Callable[[], tuple[bool, Frames]]
    grab: Callable[[], bool]
    last: Callable[[], Frames]
    notes: Notes = field(default_factory=Notes)
