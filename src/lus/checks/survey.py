"""`lus check`: the pipeline's checks on any clips, without keeping anything."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.checks import near_duplicates, rules, shortcuts
from lus.clips import cohort, contents, decode, formats, layouts
from lus.clips.decode import ClipInfo
from lus.clips.jobs import ClipJob
from lus.clips.layouts import ListedClip
from lus.common import workers
from lus.common.errors import BadInput, Finding, Unusable
from lus.common.params import Params

NO_COHORT = (
    "the folder does not say which labels its clips have: `lus classify` can answer them; to train on them put each "
    "into a folder that is named for its label"
)
"""Of a folder without labels, or with one alone."""


@dataclass(frozen=True)
class CheckedClip:
    """What the checks say of one clip.

    Attributes:
        row: of the cohort table, or why the clip has none (`cohort.measure`).
        info: what the clip is; None where it was not decoded.
        findings: why it is not usable; none where it is.
        reported: what should be known of it all the same.
        values: a number for each name (`measures.measure_clip`).
        fingerprint: of its frames; None where it was not decoded.
    """

    row: dict[str, object]
    info: ClipInfo | None = None
    findings: Sequence[Finding] = ()
    reported: Sequence[Finding] = ()
    values: dict[str, float] = field(default_factory=dict)
    fingerprint: NDArray[np.uint8] | None = None

    @property
    def usable(self) -> bool:
        """Whether the pipeline would learn from it and the service would answer it."""
        return not self.findings and "reason" not in self.row

    @property
    def reason(self) -> str:
        """Why it is not usable, in a sentence; empty where it is."""
        if self.findings:
            return Unusable("", self.findings).reason
        return str(self.row.get("reason", ""))


@dataclass(frozen=True)
class Survey:
    """What the checks say of clips, and what can be said of them together.

    Attributes:
        clips: one by one.
        remarks: on the clips as a cohort, or on their folder that is none, a sentence each.
        near_duplicates: pairs of clips (`near_duplicates.find_duplicates`).
        shortcuts: properties of files that give labels away (`shortcuts.find_shortcuts`).
        not_clips: the other files of the folders, each with what it holds and why it was not taken for a clip.
    """

    clips: list[CheckedClip]
    remarks: list[str] = field(default_factory=list)
    near_duplicates: pd.DataFrame = field(default_factory=pd.DataFrame)
    shortcuts: pd.DataFrame = field(default_factory=pd.DataFrame)
    not_clips: dict[str, str] = field(default_factory=dict)

    @property
    def refused(self) -> list[CheckedClip]:
        """The clips that should be usable and are not; those left out by a stated rule are not among them."""
        return [one for one in self.clips if not one.usable and one.row.get("kind") != cohort.RULE]


def check_clip(listed: ListedClip, params: Params) -> CheckedClip:
    """Run the checks on one clip.

    Raises:
        Unusable: it cannot be decoded.
    """
    row = cohort.measure(listed, params.limits)
    if "reason" in row:
        return CheckedClip(row)
    info = ClipInfo(*(row[name] for name in ("frames", "fps", "width", "height")))  # type: ignore[arg-type]
    try:
        section, limits = params.frames, params.limits
        examined = rules.examine_clip(listed.path, section.lengths, section.side, limits, info, near_duplicates.SPREAD)
    except Unusable as error:
        return CheckedClip(row, info, error.findings)
    fingerprint = near_duplicates.hash_frames(examined.sample.spread)
    return CheckedClip(row, info, examined.findings, examined.reported, examined.values, fingerprint)


def _refused(listed: ListedClip, error: Unusable) -> CheckedClip:
    return CheckedClip(cohort.describe_refused(listed, error), findings=error.findings)


def survey_clips(
    paths: Sequence[Path], params: Params, progress: workers.Progress | None = None, labelled: bool = False
) -> Survey:
    """Run the checks on files and folders.

    Args:
        paths: video files, folders with videos, or one folder in a cohort's layout: then the cohort's own
            rules and the search for leaks are part of it.
        params: the sections `frames`, `limits` and `cohort` are read.
        progress: called after each clip.
        labelled: whether the one folder has labels, although its clips may all have the same.

    Raises:
        BadInput: there is nothing to check, or a cohort's table is not usable.
    """
    folder = len(paths) == 1 and _is_folder(paths[0])
    as_cohort = labelled or (folder and _has_labels(paths[0]))
    if as_cohort:
        listed = [cohort.leave_out(one, params.cohort) for one in layouts.list_clips(paths[0], params.cohort.labels)]
    else:
        listed = [ListedClip(file, "", "") for file in find_clips(paths)]
    job = ClipJob(partial(check_clip, params=params), _refused, attrgetter("path"), params.limits.max_seconds)
    checked = workers.run_jobs(job, listed, progress, limits=job.limits)
    cohort.mark_repeats([one.row for one in checked])
    others = find_others(paths, {one.path for one in listed})
    if as_cohort:
        return replace(_together(checked, params), not_clips=others)
    remarks = [NO_COHORT] if folder and not all(one.findings for one in checked) else []
    return Survey(checked, remarks, not_clips=others)


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises where a folder above may not be read


def _has_labels(folder: Path) -> bool:
    if any((folder / name).is_file() for name in layouts.TABLES):
        return True
    listed = layouts.list_folders(folder)
    videos = [one for one in listed if formats.is_clip(one.path)]
    # One clip outside, or a single folder of clips, and the folders' names say nothing of labels.
    return all(one.label for one in videos) and len({one.label for one in videos}) > 1


def find_clips(paths: Iterable[Path]) -> list[Path]:
    """The clips that are named, and those in the folders that are: each once, in the order of the paths.

    Raises:
        BadInput: a folder holds none.
    """
    return list(dict.fromkeys(file for path in paths for file in _clips(path)))


def find_patients(paths: Iterable[Path]) -> dict[Path, tuple[Path, str]]:
    """Who is shown by the clips of those folders whose layout names patients: clip -> its folder and the patient there.

    Args:
        paths: clips and folders of clips, as for `find_clips`; clips by themselves are of unknown patients.

    Raises:
        BadInput: a folder's table cannot be read; its line is named.
    """
    cohorts = [path for path in paths if _is_folder(path) and _has_labels(path)]
    listed = [(folder, one) for folder in cohorts for one in layouts.list_clips(folder)]
    return {one.path: (folder, one.patient) for folder, one in listed if one.patient and not one.refused}


def _clips(path: Path) -> list[Path]:
    if not _is_folder(path):
        return [path]
    found = [file for file in layouts.list_files(path) if formats.is_clip(file)]
    if not found:
        endings = ", ".join(sorted(formats.SUFFIXES))
        others = Counter(contents.describe_file(file).name for file in layouts.list_files(path))
        there = f" ({', '.join(f'{name}: {count}' for name, count in others.most_common(3))})" if others else ""
        raise BadInput(
            f"{path}: no clip was found{there}, DICOM or a name that ends in {endings} is expected; name another"
        )
    return sorted(found)


def find_others(paths: Iterable[Path], listed: Collection[Path]) -> dict[str, str]:
    """The files of folders that are not taken for clips: path -> what each holds, by its content, and why it is not.

    Args:
        paths: files and folders; what is named itself is taken for a clip.
        listed: what is taken for clips.
    """
    files = sorted({file for path in paths if _is_folder(path) for file in layouts.list_files(path)} - set(listed))
    return {decode.printable_path(file): _why_no_clip(file) for file in files if file.name not in layouts.TABLES}


def _why_no_clip(file: Path) -> str:
    content = contents.describe_file(file)
    if formats.is_clip(file):
        return f"{content.name}; the folder's table does not list it"
    if not content.is_read or content == contents.DICOM:
        return content.name
    return f"{content.name}; its name has no ending of a video: rename it"


def _together(checked: list[CheckedClip], params: Params) -> Survey:
    used = [one for one in checked if one.usable and one.fingerprint is not None]
    table = pd.DataFrame([one.row for one in used], columns=list(cohort.COLUMNS))
    few = cohort.explain_few_patients(table, params.cohort.min_patients)
    remarks = [few] if few else []
    remarks += [
        f"patient {patient} has clips of several labels: {', '.join(labels)}"
        for patient, labels in cohort.patients_of_several_labels(table).items()
    ]
    if table["label"].nunique() < 2:
        return Survey(checked, [*remarks, "clips of two labels or more are expected"])
    fingerprints = [one.fingerprint for one in used if one.fingerprint is not None]
    files = pd.DataFrame([one.row for one in checked if "clip_id" in one.row])
    return Survey(
        checked, remarks, near_duplicates.find_duplicates(files, table, fingerprints), shortcuts.find_shortcuts(table)
    )
