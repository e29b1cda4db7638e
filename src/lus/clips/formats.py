"""Which files are clips: by the endings of their names, or by their first bytes."""

from __future__ import annotations

from pathlib import Path

from lus.clips import dicom_start

SUFFIXES = frozenset(
    {".avi", ".dcm", ".dicom", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}
)
"""File name endings of clips, in lower case."""


def is_clip(path: Path) -> bool:
    """Whether a file of a folder is meant to be a clip: by its name's ending, or by its first bytes as DICOM.

    Ultrasound machines write DICOM files without an ending, or with a UID for a name. The index beside them, DICOMDIR,
    is in the same format and no clip (PS3.10, 8.6); Linux shows the names of some discs in lower case. What cannot be
    read might be a clip: it counts as one, so that it is named with its reason.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        # What is no file, such as a pipe, might be waited for.
        if path.name.upper() == "DICOMDIR" or not path.is_file():
            return False
        with path.open("rb") as file:
            return dicom_start.is_dicom(file.read(140))
    except OSError:
        return True
