"""cohort: a folder of labelled clips -> the cohort table."""

from __future__ import annotations

from pathlib import Path

from lus import cohort, pool
from lus.params import Cohort, Limits


def run(folder: Path, out: Path, params: Cohort, limits: Limits, progress: pool.Progress | None = None) -> str:
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
        BadInput: the folder is no cohort, or too much of it is not usable.
    """
    table, left_out = cohort.build(folder, params, limits, progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out, index=False)
    reasons = cohort.left_out_file(out)
    left_out.to_csv(reasons, index=False)
    counts = ", ".join(f"{count} {label}" for label, count in table["label"].value_counts().sort_index().items())
    sentence = f"{len(table)} clips ({counts}) of {table['patient'].nunique()} patients in {out}"
    return f"{sentence}; {len(left_out)} left out, see {reasons}" if len(left_out) else sentence
