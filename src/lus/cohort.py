"""The cohort table: a folder of labelled clips -> one row a clip.

Three layouts are read, the first that fits:

1. a `clips.csv` in the folder: columns path, label, patient and, optionally, source, probe, licence;
2. the layout of the public covid19_ultrasound repository: `dataset_metadata.csv` beside `pocus_videos/`;
3. a folder for each label, and in it either clips or a folder of clips for each patient.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from lus import clip, pool
from lus.errors import BadInput, Unusable
from lus.params import Cohort, Limits

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
LEFT_OUT_COLUMNS = ("path", "label", "patient", "kind", "check", "found", "limit", "reason")
RULE, UNUSABLE = "rule", "unusable"
_NO_VIDEO = "its name does not end as a video's does ({})"
PREFIXES = {"cov": "covid-19", "pneu": "pneumonia", "reg": "healthy", "vir": "viral-pneumonia"}
"""Labels of the public repository: the letters that a file name starts with -> label."""


@dataclass(frozen=True)
class Listed:
    """A clip that a layout lists, before its file is opened; `refused` says by which rule it is left out."""

    path: Path
    label: str
    patient: str
    source: str = "unknown"
    probe: str = "unknown"
    licence: str = "unknown"
    refused: str = ""


def list_clips(folder: Path, labels: Sequence[str] = ()) -> list[Listed]:
    """List a folder's clips by whichever layout it has, in the order of their paths.

    Args:
        folder: the clips.
        labels: those that are expected; none: whatever the clips say.

    Raises:
        BadInput: the folder is missing or has none of the layouts; a table is not usable (its line is named);
            a label is not among those expected.
    """
    if not folder.is_dir():
        hint = "; `make data` fetches the public clips" if folder.name == "data" else ""
        raise BadInput(f"{folder}: no such folder; a folder of clips was expected{hint}")
    if (folder / "clips.csv").is_file():
        listed = _list_table(folder, labels)
    elif (folder / "dataset_metadata.csv").is_file():
        listed = _list_public(folder)
    else:
        listed = list_folders(folder)
    if not listed:
        raise BadInput(
            f"{folder}: no clip found; expected a clips.csv (path, label, patient), the layout of covid19_ultrasound, "
            "or a folder of clips for each label"
        )
    for one in listed:
        if not one.refused:
            _refuse_label(one.label, labels, one.path.as_posix())
    return sorted(listed, key=lambda one: one.path.as_posix())


def _refuse_label(label: str, labels: Sequence[str], where: str) -> None:
    if labels and label not in labels:
        raise BadInput(
            f"{where}: the label {label} was found, {', '.join(labels)} expected; mend it or cohort.labels in "
            "params.yaml"
        )


def _read_table(path: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table, each with its line number; empty lines are skipped."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); change its permissions") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from None
    header = [name.strip() for name in rows[0][1]] if rows else []
    missing = [column for column in required if column not in header]
    if missing:
        raise BadInput(f"{path}: has no column {', '.join(missing)}; expected {', '.join(required)} in its first line")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise BadInput(f"{path}, line {line}: {len(row)} fields found, {len(header)} expected; mend the line")
    return [(line, dict(zip(header, row, strict=True))) for line, row in rows[1:]]


def _list_table(folder: Path, labels: Sequence[str]) -> list[Listed]:
    table = _read_table(folder / "clips.csv", ("path", "label", "patient"))
    listed: list[Listed] = []
    lines: dict[Path, int] = {}
    for line, row in table:
        empty = [column for column in ("path", "label", "patient") if not row[column].strip()]
        if empty:
            raise BadInput(f"{folder / 'clips.csv'}, line {line}: {', '.join(empty)} is empty; fill it in")
        path = folder / row["path"].strip()
        # Compared without following links: a clip may be a link into a shared store, its name may not climb out.
        if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder)):
            raise BadInput(
                f"{folder / 'clips.csv'}, line {line}: {row['path']} leaves the cohort's folder; move the clip"
            )
        _refuse_label(row["label"].strip(), labels, f"{folder / 'clips.csv'}, line {line}")
        if lines.setdefault(path, line) != line:
            raise BadInput(
                f"{folder / 'clips.csv'}, line {line}: {row['path']} stands in line {lines[path]} already; remove one"
            )
        optional = {name: row[name].strip() for name in ("source", "probe", "licence") if row.get(name, "").strip()}
        listed.append(Listed(path, row["label"].strip(), row["patient"].strip(), **optional))
    return listed


def _list_public(folder: Path) -> list[Listed]:
    """Clips of covid19_ultrasound, with the patient, source, probe and licence from its metadata table."""
    columns = ("Filename", "Patient ID / Name", "Source ID", "Probe", "License")
    table = _read_table(folder / "dataset_metadata.csv", columns)
    rows = [row for _, row in table]
    return [_list_public_clip(path, folder / "pocus_videos", rows) for path in files(folder / "pocus_videos")]


def _list_public_clip(path: Path, videos: Path, rows: list[dict[str, str]]) -> Listed:
    probe = path.relative_to(videos).parts[0].lower()
    prefix = next((prefix for prefix in PREFIXES if path.name.lower().startswith(prefix)), None)
    # The table names some clips with their suffix and most without it; a name may stand there for two probes.
    named = [row for row in rows if row["Filename"].strip() in (path.name, path.stem)]
    fitting = [row for row in named if row["Probe"].strip().lower() == probe] or named
    if not _is_video(path):
        return Listed(path, "", "", probe=probe, refused=_NO_VIDEO.format(path.suffix or "no suffix"))
    if prefix is None:
        return Listed(path, "", "", probe=probe, refused=f"its name starts with none of {', '.join(PREFIXES)}")
    if len(fitting) != 1:
        refused = f"{len(fitting) or 'no'} row{'s' if fitting else ''} in dataset_metadata.csv"
        return Listed(path, PREFIXES[prefix], "", probe=probe, refused=refused)
    row = fitting[0]
    source = row["Source ID"].strip() or "unknown"
    # Clips of unnamed patients of one source may show one person: they stay together in every fold.
    patient = row["Patient ID / Name"].strip() or f"unknown-of-source-{source}"
    licence = row["License"].strip() or "unknown"
    return Listed(path, PREFIXES[prefix], patient, source, row["Probe"].strip() or probe, licence)


def list_folders(folder: Path) -> list[Listed]:
    """Clips in a folder for each label; none where no clip lies in such a folder."""
    listed = []
    for path in files(folder):
        inner = path.relative_to(folder).parts
        label = inner[0] if len(inner) > 1 else ""
        # Without a folder for the patient nothing says who a clip shows: each counts as a patient of its own.
        patient = inner[1] if len(inner) > 2 else path.relative_to(folder).as_posix()
        if not label and _is_video(path):
            listed.append(Listed(path, "", "", refused="it lies in no label's folder"))
        elif label:
            refused = "" if _is_video(path) else _NO_VIDEO.format(path.suffix or "no suffix")
            listed.append(Listed(path, label, patient, refused=refused))
    return listed if any(not one.refused for one in listed) else []


def files(folder: Path) -> list[Path]:
    """Every file below a folder but the hidden ones; links to folders are followed.

    Raises:
        BadInput: a folder cannot be read, or a link leads back to a folder above it.
    """

    def refuse(error: OSError) -> None:
        raise BadInput(f"{error.filename}: cannot be read ({error.strerror}); change its permissions")

    found = []
    for root, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        here = Path(root).resolve()
        for name in folders:
            inner = (Path(root) / name).resolve()
            if inner == here or inner in here.parents:
                raise BadInput(f"{Path(root) / name}: is a link to a folder above it; remove it")
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root) / name for name in names if not name.startswith(".")]
    return found


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in clip.SUFFIXES


def leave_out(one: Listed, params: Cohort) -> Listed:
    """Mark a listed clip that the cohort's rule leaves out."""
    if one.refused:
        return one
    if one.label in params.leave_out_labels:
        return replace(one, refused=f"label {one.label} is in cohort.leave_out_labels")
    if one.probe.lower() in {probe.lower() for probe in params.leave_out_probes}:
        return replace(one, refused=f"probe {one.probe} is in cohort.leave_out_probes")
    return one


