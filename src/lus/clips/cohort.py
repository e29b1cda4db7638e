"""The cohort table: a folder of labelled clips -> one row a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path

import pandas as pd

from lus.clips import decode, layouts
from lus.clips.jobs import ClipJob
from lus.clips.layouts import ListedClip
from lus.common.errors import BadInput, Unusable
from lus.common.params import Cohort, Limits
from lus.common.workers import Progress, run_jobs

COLUMNS = (
    "clip_id",
    "path",
    "label",
    "patient",
    "source",
    "probe",
    "licence",
    "frames",
    "fps",
    "width",
    "height",
)
LEFT_OUT_COLUMNS = ("path", "label", "patient", "kind", "check", "found", "limit", "reason", "clip_id")
RULE, UNUSABLE = "rule", "unusable"
FEWEST = 3
"""Patients of a label with which it can be cut at all: one to test on, and two to choose by."""


def leave_out(one: ListedClip, params: Cohort) -> ListedClip:
    """Mark a listed clip that the cohort's rule leaves out."""
    if one.refused:
        return one
    if one.label in params.leave_out_labels:
        return replace(one, refused=f"label {one.label} is in cohort.leave_out_labels")
    if one.probe.lower() in {probe.lower() for probe in params.leave_out_probes}:
        return replace(one, refused=f"probe {one.probe} is in cohort.leave_out_probes")
    return one


def measure(one: ListedClip, limits: Limits) -> dict[str, object]:
    """Open one listed clip: a row of the cohort table, or its path and the rule that leaves it out.

    Raises:
        Unusable: it cannot be decoded.
    """
    row = _identity(one)
    if one.refused:
        return row | {"kind": RULE, "reason": one.refused}
    info = decode.inspect(one.path, limits)
    return row | {
        "clip_id": decode.clip_id(one.path),
        "source": one.source,
        "probe": one.probe,
        "licence": one.licence,
        "frames": info.frames,
        "fps": round(info.fps, 3),
        "width": info.width,
        "height": info.height,
    }


def describe_refused(one: ListedClip, error: Unusable) -> dict[str, object]:
    """What the table of left-out clips says of one that is not usable."""
    first = error.findings[0]
    why: dict[str, object] = {"check": first.check, "found": first.found, "limit": first.expected}
    return _identity(one) | why | {"kind": UNUSABLE, "reason": error.reason, "findings": error.findings}


def _identity(one: ListedClip) -> dict[str, object]:
    return {"path": decode.printable_path(one.path), "label": one.label, "patient": one.patient}


def mark_repeats(rows: Sequence[dict[str, object]]) -> None:
    """Refuse the same content under two names: kept once, or not at all where its labels differ."""
    groups: dict[object, list[dict[str, object]]] = {}
    for row in rows:
        if "reason" not in row:
            groups.setdefault(row["clip_id"], []).append(row)
    for group in groups.values():
        labels = sorted({str(row["label"]) for row in group})
        if len(labels) > 1:
            found = f"the same content under the labels {', '.join(labels)}"
            others = {str(row["path"]): _others(row, group) for row in group}
            for row in group:
                reason = f"{found} ({others[str(row['path'])]}), one label is expected; keep the right one"
                row |= {"kind": UNUSABLE, "check": "content", "found": found, "limit": "one label", "reason": reason}
        else:
            for row in group[1:]:
                row |= {"kind": RULE, "check": "content", "reason": f"same content as {group[0]['path']}"}


def _others(row: dict[str, object], group: Sequence[dict[str, object]]) -> str:
    return ", ".join(Path(str(other["path"])).name for other in group if other is not row)


def patients_of_several_labels(table: pd.DataFrame) -> dict[str, list[str]]:
    """The patients whose clips have more than one label, with these labels."""
    labels = table.groupby("patient")["label"].agg(lambda column: sorted(set(column)))
    return {str(patient): found for patient, found in labels.items() if len(found) > 1}


def explain_few_patients(table: pd.DataFrame, least: int) -> str:
    """What is to be said of labels with fewer patients than `least`, and what to do; empty where there are none."""
    patients = table.groupby("label")["patient"].nunique()
    few = patients[patients < least]
    if few.empty:
        return ""
    found = ", ".join(f"{label} {count}" for label, count in few.items())
    smallest = int(few.min())
    ways = ["add patients"]
    if len(patients) - len(few) >= 2:
        ways.append(f"leave {'it' if len(few) == 1 else 'them'} out (cohort.leave_out_labels)")
    if smallest >= FEWEST:
        ways.append(
            f"set cohort.min_patients and folds.outer to {smallest} and folds.inner to {smallest - 1} in params.yaml"
        )
    return (
        f"patients of each label: {found}, at least {least} are expected, so that each fold is tested on patients of "
        f"its own; {', '.join(ways)}, or have a version that was made from other clips answer these: `lus classify`"
    )


