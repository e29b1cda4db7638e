"""The clips of a cohort table -> their sampled frames, what was measured on them, and the checks that they break."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.checks import measures, near_duplicates, rules
from lus.clips import decode, frameset
from lus.clips.decode import ClipInfo
from lus.clips.jobs import ClipJob
from lus.common import workers
from lus.common.errors import BadInput, Finding, Unusable
from lus.common.params import Params

Row = dict[Hashable, object]


@dataclass(frozen=True)
class SampledClip:
    """What became of one clip.

    Attributes:
        values: a number for each name.
        frames: a row a frame; none where the clip was not decoded.
        findings: why it is not usable; none where it is.
        reported: what should be known of it all the same.
        fingerprint: of its frames; none where the clip was not decoded.
    """

    values: dict[str, float]
    frames: pd.DataFrame
    findings: Sequence[Finding]
    reported: Sequence[Finding] = ()
    fingerprint: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class SampledCohort:
    """What became of all clips.

    Attributes:
        clips: the cohort table.
        sampled: of each clip, in the order of its rows.
    """

    clips: pd.DataFrame
    sampled: Sequence[SampledClip]

    @property
    def usable(self) -> pd.DataFrame:
        """The rows of the usable clips."""
        return self.clips[[not one.findings for one in self.sampled]].reset_index(drop=True)

    @property
    def fingerprints(self) -> list[NDArray[np.uint8]]:
        """Of the usable clips."""
        return [one.fingerprint for one in self.sampled if one.fingerprint is not None and not one.findings]

    @property
    def frames(self) -> pd.DataFrame:
        """What was measured on the frames, a row each, with columns `path` and `frame`."""
        return pd.concat([one.frames for one in self.sampled], ignore_index=True)

    @property
    def values(self) -> pd.DataFrame:
        """What was measured on the clips, a row each, with its path in a column `path`."""
        return pd.DataFrame(
            [{"path": path, **one.values} for path, one in zip(self.clips["path"], self.sampled, strict=True)]
        )


def sample_cohort(
    clips: pd.DataFrame, out: Path, params: Params, progress: workers.Progress | None = None
) -> SampledCohort:
    """Decode every clip in a process of its own, check it, and keep the frames of the usable ones.

    Args:
        clips: a cohort table.
        out: the folder of a frame set; the frames' own files are written into it.
        params: the sections `frames` and `limits` are read.
        progress: called after each clip.

    Raises:
        BadInput: a clip has changed since it was listed.
    """
    work = partial(sample_clip, out=out, params=params)
    job = ClipJob(work, _refuse_clip, _path, params.limits.max_seconds)
    return SampledCohort(clips, workers.run_jobs(job, clips.to_dict("records"), progress, limits=job.limits))


def sample_clip(row: Row, out: Path, params: Params) -> SampledClip:
    """Sample one clip of the cohort table into its file.

    Raises:
        BadInput: the file's content is not that which the table lists.
        Unusable: it cannot be decoded, or is too short or too large to be looked at.
    """
    path, section = _path(row), params.frames
    _refuse_changed(path, str(row["clip_id"]))
    spread = near_duplicates.SPREAD
    examined = rules.examine_clip(path, section.lengths, section.side, params.limits, _info(row), spread)
    if not examined.findings:
        np.save(frameset.frames_file(out, str(row["clip_id"])), examined.sample.frames)
    frames = pd.DataFrame({"path": str(row["path"]), "frame": examined.sample.indices} | examined.frames)
    fingerprint = near_duplicates.hash_frames(examined.sample.spread)
    return SampledClip(examined.values, frames, examined.findings, examined.reported, fingerprint)


def _refuse_changed(path: Path, listed: str) -> None:
    """Refuse another content than the listed one: what is kept of a clip is kept under its content's hash."""
    try:
        changed = path.is_file() and decode.clip_id(path) != listed
    except OSError:
        return  # decoding says why it cannot be read
    if changed:
        raise BadInput(
            f"{path}: has changed since the cohort was listed, the content listed is expected; run `dvc repro` again"
        )


def _info(row: Row) -> ClipInfo:
    return ClipInfo(int(str(row["frames"])), float(str(row["fps"])), int(str(row["width"])), int(str(row["height"])))


def _refuse_clip(row: Row, error: Unusable) -> SampledClip:
    return SampledClip(measures.measure_shape(_info(row)), pd.DataFrame(), error.findings)


def _path(row: Row) -> Path:
    return Path(str(row["path"]))
