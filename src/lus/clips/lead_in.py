"""Blank frames at the beginning and at the end of a clip, which hand-held devices write: they are no part of it.

One blank frame alone is left: it breaks no rule, and clips that begin so keep the frames that others count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2

from lus.clips.source import Source
from lus.common.arrays import Frames

DARK, PLAIN = 0.02 * 255, 0.03 * 255
"""A frame is blank whose mean grey level and whose standard deviation are both below these."""
FEWEST = 2
"""Blank frames in a row that are trimmed."""
MOST = 1000
"""Blank frames that are trimmed at the beginning at most: a clip of nothing else is not read to its end for them."""
EVERY = 4
"""Of the rows and columns of a frame, one in so many is looked at."""


def is_blank(frame: Frames) -> bool:
    """Whether a frame (height, width, 3) shows nothing."""
    mean, spread = cv2.meanStdDev(frame[::EVERY, ::EVERY].max(axis=2))
    return float(mean[0, 0]) < DARK and float(spread[0, 0]) < PLAIN


@dataclass
class Trimmed:
    """Reads a clip from its first frame that is not blank; blank ones before it are counted in the source's notes."""

    source: Source
    _started: bool = False
    _waiting: list[Frames] = field(default_factory=list)
    _passed: Frames | None = None

    def read(self) -> tuple[bool, Frames]:
        """As `Source.read`."""
        self._start()
        return (True, self._waiting.pop(0)) if self._waiting else self.source.read()

    def grab(self) -> bool:
        """As `Source.grab`."""
        self._start()
        if self._waiting:
            self._passed = self._waiting.pop(0)
            return True
        if not self.source.grab():
            return False
        self._passed = None
        return True

    def last(self) -> Frames:
        """As `Source.last`."""
        return self.source.last() if self._passed is None else self._passed

    def _start(self) -> None:
        if self._started:
            return
        self._started, blank = True, 0
        while (got := self.source.read())[0]:
            if not is_blank(got[1]) or blank == MOST:
                self._waiting = [*(self._waiting if blank < FEWEST else []), got[1]]
                break
            self._waiting = self._waiting or [got[1]]
            blank += 1
        else:
            self._waiting = self._waiting if blank < FEWEST else []
        self.source.notes.blank += blank if blank >= FEWEST else 0


def count_blank_end(source: Source) -> int:
    """The blank frames at the end of a clip that are trimmed; reads it to its end."""
    run = 0
    while (got := source.read())[0]:
        run = run + 1 if is_blank(got[1]) else 0
    return run if run >= FEWEST else 0