def _refuse_few_patients(folder: Path, table: pd.DataFrame, least: int) -> None:
    if said := explain_few_patients(table, least):
        raise BadInput(f"{folder}: {said}")


def build(
    folder: Path,
    params: Cohort,
    limits: Limits,
    progress: Progress | None = None,
    workers: int | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cohort table of a folder.

    Args:
        folder: the clips; the paths in the table start with it as it is given.
        params: the rule by which clips are left out, and what must be left.
        limits: of a usable clip, as far as counting its frames can tell.
        progress: called after each clip.
        workers: processes that decode; as many as there are cores by default.

    Returns:
        The table, one row a usable clip, columns `COLUMNS`, in the order of the paths; and what was left out:
        columns `LEFT_OUT_COLUMNS`, where `kind` is `rule` (by a stated rule) or `unusable` (it should have been),
        and a copy has the `clip_id` of its original.

    Raises:
        BadInput: fewer than two labels are left, a label lost all its clips because they are unusable or has
            too few patients, or more clips than allowed are unusable.
    """
    listed = [leave_out(one, params) for one in layouts.list_clips(folder, params.labels)]
    job = ClipJob(partial(measure, limits=limits), describe_refused, attrgetter("path"), limits.max_seconds)
    rows = run_jobs(job, listed, progress, workers, job.limits)
    mark_repeats(rows)
    table = pd.DataFrame([row for row in rows if "reason" not in row], columns=list(COLUMNS))
    left_out = pd.DataFrame([row for row in rows if "reason" in row], columns=list(LEFT_OUT_COLUMNS))
    labels = sorted(table["label"].unique())
    if len(labels) < 2:
        found = f"only the label {labels[0]}" if labels else "no usable clip"
        named = (Path(str(row["path"])).name + ": " + str(row["reason"]) for row in rows if "reason" in row)
        first = f"; first reason: {next(named)}" if len(left_out) else ""
        raise BadInput(
            f"{folder}: {found} was found, clips of two labels or more are expected, a folder for each{first}"
        )
    _refuse_losses(folder, table, left_out[left_out["kind"] == UNUSABLE], params.max_unusable)
    _refuse_few_patients(folder, table, params.min_patients)
    return table, left_out


def _refuse_losses(folder: Path, table: pd.DataFrame, unusable: pd.DataFrame, allowed: float) -> None:
    emptied = sorted(set(unusable["label"]) - set(table["label"]))
    share = len(unusable) / (len(table) + len(unusable))
    if not emptied and share <= allowed:
        return
    what = f"no clip of {', '.join(emptied)} is usable" if emptied else f"{share:.0%} of the clips are unusable"
    first = unusable.iloc[0]
    raise BadInput(
        f"{folder}: {what}, at most {allowed:.0%} may be and no label may empty; first reason: "
        f"{Path(first['path']).name}: {first['reason']}; mend or remove the clips, or raise cohort.max_unusable in "
        "params.yaml"
    )


def read(path: Path) -> pd.DataFrame:
    """Read a cohort table that `build` made; identities stay text.

    Raises:
        BadInput: the file is missing or lacks a column.
    """
    if not path.is_file():
        raise BadInput(f"{path}: not found; `dvc repro cohort` makes it")
    text = dict.fromkeys(("clip_id", "path", "label", "patient", "group", "source", "probe", "licence"), str)
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: is no cohort table ({error}); make it again with `lus cohort`") from None
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing or table.empty:
        what = f"has no column {', '.join(missing)}" if missing else "has no clip"
        raise BadInput(f"{path}: {what}; make it again with `lus cohort`")
    return table


def left_out_file(table: Path) -> Path:
    """Where the clips that are not in a cohort table are listed."""
    return table.with_name(f"{table.stem}-left-out.csv")


def read_left_out(table: Path) -> pd.DataFrame:
    """The clips that are not in a cohort table; none where no such list lies beside it."""
    file = left_out_file(table)
    if not file.is_file():
        return pd.DataFrame(columns=list(LEFT_OUT_COLUMNS))
    return pd.read_csv(file, dtype=str, keep_default_na=False).reindex(columns=list(LEFT_OUT_COLUMNS), fill_value="")
