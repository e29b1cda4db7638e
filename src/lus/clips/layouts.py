"""The layouts in which a folder may hold labelled clips: what it lists, before any clip is opened.

Three are read, the first that fits:

1. a `clips.csv` in the folder: columns path, label, patient and, optionally, source, probe, licence;
2. the layout of the public covid19_ultrasound repository: `dataset_metadata.csv` beside `pocus_videos/`;
3. a folder for each label, and in it either clips or a folder of clips for each patient.
"""

from __future__ import annotations

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lus.clips import formats
from lus.common.errors import BadInput

_NO_VIDEO = "neither a DICOM clip nor named as a video is ({})"
OPTIONAL = ("source", "probe", "licence")
"""Columns that a `clips.csv` may have beside path, label and patient."""
DELIMITERS = ",;\t"
"""What separates the columns of a table: spreadsheets write what their country's numbers leave free."""
TABLES = ("clips.csv", "dataset_metadata.csv")
"""Names of the files that list clips."""
PREFIXES = {"cov": "covid-19", "pneu": "pneumonia", "reg": "healthy", "vir": "viral-pneumonia"}
"""Labels of the public repository: the letters that a file name starts with -> label."""


@dataclass(frozen=True)
class ListedClip:
    """A clip that a layout lists, before its file is opened; `refused` says by which rule it is left out."""

    path: Path
    label: str
    patient: str
    source: str = "unknown"
    probe: str = "unknown"
    licence: str = "unknown"
    refused: str = ""


def list_clips(folder: Path, labels: Sequence[str] = ()) -> list[ListedClip]:
    """List a folder's clips by whichever layout it has, in the order of their paths.

    Args:
        folder: the clips.
        labels: those that are expected; none: whatever the clips say.

    Raises:
        BadInput: the folder is missing or has none of the layouts; a table is not usable (its line is named);
            a label is not among those expected.
    """
    if not folder.is_dir():
        made = {"data": "; `make data` fetches the public clips", "phantom": "; `lus simulate` makes it"}
        hint = made.get(folder.as_posix(), "")
        raise BadInput(f"{folder}: no such folder; a folder of clips was expected{hint}")
    if (folder / "clips.csv").is_file():
        listed = _list_table(folder, labels)
    elif (folder / "dataset_metadata.csv").is_file():
        listed = _list_public(folder)
    else:
        listed = list_folders(folder)
    if not listed:
        raise BadInput(f"{folder}: {_nothing_listed(folder)}")
    for one in listed:
        if not one.refused:
            _refuse_label(one.label, labels, one.path.as_posix())
    return sorted(map(_normalize, listed), key=lambda one: one.path.as_posix())


def _normalize(one: ListedClip) -> ListedClip:
    """A letter with its accent may be written as one sign or as two: a patient or a label is one, however it is."""
    label, patient, source = (unicodedata.normalize("NFC", text) for text in (one.label, one.patient, one.source))
    return replace(one, label=label, patient=patient, source=source)


def _nothing_listed(folder: Path) -> str:
    loose = sum(formats.is_clip(path) for path in folder.iterdir() if path.is_file())
    if not loose:
        return (
            "no clip found; expected a clips.csv (path, label, patient), the layout of covid19_ultrasound, or a folder "
            "of clips for each label"
        )
    found = "the clip in it has no label" if loose == 1 else f"the {loose} clips in it have no label"
    return (
        f"{found}; to train on them put each into a folder that is named for its label, better {folder.name}/LABEL/"
        "PATIENT, or list them in a clips.csv (path, label, patient); `lus classify` answers clips without labels"
    )


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
            start = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(DELIMITERS, key=start.count), strict=True)
            rows = [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); change its permissions") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from None
    known = {name.lower(): name for name in (*OPTIONAL, *required)}
    header = [known.get(name.strip().lower(), name.strip()) for name in rows[0][1]] if rows else []
    missing = [column for column in required if column not in header]
    if missing:
        found = f" ({', '.join(map(ascii, filter(None, header)))} found)" if any(header) else ""
        raise BadInput(
            f"{path}: has no column {', '.join(missing)}{found}; expected {', '.join(required)} in its first line"
        )
    twice = [name for name, count in Counter(header).items() if name and count > 1]
    if twice:
        raise BadInput(f"{path}: has the column {', '.join(twice)} more than once; keep one of each")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise BadInput(f"{path}, line {line}: {len(row)} fields found, {len(header)} expected; mend the line")
    return [(line, dict(zip(header, row, strict=True))) for line, row in rows[1:]]


