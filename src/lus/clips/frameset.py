"""Sampled frames on disk: one file a clip, for every length at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lus.clips import (
    cohort,
    decode,
    dicom,
    dicom_header,
    dicom_layout,
    dicom_pixels,
    dicom_start,
    lead_in,
    sampling,
    source,
    video,
)
from lus.common.arrays import Frames, IntArray
from lus.common.errors import BadInput
from lus.common.params import Limits

CLIPS_FILE, INFO_FILE = "clips.csv", "info.json"
DECODING = (
    decode,
    lead_in,
    sampling,
    source,
    video,
    dicom_start,
    dicom_layout,
    dicom_pixels,
    dicom,
    dicom_header,
)
"""The modules that make pixels of a file."""


@dataclass(frozen=True)
class FrameSet:
    """The frames of a cohort's usable clips.

    Attributes:
        folder: where they are.
        clips: the cohort's usable rows.
        lengths: the lengths that the frames were sampled for.
        size: pixels a side.
        limits: that every clip was held to.
    """

    folder: Path
    clips: pd.DataFrame
    lengths: tuple[int, ...]
    size: int
    limits: Limits

    def frames(self, clip_id: str, count: int, length: int) -> Frames:
        """A clip's frames of one length: (length, size, size, 3) uint8 RGB.

        Args:
            clip_id: of the clip.
            count: decoded frames of the clip.
            length: one of `lengths`.

        Raises:
            BadInput: it is not.
        """
        return np.ascontiguousarray(self._stored(clip_id)[self._rows(count, length)])

    def frame(self, clip_id: str, count: int, length: int, place: int) -> Frames:
        """One of those frames, without reading the others: (size, size, 3) uint8 RGB."""
        return np.ascontiguousarray(self._stored(clip_id)[self._rows(count, length)[place]])

    def _stored(self, clip_id: str) -> Frames:
        stored: Frames = np.load(frames_file(self.folder, clip_id), mmap_mode="r", allow_pickle=False)
        return stored

    def _rows(self, count: int, length: int) -> IntArray:
        if length not in self.lengths:  # its frames are not all there, and others would be taken for them
            raise BadInput(
                f"{self.folder}: has frames for sequences of {', '.join(map(str, self.lengths))}, not of {length}; add "
                f"{length} to frames.lengths in params.yaml, then `dvc repro frames`"
            )
        return np.searchsorted(sampling.union_indices(count, self.lengths), sampling.sample_indices(count, length))


def frames_file(folder: Path, clip_id: str) -> Path:
    """Where a clip's frames are: (n, size, size, 3) uint8 RGB, the union of all lengths."""
    return folder / "frames" / f"{clip_id}.npy"


def write(frames: FrameSet) -> None:
    """Write all but the frames' own files."""
    frames.clips.to_csv(frames.folder / CLIPS_FILE, index=False)
    info = {"lengths": list(frames.lengths), "size": frames.size, "limits": frames.limits.model_dump()}
    (frames.folder / INFO_FILE).write_text(json.dumps(info, indent=2) + "\n")


def read(folder: Path) -> FrameSet:
    """Read what `write` wrote.

    Raises:
        BadInput: a file is missing.
    """
    missing = [name for name in (CLIPS_FILE, INFO_FILE) if not (folder / name).is_file()]
    if missing:
        raise BadInput(f"{folder}: has no {', '.join(missing)}; `dvc repro frames` makes it")
    info = json.loads((folder / INFO_FILE).read_text())
    clips = cohort.read(folder / CLIPS_FILE)
    return FrameSet(folder, clips, tuple(info["lengths"]), info["size"], Limits(**info["limits"]))
