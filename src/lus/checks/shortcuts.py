"""Shortcuts: properties of the files that give the label away, so that a classifier looks right without learning."""

from __future__ import annotations

import math
from pathlib import PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.common.arrays import IntArray

PROPERTIES = ("container", "size", "rate", "frames", "source", "probe", "licence")
"""The properties of files that `find_shortcuts` looks at."""
LEVEL, MARGIN = 0.01, 0.1
"""A property is telling if p is below LEVEL / properties (Bonferroni) and it beats chance by MARGIN."""
BATCH = 250
"""Permutations at once, so that memory does not grow with their number."""


def find_shortcuts(clips: pd.DataFrame, seed: int = 0, permutations: int = 5000) -> pd.DataFrame:
    """How well each property of the files, alone, tells the label of a patient not seen before.

    A clip's label is guessed from the clips of other patients that share its value: the label with the largest
    share of them, as if all labels were equally frequent. Equal shares share the guess; so do all labels for a
    value that nobody else has. A property that says nothing may fall below chance, for a patient left out makes
    its own label the rarer one. The p-value is the share of the permutations, the true order among them (Phipson
    and Smyth, Statistical Applications in Genetics and Molecular Biology 9, 2010), that do as well; they exchange
    the labels of whole patients, for the clips of one are not independent.

    Args:
        clips: a cohort table.
        seed: of the permutations.
        permutations: how many; with fewer than 700 no property can be telling.

    Returns:
        One row a property, the strongest first: property; strength, the mean of the labels' recalls; chance; p;
        telling; values, those that point to one label almost only (3 clips, 2 patients, 90 % or more).
    """
    # Patients and clips are permuted by their places, which must not depend on the order of the rows.
    clips = clips.sort_values(["patient", "path"], ignore_index=True)
    names, labels = np.unique(clips["label"].to_numpy(str), return_inverse=True)
    patients = np.unique(clips["patient"].to_numpy(str), return_inverse=True)[1]
    drawn = np.concatenate([labels[None], permute_labels(labels, patients, permutations, seed)])
    chance = 1 / len(names)
    rows = []
    for name, values in _properties(clips).items():
        found, codes = np.unique(values.to_numpy(str), return_inverse=True)
        strengths = np.array([chance])
        if len(found) > 1:
            batches = np.array_split(drawn, math.ceil(len(drawn) / BATCH))
            strengths = np.concatenate([_strengths(codes, patients, batch, len(names)) for batch in batches])
        strength = float(strengths[0])
        p = float((strengths >= strength - 1e-9).mean())  # equal sums of recalls differ in their last digits
        telling = p < LEVEL / len(PROPERTIES) and strength >= chance + MARGIN
        rows.append((name, strength, chance, p, telling, _one_sided(values, clips)))
    table = pd.DataFrame(rows, columns=["property", "strength", "chance", "p", "telling", "values"])
    return table.sort_values("strength", ascending=False, kind="stable", ignore_index=True)


def get_containers(paths: pd.Series) -> pd.Series:
    """The container of each clip as its file's name says it: `mp4`, `gif`, ...; `none` where it does not."""
    endings = paths.map(lambda path: PurePath(path).suffix.lower().removeprefix("."))
    # Digits are the end of a UID, which DICOM files may have for a name.
    return endings.mask(endings.str.isdigit() | (endings == ""), "none")


def _properties(clips: pd.DataFrame) -> pd.DataFrame:
    """The values of the `PROPERTIES` as text: (clips, properties). Numbers of frames fall into quarters."""
    frames = clips["frames"]
    quarters = frames.groupby(np.searchsorted(np.quantile(frames, (0.25, 0.5, 0.75)), frames))
    made = {
        "container": get_containers(clips["path"]),
        "size": clips["width"].astype(str) + "x" + clips["height"].astype(str),
        "rate": clips["fps"].round().astype(int).astype(str),
        "frames": quarters.transform("min").astype(str) + "-" + quarters.transform("max").astype(str),
    }
    return clips.assign(**made)[list(PROPERTIES)]


def permute_labels(labels: IntArray, patients: IntArray, count: int, seed: int) -> IntArray:
    """Labels after patients, numbered in ascending order, have exchanged theirs at random: (count, clips).

    A patient with more clips than it gets labels for, or fewer, repeats or leaves out some evenly.
    """
    firsts, sizes = np.unique(patients, return_index=True, return_counts=True)[1:]
    givers = np.random.default_rng(seed).permuted(np.tile(np.arange(len(sizes)), (count, 1)), axis=1)[:, patients]
    places = np.arange(len(patients)) - firsts[patients]
    return np.asarray(labels[firsts[givers] + places * sizes[givers] // sizes[patients]], np.int64)


def _strengths(values: IntArray, patients: IntArray, labels: IntArray, count: int) -> NDArray[np.float64]:
    """The balanced accuracy of guessing by a property, for each of many orders of the labels.

    Args:
        values: (clips,) numbers of the property's values.
        patients: (clips,) numbers of the patients, in ascending order.
        labels: (orders, clips) numbers of the labels.
        count: labels there are.
    """
    order = np.lexsort((patients, values))
    cells, starts = np.unique(np.stack([values, patients])[:, order], axis=1, return_index=True)
    is_label = labels[..., None] == np.arange(count)
    # Clips of one value and one patient, a cell, are guessed alike.
    in_cell = np.add.reduceat(is_label[:, order], starts, axis=1, dtype=np.int32)
    in_value = np.add.reduceat(in_cell, np.unique(cells[0], return_index=True)[1], axis=1)
    of_patient = np.add.reduceat(is_label, np.unique(patients, return_index=True)[1], axis=1, dtype=np.int32)
    total = in_cell.sum(axis=1)
    others = total[:, None] - of_patient[:, cells[1]]
    shares = (in_value[:, cells[0]] - in_cell) / np.maximum(others, 1)
    guesses = shares == shares.max(axis=-1, keepdims=True)
    right = (in_cell * (guesses / guesses.sum(axis=-1, keepdims=True))).sum(axis=1)
    # A permutation may leave a label without clips.
    return np.asarray((right / np.maximum(total, 1)).sum(axis=1) / (total > 0).sum(axis=1), np.float64)


def _one_sided(values: pd.Series, clips: pd.DataFrame) -> str:
    """The values that point to one label almost only, as in "mpeg: healthy 24 of 24", the most frequent first."""
    texts = []
    for value, group in clips.groupby(values):
        label, most = next(iter(group["label"].value_counts().items()))
        if len(group) >= 3 and group["patient"].nunique() >= 2 and most >= 0.9 * len(group):
            texts.append((-len(group), f"{value}: {label} {most} of {len(group)}"))
    return "; ".join(text for _, text in sorted(texts))
