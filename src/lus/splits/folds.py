"""Folds: train/test splits in which no patient stands on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lus.common.arrays import IntArray
from lus.common.errors import BadInput
from lus.common.params import Folds

ALL = "all"
"""The part that is the whole cohort."""


@dataclass(frozen=True)
class Fold:
    """Row numbers of a table: the clips trained on and the clips tested on."""

    train: IntArray
    test: IntArray


@dataclass(frozen=True)
class Part:
    """A part of the cohort in which everything is trained and chosen without a look at the rest.

    Attributes:
        name: `fold-0`, `fold-1`, ... for the outer folds; `all` for the whole cohort, from which the classifier to be
            registered is made.
        train: row numbers of its clips.
        test: row numbers of the clips that it is tested on, of other patients; none for `all`.
        inner: folds of `train` by patient, to choose by.
    """

    name: str
    train: IntArray
    test: IntArray
    inner: tuple[Fold, ...]


def label_names(clips: pd.DataFrame) -> list[str]:
    """The labels of a table in alphabetical order: a label's number is its place in this list."""
    return sorted(clips["label"].unique())


def groups(clips: pd.DataFrame) -> np.ndarray:
    """Who must stand on one side of every cut: (n,) names.

    These are the patients; where the checks found that several of them show the same scan
    (`near_duplicates.group_patients`), they are one group, for they are not independent.
    """
    return clips["group" if "group" in clips else "patient"].to_numpy(str)


def targets(clips: pd.DataFrame) -> IntArray:
    """The number of each clip's label: (n,) int64."""
    names = label_names(clips)
    return np.array([names.index(label) for label in clips["label"]], np.int64)


def by_patient(
    targets: IntArray, patients: np.ndarray, count: int, seed: int, names: Sequence[str], key: str = "folds.outer"
) -> list[Fold]:
    """Folds stratified by label and grouped by patient.

    Args:
        targets: (n,) numbers of labels.
        patients: (n,) names; all clips of a patient fall on one side of each fold.
        count: folds.
        seed: of the order of the patients.
        names: of the labels, for the error.
        key: the parameter that sets `count`, for the error.

    Raises:
        BadInput: a label has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for label in np.unique(targets):
        found = len(set(patients[targets == label]))
        if found < count:
            raise BadInput(
                f"label {names[label]} has clips of {found} patients to cut into {count} folds, at least {count} are "
                f"needed; add patients of it or lower {key} in params.yaml"
            )
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    rows = np.zeros((len(targets), 1))
    return [Fold(np.asarray(train), np.asarray(test)) for train, test in splitter.split(rows, targets, patients)]


def part(clips: pd.DataFrame, name: str, train: IntArray, test: IntArray, params: Folds) -> Part:
    """A part of a cohort, with inner folds of its training clips by patient.

    Args:
        clips: the cohort table.
        name: of the part.
        train, test: row numbers.
        params: number of inner folds, and seed.

    Raises:
        BadInput: a label has too few patients in `train`.
    """
    numbers, patients = targets(clips)[train], groups(clips)[train]
    _refuse_uneven_cut(clips, name, train, params)
    inner = by_patient(numbers, patients, params.inner, params.seed, label_names(clips), "folds.inner")
    return Part(name, train, test, tuple(Fold(train[one.train], train[one.test]) for one in inner))


def _refuse_uneven_cut(clips: pd.DataFrame, name: str, train: IntArray, params: Folds) -> None:
    """Refuse a part in which a label has too few patients though the cohort has enough.

    Patients with clips of several labels are cut so that all of these are spread: one fold may test two of the few
    patients of a label. Another seed rarely changes that, as the order of such patients is given by their clips.
    """
    everybody = clips.assign(group=groups(clips))
    several = everybody.groupby("group")["label"].nunique() > 1
    for label, own in everybody.groupby("label")["group"]:
        left = everybody.iloc[train].loc[lambda rows, label=label: rows["label"] == label, "group"].nunique()
        if left < params.inner < own.nunique() and several[own.unique()].any():
            lower = f"lower folds.inner to {left} in params.yaml, " if left >= 2 else ""
            raise BadInput(
                f"label {label} has {own.nunique()} patients, {left} of them outside the test part {name}, at least "
                f"{params.inner} are needed there: {int(several[own.unique()].sum())} have clips of other labels too, "
                f"so that they could not be spread evenly; {lower}give each patient one label where that is right, or "
                "add patients whose clips have this label alone"
            )


def whole(clips: pd.DataFrame, params: Folds) -> Part:
    """The part that is the whole cohort.

    Raises:
        BadInput: a label has too few patients.
    """
    return part(clips, ALL, np.arange(len(clips)), np.array([], np.int64), params)


def fold_name(number: int) -> str:
    """The name of an outer fold's part, as in `fold-0`."""
    return f"fold-{number}"


def plan(clips: pd.DataFrame, params: Folds) -> list[Part]:
    """The parts of a cohort: one for each outer fold, in their order, and the whole of it as the last.

    Raises:
        BadInput: a label has too few patients.
    """
    outer = by_patient(targets(clips), groups(clips), params.outer, params.seed, label_names(clips))
    of_folds = [part(clips, fold_name(number), fold.train, fold.test, params) for number, fold in enumerate(outer)]
    return [*of_folds, whole(clips, params)]
