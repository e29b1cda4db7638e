"""Reading a clip for a classifier: decoded and held to the limits, in processes of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from lus import checks, clip, pool
from lus.checks import Examined
from lus.errors import Unusable
from lus.metadata import ModelMetadata
from lus.params import Limits


def read_clip(path: Path, length: int, size: int, limits: Limits) -> Examined | Unusable:
    """Decode a clip and hold it to the limits; the refusal of one that is not usable comes back as a value."""
    try:
        examined = checks.examine(path, [length], size, limits)
    except Unusable as error:
        return error
    return Unusable(path.name, examined.findings) if examined.findings else examined


class Reader:
    """Decodes and checks clips in processes of its own: one that dies or hangs takes down one clip's answer alone.

    It may be asked by several threads at once; each process reads one clip at a time.
    """

    def __init__(self, metadata: ModelMetadata, workers: int = 1) -> None:
        self._metadata, self._workers = metadata, pool.Workers(workers)

    def read(self, path: Path) -> Examined:
        """Decode a clip and hold it to the limits.

        Raises:
            Unusable: the clip cannot be decoded or breaks a limit.
        """
        found = self._workers.do(self._read_clip(), path, self._guard())
        if isinstance(found, Unusable):
            raise found
        return found

    def ahead(self, paths: Iterable[Path]) -> Iterator[Examined | Unusable]:
        """Read clips while the caller is busy with earlier ones: each in its turn, or its refusal."""
        return self._workers.ahead(self._read_clip(), paths, self._guard())

    def _read_clip(self) -> Callable[[Path], Examined | Unusable]:
        return partial(read_clip, length=self._metadata.length, size=self._metadata.size, limits=self._metadata.limits)

    def _guard(self) -> pool.Guard[Path, Examined | Unusable]:
        return pool.Guard(self._metadata.limits.max_seconds, clip.undecodable)

    def warm_up(self) -> None:
        """Start the processes."""
        self._workers.warm_up()

    def close(self) -> None:
        """End the processes."""
        self._workers.close()