def measure(one: Listed, limits: Limits) -> dict[str, object]:
    """Open one listed clip: a row of the cohort table, or its path and the reason why it has none."""
    row: dict[str, object] = {"path": clip.shown(one.path), "label": one.label, "patient": one.patient}
    if one.refused:
        return row | {"kind": RULE, "reason": one.refused}
    try:
        info = clip.inspect(one.path, limits)
    except Unusable as error:
        return row | unusable(error)
    return row | {
        "clip_id": clip.clip_id(one.path),
        "source": one.source,
        "probe": one.probe,
        "licence": one.licence,
        "frames": info.frames,
        "fps": round(info.fps, 3),
        "width": info.width,
        "height": info.height,
    }


def unusable(error: Unusable) -> dict[str, object]:
    """What the table of left-out clips says of one that is not usable."""
    first = error.findings[0]
    why: dict[str, object] = {"check": first.check, "found": first.found, "limit": first.expected}
    return why | {"kind": UNUSABLE, "reason": error.reason, "findings": error.findings}


def _lost(one: Listed, what: str) -> dict[str, object]:
    row: dict[str, object] = {"path": clip.shown(one.path), "label": one.label, "patient": one.patient}
    return row | unusable(clip.undecodable(one.path, what))


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


def _refuse_few_patients(folder: Path, table: pd.DataFrame, least: int) -> None:
    patients = table.groupby("label")["patient"].nunique()
    few = [f"{label} {count}" for label, count in patients.items() if count < least]
    if few:
        raise BadInput(
            f"{folder}: patients of each label: {', '.join(few)}, at least {least} are expected; add patients, leave "
            "the label out (cohort.leave_out_labels), or lower cohort.min_patients, search.folds and "
            "search.inner_folds in params.yaml"
        )