def _list_table(folder: Path, labels: Sequence[str]) -> list[ListedClip]:
    table = _read_table(folder / "clips.csv", ("path", "label", "patient"))
    if not table:
        raise BadInput(f"{folder / 'clips.csv'}: lists no clip below its heads; write a line for each clip")
    listed: list[ListedClip] = []
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
        optional = {name: row[name].strip() for name in OPTIONAL if row.get(name, "").strip()}
        listed.append(ListedClip(path, row["label"].strip(), row["patient"].strip(), **optional))
    others = sorted(path for path in list_files(folder) if path not in lines and formats.is_clip(path))
    return [*listed, *(ListedClip(path, "", "", refused="no row of clips.csv lists it") for path in others)]


def _list_public(folder: Path) -> list[ListedClip]:
    """Clips of covid19_ultrasound, with the patient, source, probe and licence from its metadata table."""
    columns = ("Filename", "Patient ID / Name", "Source ID", "Probe", "License")
    table = _read_table(folder / "dataset_metadata.csv", columns)
    rows = [row for _, row in table]
    return [_list_public_clip(path, folder / "pocus_videos", rows) for path in list_files(folder / "pocus_videos")]


def _list_public_clip(path: Path, videos: Path, rows: list[dict[str, str]]) -> ListedClip:
    probe = path.relative_to(videos).parts[0].lower()
    prefix = next((prefix for prefix in PREFIXES if path.name.lower().startswith(prefix)), None)
    # The table names some clips with their suffix and most without it; a name may stand there for two probes.
    named = [row for row in rows if row["Filename"].strip() in (path.name, path.stem)]
    fitting = [row for row in named if row["Probe"].strip().lower() == probe] or named
    if not formats.is_clip(path):
        return ListedClip(path, "", "", probe=probe, refused=_NO_VIDEO.format(path.suffix or "no suffix"))
    if prefix is None:
        return ListedClip(path, "", "", probe=probe, refused=f"its name starts with none of {', '.join(PREFIXES)}")
    if len(fitting) != 1:
        refused = f"{len(fitting) or 'no'} row{'s' if fitting else ''} in dataset_metadata.csv"
        return ListedClip(path, PREFIXES[prefix], "", probe=probe, refused=refused)
    row = fitting[0]
    source = row["Source ID"].strip() or "unknown"
    # Clips of unnamed patients of one source may show one person: they stay together in every fold.
    patient = row["Patient ID / Name"].strip() or f"unknown-of-source-{source}"
    licence = row["License"].strip() or "unknown"
    return ListedClip(path, PREFIXES[prefix], patient, source, row["Probe"].strip() or probe, licence)


def list_folders(folder: Path) -> list[ListedClip]:
    """Clips in a folder for each label; none where no clip lies in such a folder."""
    listed = []
    for path in list_files(folder):
        inner = path.relative_to(folder).parts
        label = inner[0] if len(inner) > 1 else ""
        # Without a folder for the patient nothing says who a clip shows: each counts as a patient of its own.
        patient = inner[1] if len(inner) > 2 else path.relative_to(folder).as_posix()
        if not label and formats.is_clip(path):
            listed.append(ListedClip(path, "", "", refused="it lies in no label's folder"))
        elif label:
            refused = "" if formats.is_clip(path) else _NO_VIDEO.format(path.suffix or "no suffix")
            listed.append(ListedClip(path, label, patient, refused=refused))
    return listed if any(not one.refused for one in listed) else []


def list_files(folder: Path) -> list[Path]:
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
