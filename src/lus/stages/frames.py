"""frames: the cohort table and its clips -> sampled frames, their measures, and the checks' results."""

from __future__ import annotations

import shutil
from pathlib import Path

from lus.checks import cohort_frames, cohort_report
from lus.clips import cohort, frameset
from lus.common import workers
from lus.common.errors import BadInput
from lus.common.params import Params

STATISTICS_FILE = "statistics.csv"
OURS = {"frames", frameset.CLIPS_FILE, frameset.INFO_FILE, STATISTICS_FILE} | cohort_report.FILES
"""What an earlier run of this stage may have left."""


def run(table: Path, out: Path, report: Path, params: Params, progress: workers.Progress | None = None) -> str:
    """Sample every clip, check it, and keep the usable ones.

    Args:
        table: the cohort table.
        out: made afresh: a frame set, and `statistics.csv` with a row a frame.
        report: made afresh: `quarantine.csv` and `reported.csv` (path, label, check, found, limit, reason),
            `clips.csv` (a row a clip), `near-duplicates.csv`, `shortcuts.csv`, `checks.json`, Data Docs
            (`index.html`).
        params: the sections `frames`, `limits` and `cohort` are read.
        progress: called after each clip.

    Returns:
        What was found, a line each.

    Raises:
        BadInput: the cohort breaks a rule, a clip has changed since it was listed, more clips than allowed are not
            usable, or a label has none left.
    """
    clips, left_out = cohort.read(table), cohort.read_left_out(table)
    _make_folders(out, report)
    sampled = cohort_frames.sample_cohort(clips, out, params, progress)
    sampled.frames.to_csv(out / STATISTICS_FILE, index=False, float_format="%.6f")
    usable, remarks = cohort_report.write_report(sampled, left_out, params, report)
    frameset.write(frameset.FrameSet(out, usable, params.frames.lengths, params.frames.side, params.limits))
    return "\n".join([f"{len(usable)} usable clips in {out}", *remarks])


def _make_folders(out: Path, report: Path) -> None:
    for folder, other in ((out, report), (report, out)):
        _refuse_foreign(folder, other)
    for folder in (out, report):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    (out / "frames").mkdir()


def _refuse_foreign(folder: Path, other: Path) -> None:
    """Refuse a folder that holds what no earlier run of this stage has made: it would be lost."""
    if folder.resolve() == other.resolve() or folder.resolve() in other.resolve().parents:
        raise BadInput(f"{folder}: is named for both results, or one within the other; name two folders")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is a file, a folder to make is expected; name another place")
    strange = sorted(path.name for path in folder.iterdir() if path.name not in OURS) if folder.is_dir() else []
    if strange:
        raise BadInput(
            f"{folder}: holds {strange[0]!r}, which is no result of this stage and would be lost; name a new folder"
        )
