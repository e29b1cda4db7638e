"""Metrics of parts of a cohort: by source, probe, size of the picture, and true label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray
from lus.metrics.proportions import classification_intervals
from lus.metrics.scores import scores

STRATA_FILE = "strata.csv"
LABEL = "label"
COLUMNS = ("source", "probe", "size", LABEL)
"""By which properties of its clips a cohort is cut."""
LEADING = ("by", "stratum", "clips", "patients", "accuracy", "low", "high", "brier", "small")
"""The columns of a table of strata before the sensitivities."""
FEWEST = 10
"""Patients below which a stratum is marked as small: its interval is wide, and one patient more can change it much."""


def tabulate_strata(
    clips: pd.DataFrame,
    targets: IntArray,
    probabilities: FloatArray,
    groups: NDArray[np.object_],
    names: Sequence[str],
    level: float,
) -> pd.DataFrame:
    """Accuracy, sensitivity of each label, Brier score and counts of each stratum.

    The intervals are Wilson's with the design effect of the stratum's own groups (`classification_intervals`).

    Args:
        clips: rows of a cohort table: source, probe, width, height, label.
        targets: (n,) numbers of labels.
        probabilities: (n, labels).
        groups: (n,) who is independent of whom: patients, near-duplicate ones together.
        names: of the labels.
        level: of the intervals.

    Returns:
        A row a stratum: by, stratum, clips, patients, accuracy, low, high, brier, small, and for each label
        `sensitivity.<label>` with `.low` and `.high`. What is not defined is not a number: the sensitivities of a
        stratum of one label, whose accuracy they would repeat, and of a label that a stratum has no clip of. A property
        that is the same for all clips has no rows.
    """
    size = clips["width"].astype(str) + " x " + clips["height"].astype(str)
    table = clips.assign(size=size)
    rows = []
    for column in COLUMNS:
        values = table[column].astype(str).replace("", "unknown").to_numpy(object)
        if len(set(values)) < 2:
            continue
        for value in sorted(set(values)):
            chosen = values == value
            row = _measure(targets[chosen], probabilities[chosen], groups[chosen], names, level, column == LABEL)
            rows.append({"by": column, "stratum": value} | row)
    sensitivities = [f"sensitivity.{name}{end}" for name in names for end in ("", ".low", ".high")]
    return pd.DataFrame(rows, columns=[*LEADING, *sensitivities])


def _measure(
    targets: IntArray,
    probabilities: FloatArray,
    groups: NDArray[np.object_],
    names: Sequence[str],
    level: float,
    of_one_label: bool,
) -> dict[str, float]:
    """The metrics of the clips of one stratum."""
    own = scores(targets, probabilities, names)
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    bounds = classification_intervals(targets, predicted, groups, names, level)
    patients = len(set(groups))
    row = {
        "clips": len(targets),
        "patients": patients,
        "accuracy": own["accuracy"],
        "low": bounds["accuracy"].low,
        "high": bounds["accuracy"].high,
        "brier": own["brier"],
        "small": patients < FEWEST,
    }
    for metric in [] if of_one_label else [f"sensitivity.{name}" for name in names]:
        row |= {metric: own[metric], f"{metric}.low": bounds[metric].low, f"{metric}.high": bounds[metric].high}
    return row


def write_strata(path: Path, strata: pd.DataFrame) -> None:
    """Write a table of strata, as `read_strata` reads it."""
    strata.to_csv(path, index=False, float_format="%.6g")


def read_strata(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of strata; none where there is no such file, as of an evaluation before there were any."""
    text = dict.fromkeys(("by", "stratum"), str)
    if not path.is_file():
        return []
    return list_strata(pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""]))


def list_strata(strata: pd.DataFrame) -> list[dict[str, Any]]:
    """A table of strata (`tabulate_strata`) as its rows, with None for what is not a number."""
    rows: list[dict[str, Any]] = json.loads(strata.to_json(orient="records"))
    return rows