def build(
    folder: Path,
    params: Cohort,
    limits: Limits,
    progress: pool.Progress | None = None,
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
        columns `LEFT_OUT_COLUMNS`, where `kind` is `rule` (by a stated rule) or `unusable` (it should have been).

    Raises:
        BadInput: fewer than two labels are left, a label lost all its clips because they are unusable or has
            too few patients, or more clips than allowed are unusable.
    """
    listed = [leave_out(one, params) for one in list_clips(folder, params.labels)]
    guard = pool.Guard(limits.max_seconds, _lost)
    rows = pool.run(partial(measure, limits=limits), listed, progress, workers, guard)
    mark_repeats(rows)
    table = pd.DataFrame([row for row in rows if "reason" not in row], columns=list(COLUMNS))
    left_out = pd.DataFrame([row for row in rows if "reason" in row], columns=list(LEFT_OUT_COLUMNS))
    labels = sorted(table["label"].unique())
    if len(labels) < 2:
        found = f"only the label {labels[0]}" if labels else "no usable clip"
        named = (Path(str(row["path"])).name + ": " + str(row["reason"]) for row in rows if "reason" in row)
        first = f"; first reason: {next(named)}" if len(left_out) else ""
        raise BadInput(f"{folder}: {found} was found, clips of two labels or more are expected{first}")
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
    text = dict.fromkeys(("clip_id", "path", "label", "patient", "source", "probe", "licence"), str)
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
    return (
        pd.read_csv(file, dtype=str, keep_default_na=False)
        if file.is_file()
        else pd.DataFrame(columns=list(LEFT_OUT_COLUMNS))
    )
