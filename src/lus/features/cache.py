"""Features that have been computed once: a file a clip, addressed by all that they depend on."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lus.common.arrays import FloatArray

FOLDER = Path(".lus/features")
"""Beside the pipeline's outputs and not among them: DVC empties those before it runs a stage."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Write a file so that it is there whole or not at all: gives a path beside it, which then takes its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own, since what writes may judge a file by the end of its name.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as folder:
        beside = Path(folder) / path.name
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())  # or a power cut may leave the name with nothing in it
        beside.replace(path)


@dataclass(frozen=True)
class Store:
    """The features of clips for one backbone.

    Attributes:
        folder: of this backbone alone.
        shape: of the features of a clip, (length, dim).
    """

    folder: Path
    shape: tuple[int, int]

    def get(self, clip_id: str) -> FloatArray | None:
        """The features of a clip, (length, dim) float32; None where they have not been computed or are damaged.

        They are read when they are looked at.
        """
        try:
            features = np.load(self._file(clip_id), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        fits = features.shape == self.shape and features.dtype == np.float32
        return features if fits else None

    def put(self, clip_id: str, features: FloatArray) -> None:
        """Keep the features of a clip: the file is there whole or not at all, even when this process is killed."""
        with atomic_file(self._file(clip_id)) as path:
            np.save(path, np.ascontiguousarray(features, np.float32))

    def collect(self, clip_ids: Sequence[str], file: Path) -> None:
        """Write the features of clips into one file, (clips, length, dim) float32.

        One clip is in memory at a time. A mapped file would do the same work, and count as memory until it is closed.

        Raises:
            RuntimeError: those of a clip are not there.
        """
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(clip_ids), *self.shape)}
        with file.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, header)
            for clip_id in clip_ids:
                features = self.get(clip_id)
                if features is None:
                    raise RuntimeError(f"the features of {clip_id} are gone from {self.folder}; run it again")
                out.write(features.astype("<f4", copy=False).data)

    def _file(self, clip_id: str) -> Path:
        return self.folder / f"{clip_id}.npy"


def open_store(key: dict[str, object], shape: tuple[int, int], root: Path = FOLDER) -> Store:
    """The store for a backbone, told apart by everything in `key` and by the shape of a clip's features."""
    digest = hashlib.sha256(json.dumps(key | {"shape": shape}, sort_keys=True).encode()).hexdigest()
    return Store(root / digest[:32], shape)
