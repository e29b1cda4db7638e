"""Tables of clips as spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lus.clips import layouts
from lus.common.errors import BadInput


def _table(folder: Path, text: str, *names: str) -> Path:
    (folder / "clips.csv").write_text(text, encoding="utf-8")
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def _read(folder: Path) -> list[tuple[str, str, str]]:
    return [(one.path.name, one.label, one.patient) for one in layouts.list_clips(folder) if not one.refused]


@pytest.mark.parametrize(
    "head", ["path,label,patient", "path;label;patient", "path\tlabel\tpatient", "Path, LABEL ,Patient"]
)
def test_delimiter_and_case_of_the_heads_are_seen(head: str, tmp_path: Path) -> None:
    delimiter = next(sign for sign in ",;\t" if sign in head)
    row = delimiter.join(["a.avi", "healthy", "001"])
    assert _read(_table(tmp_path, f"{head}\n{row}\n", "a.avi")) == [("a.avi", "healthy", "001")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label,patient,label\na.avi,x,1,y\n", "has the column label more than once; keep one of each"),
        ("path,label,patient,Label\na.avi,x,1,y\n", "has the column label more than once; keep one of each"),
        ("file,label\na.avi,x\n", r"has no column path, patient \('file', 'label' found\); expected"),
        ("path,label,patient\n", "lists no clip below its heads; write a line for each clip"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said):
        layouts.list_clips(_table(tmp_path, text, "a.avi"))


def test_one_name_in_two_spellings_of_unicode_is_one_patient(tmp_path: Path) -> None:
    text = "path,label,patient\na.avi,gesund,J\u00f6rg\nb.avi,gesund,Jo\u0308rg\n"
    assert {patient for *_, patient in _read(_table(tmp_path, text, "a.avi", "b.avi"))} == {"J\u00f6rg"}


def test_folders_of_patients_in_two_spellings_are_one_patient(tmp_path: Path) -> None:
    for label, patient, name in (("x", "J\u00f6rg", "a.avi"), ("x", "Jo\u0308rg", "b.avi")):
        (tmp_path / label / patient).mkdir(parents=True, exist_ok=True)
        (tmp_path / label / patient / name).touch()
    assert {patient for *_, patient in _read(tmp_path)} == {"J\u00f6rg"}


def test_a_clip_that_no_row_lists_is_left_out_with_the_reason(tmp_path: Path) -> None:
    listed = layouts.list_clips(_table(tmp_path, "path,label,patient\na.avi,x,1\n", "a.avi", "b.avi", "notes.txt"))
    assert [(one.path.name, one.refused) for one in listed] == [
        ("a.avi", ""),
        ("b.avi", "no row of clips.csv lists it"),
    ]
