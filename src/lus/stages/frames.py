"""frames: the cohort table and its clips -> sampled frames, their statistics, and the checks' results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from lus import checks, clip, cohort, frameset, pool
from lus.clip import ClipInfo
from lus.errors import BadInput
from lus.params import Frames

STATISTICS_FILE = "statistics.csv"
QUARANTINE_COLUMNS = ("path", "label", "check", "found", "limit")


@dataclass(frozen=True)
class Sampled:
    """What sampling one clip gave: its statistics, or why it could not be read."""

    clips: dict[str, float]
    frames: pd.DataFrame
    refused: str = ""


def sample_one(row: dict[Hashable, object], out: Path, lengths: tuple[int, ...], size: int) -> Sampled:
    """Sample one clip of the cohort table into its file."""
    info = ClipInfo(int(str(row["frames"])), float(str(row["fps"])), int(str(row["width"])), int(str(row["height"])))
    if info.frames < max(lengths):
        # Too short for the longest sequence: the rule on its length says so; its frames are not needed.
        return Sampled(checks.shape_statistics(info), pd.DataFrame())
    try:
        frames = clip.read_frames(Path(str(row["path"])), clip.union_indices(info.frames, lengths), size)
    except BadInput as error:
        return Sampled({}, pd.DataFrame(), str(error))
    np.save(frameset.file_of(out, str(row["clip_id"])), frames)
    statistics = checks.frame_statistics(frames)
    return Sampled(checks.clip_statistics(info, statistics), statistics.assign(clip_id=str(row["clip_id"])))


def run(table: Path, out: Path, report: Path, params: Frames, progress: pool.Progress | None = None) -> str:
    """Sample every clip, check it, and keep the usable ones.

    Args:
        table: the cohort table.
        out: made afresh: a frame set, and `statistics.csv` with a row a frame.
        report: made afresh: `quarantine.csv`, `checks.json`, Data Docs (`index.html`).

    Returns:
        A sentence on what was found.

    Raises:
        BadInput: more clips than allowed are not usable, or a label has none left.
    """
    clips = cohort.read(table)
    for folder in (out, report):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    (out / "frames").mkdir()
    work = partial(sample_one, out=out, lengths=params.lengths, size=params.size)
    sampled = pool.run(work, clips.to_dict("records"), progress)
    rules = checks.rules(params.limits, max(params.lengths))
    quarantine = _quarantine(clips, sampled, rules)
    quarantine.to_csv(report / "quarantine.csv", index=False)
    measured = pd.DataFrame([{"path": path, **one.clips} for path, one in zip(clips["path"], sampled, strict=True)])
    results = checks.validate(clips, measured, rules, report)
    (report / "checks.json").write_text(json.dumps(results, indent=2) + "\n")
    if not results["cohort"]["success"]:
        failed = [one["expectation"] for one in results["cohort"]["expectations"] if not one["success"]]
        raise BadInput(f"{table}: breaks {', '.join(failed)}; see {report / 'index.html'}, make it with `lus cohort`")
    usable = clips[~clips["path"].isin(quarantine["path"])]
    frameset.write(frameset.FrameSet(out, usable, params.lengths, params.size, params.limits))
    pd.concat([one.frames for one in sampled]).to_csv(out / STATISTICS_FILE, index=False, float_format="%.6f")
    _refuse_too_few(clips, usable, quarantine, params.max_quarantined, report)
    sentence = f"{len(usable)} usable clips in {out}"
    lost = len(clips) - len(usable)
    return f"{sentence}; {lost} quarantined, see {report / 'quarantine.csv'}" if lost else sentence


def _quarantine(clips: pd.DataFrame, sampled: Sequence[Sampled], rules: Sequence[checks.Rule]) -> pd.DataFrame:
    rows = []
    for path, label, one in zip(clips["path"], clips["label"], sampled, strict=True):
        if one.refused:
            rows.append((path, label, "decode", one.refused, "every frame decodes"))
        rows.extend((path, label, f.check, f"{f.found:.4g}", f.limit) for f in checks.findings(one.clips, rules))
    return pd.DataFrame(rows, columns=list(QUARANTINE_COLUMNS))


def _refuse_too_few(
    clips: pd.DataFrame, usable: pd.DataFrame, quarantine: pd.DataFrame, allowed: float, report: Path
) -> None:
    gone = sorted(set(clips["label"]) - set(usable["label"]))
    share = 1 - len(usable) / len(clips)
    if not gone and share <= allowed:
        return
    what = f"no usable clip of {', '.join(gone)} is left" if gone else f"{share:.0%} of the clips are not usable"
    checks_broken = ", ".join(f"{name} ({count})" for name, count in quarantine["check"].value_counts().items())
    raise BadInput(
        f"{what}, at most {allowed:.0%} may be lost and no label emptied; broken checks: {checks_broken}; see "
        f"{report / 'quarantine.csv'} and mend the clips or the limits in params.yaml"
    )
