"""Clips decoded in processes of their own: one that a check refuses and one whose decoder dies end alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from lus.clips import decode
from lus.common import workers
from lus.common.errors import Unusable
from lus.common.workers import Job, Result


@dataclass(frozen=True)
class ClipJob(Generic[Job, Result]):
    """Work on one clip, for a process of a pool; called with the clip, it gives the clip's result.

    Attributes:
        work: decodes the clip, and raises Unusable where it is not usable.
        refused: called with the clip and why it is not usable; gives the clip's result.
        path_of: the clip's file.
        seconds: that the work may take.
    """

    work: Callable[[Job], Result]
    refused: Callable[[Job, Unusable], Result]
    path_of: Callable[[Job], Path]
    seconds: float

    def __call__(self, one: Job) -> Result:
        """The clip's result; one that is not usable is refused."""
        try:
            return self.work(one)
        except Unusable as error:
            return self.refused(one, error)

    @property
    def limits(self) -> workers.JobLimits[Job, Result]:
        """The limits on the work: a process that dies, hangs or uses up its memory refuses its clip."""
        return workers.JobLimits(self.seconds, self._lost)

    def _lost(self, one: Job, what: str) -> Result:
        return self.refused(one, decode.decoder_failure(self.path_of(one), what))
