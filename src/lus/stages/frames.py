"""frames: the cohort table and its clips -> sampled frames, their measures, and the checks' results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.checks import expectations, leaks, measures
from lus.checks import rules as checks
from lus.clips import cohort, decode, frameset
from lus.clips.decode import ClipInfo
from lus.clips.jobs import ClipJob
from lus.common import workers
from lus.common.errors import BadInput, Finding, Unusable
from lus.common.params import Params

STATISTICS_FILE = "statistics.csv"
QUARANTINE_COLUMNS = ("path", "label", "check", "found", "limit", "reason")
OURS = {
    *("frames", frameset.CLIPS_FILE, frameset.INFO_FILE, STATISTICS_FILE),
    *("quarantine.csv", "reported.csv", "near-duplicates.csv", "shortcuts.csv", "checks.json"),
    *("index.html", "static", "expectations", "validations"),
}
"""What an earlier run of this stage may have left."""
Row = dict[Hashable, object]


@dataclass(frozen=True)
class Sampled:
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


def sample_one(row: Row, out: Path, params: Params) -> Sampled:
    """Sample one clip of the cohort table into its file.

    Raises:
        BadInput: the file's content is not that which the table lists.
        Unusable: it cannot be decoded, or is too short or too large to be looked at.
    """
    path, section = _path(row), params.frames
    _refuse_changed(path, str(row["clip_id"]))
    examined = checks.examine(path, section.lengths, section.side, params.limits, _info(row), leaks.SPREAD)
    if not examined.findings:
        np.save(frameset.file_of(out, str(row["clip_id"])), examined.sample.frames)
    frames = pd.DataFrame({"path": str(row["path"]), "frame": examined.sample.indices} | examined.frames)
    fingerprint = leaks.fingerprint(examined.sample.spread)
    return Sampled(examined.values, frames, examined.findings, examined.reported, fingerprint)


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


def _refused(row: Row, error: Unusable) -> Sampled:
    return Sampled(measures.of_shape(_info(row)), pd.DataFrame(), error.findings)


def _path(row: Row) -> Path:
    return Path(str(row["path"]))


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
    clips = cohort.read(table)
    for folder, other in ((out, report), (report, out)):
        _refuse_foreign(folder, other)
    for folder in (out, report):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    (out / "frames").mkdir()
    work = partial(sample_one, out=out, params=params)
    job = ClipJob(work, _refused, _path, params.limits.max_seconds)
    sampled = workers.run(job, clips.to_dict("records"), progress, guard=job.limits)
    kept = np.array([not one.findings for one in sampled])
    usable = clips[kept].reset_index(drop=True)
    frames = pd.concat([one.frames for one in sampled], ignore_index=True)
    frames.to_csv(out / STATISTICS_FILE, index=False, float_format="%.6f")
    left_out = cohort.read_left_out(table)
    quarantine, reported = _write_findings(clips, sampled, left_out, report)
    _validate(clips, sampled, frames, params, report)
    _refuse_too_few(clips, usable, quarantine, params.frames.max_quarantined, report)
    lines = [f"{len(usable)} usable clips in {out}"]
    if len(quarantine):
        lines.append(f"{quarantine['path'].nunique()} quarantined, see {report / 'quarantine.csv'}")
    noted = reported.loc[reported["path"].isin(usable["path"]), "path"].nunique()
    if noted:
        lines.append(f"{noted} usable with a remark, see {report / 'reported.csv'}")
    fingerprints = [one.fingerprint for one in sampled if one.fingerprint is not None and not one.findings]
    pairs = leaks.alike(pd.concat([clips, left_out[left_out["clip_id"] != ""]]), usable, fingerprints)
    usable = usable.assign(group=leaks.joined(usable, pairs))
    frameset.write(frameset.FrameSet(out, usable, params.frames.lengths, params.frames.side, params.limits))
    return "\n".join(lines + _leaks(usable, pairs, report))


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


def _write_findings(
    clips: pd.DataFrame, sampled: Sequence[Sampled], left_out: pd.DataFrame, report: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write and return what was refused, the cohort stage's refusals among it, and what is reported."""
    refused: list[tuple[str, ...]] = []
    noted: list[tuple[str, ...]] = []
    for path, label, one in zip(clips["path"], clips["label"], sampled, strict=True):
        for rows, findings in ((refused, one.findings), (noted, one.reported)):
            rows += [(path, label, f.check, f.found, f.expected, f"{f}; {f.advice}") for f in findings]
    earlier = left_out.loc[left_out["kind"] == cohort.UNUSABLE, list(QUARANTINE_COLUMNS)]
    quarantine = pd.concat([earlier, pd.DataFrame(refused, columns=list(QUARANTINE_COLUMNS))]).sort_values("path")
    reported = pd.DataFrame(noted, columns=list(QUARANTINE_COLUMNS))
    quarantine.to_csv(report / "quarantine.csv", index=False)
    reported.to_csv(report / "reported.csv", index=False)
    return quarantine, reported


def _validate(
    clips: pd.DataFrame, sampled: Sequence[Sampled], frames: pd.DataFrame, params: Params, report: Path
) -> None:
    rules = checks.rules(params.limits, max(params.frames.lengths))
    columns = ["path", *(rule.column for rule in rules)]
    rows = [{"path": path, **one.values} for path, one in zip(clips["path"], sampled, strict=True)]
    values = pd.DataFrame(rows).reindex(columns=columns)
    values.to_csv(report / "clips.csv", index=False, float_format="%.6g")
    results = expectations.validate(clips, values, frames, rules, params.cohort, params.limits, report)
    (report / "checks.json").write_text(json.dumps(results, indent=2) + "\n")
    failed = [
        f"{one['arguments'].get('column')} ({one['expectation']})"
        for one in results["cohort"]["expectations"]
        if not one["success"] and one["severity"] == expectations.CRITICAL
    ]
    if failed:
        raise BadInput(
            f"the cohort table breaks {', '.join(failed)}; see {report / 'index.html'}, make it with `lus cohort`"
        )


def _leaks(usable: pd.DataFrame, pairs: pd.DataFrame, report: Path) -> list[str]:
    pairs.to_csv(report / "near-duplicates.csv", index=False, float_format="%.4f")
    shortcuts = leaks.shortcuts(usable)
    shortcuts.to_csv(report / "shortcuts.csv", index=False, float_format="%.4f")
    lines = []
    if len(pairs):
        together = sorted(set(usable.loc[usable["group"] != usable["patient"], "group"]))
        kept = f"; these patients stay on one side of every fold: {', '.join(together)}" if together else ""
        lines.append(f"{len(pairs)} pairs of near-duplicate clips, see {report / 'near-duplicates.csv'}{kept}")
    telling = shortcuts[shortcuts["telling"]]
    lines += [
        f"{row.property} alone guesses the label with a balanced accuracy of {row.strength:.2f} (chance "
        f"{row.chance:.2f}), see {report / 'shortcuts.csv'}"
        for row in telling.itertuples()
    ]
    several = cohort.patients_of_several_labels(usable)
    if several:
        named = "; ".join(f"{patient} ({', '.join(labels)})" for patient, labels in several.items())
        lines.append(f"patients with clips of several labels: {named}")
    return lines


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
