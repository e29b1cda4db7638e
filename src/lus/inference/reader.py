"""Reading a clip for a classifier: decoded and held to the limits, in processes of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from lus.checks import rules
from lus.checks.rules import ExaminedClip
from lus.clips.jobs import ClipJob
from lus.common.errors import Unusable
from lus.common.params import Limits
from lus.common.workers import WorkerPool
from lus.inference.metadata import ModelMetadata


def read_clip(path: Path, length: int, size: int, limits: Limits) -> ExaminedClip:
    """Decode a clip and hold it to the limits.

    Raises:
        Unusable: it cannot be decoded or breaks a limit.
    """
    examined = rules.examine_clip(path, [length], size, limits)
    if examined.findings:
        raise Unusable(path.name, examined.findings)
    return examined


def _return_refusal(_: Path, error: Unusable) -> Unusable:
    return error


class ClipReader:
    """Decodes and checks clips in processes of its own: one that dies or hangs takes down one clip's answer alone.

    It may be asked by several threads at once; each process reads one clip at a time.
    """

    def __init__(self, metadata: ModelMetadata, workers: int = 1) -> None:
        self._metadata, self._workers = metadata, WorkerPool(workers)

    def read(self, path: Path) -> ExaminedClip:
        """Decode a clip and hold it to the limits.

        Raises:
            Unusable: the clip cannot be decoded or breaks a limit.
        """
        job = self._make_job()
        found = self._workers.run_one(job, path, job.limits)
        if isinstance(found, Unusable):
            raise found
        return found

    def read_all(self, paths: Iterable[Path]) -> Iterator[ExaminedClip | Unusable]:
        """Read clips while the caller is busy with earlier ones: each in its turn, or its refusal."""
        job = self._make_job()
        return self._workers.imap(job, paths, job.limits)

    def _make_job(self) -> ClipJob[Path, ExaminedClip | Unusable]:
        metadata = self._metadata
        work: Callable[[Path], ExaminedClip | Unusable] = partial(
            read_clip, length=metadata.length, size=metadata.size, limits=metadata.limits
        )
        return ClipJob(work, _return_refusal, Path, metadata.limits.max_seconds)

    def warm_up(self) -> None:
        """Start the processes."""
        self._workers.warm_up()

    def close(self) -> None:
        """End the processes."""
        self._workers.close()
