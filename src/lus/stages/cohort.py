"""cohort: a folder of labelled clips -> the cohort table."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from lus.clips import cohort
from lus.common import workers
from lus.common.errors import BadInput
from lus.common.params import Cohort, Limits


def run(folder: Path, out: Path, params: Cohort, limits: Limits, progress: workers.Progress | None = None) -> str:
    """Write the cohort table, and beside it `<name>-left-out.csv` with a reason for every clip left out.

    Args:
        folder: of labelled clips, in any layout that `layouts` knows.
        out: the table, a CSV file; `<name>-left-out.csv` stands beside it.
        params: the labels that are expected, and what may be lost.
        limits: of a usable clip, as far as they concern its decoding.
        progress: called after each clip.

    Returns:
        A sentence on what was found.

    Raises:
        BadInput: the folder is no cohort, holds a link to a folder, or too much of it is not usable.
    """
    _refuse_linked_folders(folder)
    table, left_out = cohort.build(folder, params, limits, progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out, index=False)
    reasons = cohort.left_out_file(out)
    left_out.to_csv(reasons, index=False)
    counts = ", ".join(f"{count} {label}" for label, count in table["label"].value_counts().sort_index().items())
    sentence = f"{len(table)} clips ({counts}) of {table['patient'].nunique()} patients in {out}"
    return f"{sentence}; {len(left_out)} left out, see {reasons}" if len(left_out) else sentence


def _refuse_linked_folders(folder: Path) -> None:
    """Refuse what DVC does not watch: its walk does not enter links to folders, the cohort's own folder excepted."""
    for root, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(root).resolve()
        for link in (Path(root) / name for name in folders):
            target = link.resolve()
            # Of a link that leads back to where it lies the layouts say more.
            if link.is_symlink() and target not in (here, *here.parents):
                place = shlex.quote(os.fspath(link))
                raise BadInput(
                    f"{link}: is a link to a folder, which DVC does not follow, so that it would miss clips that "
                    "change; a folder is expected, which may hold links to files: "
                    f"`rm {place} && cp -rs {shlex.quote(f'{target}/.')} {place}` makes one"
                )
