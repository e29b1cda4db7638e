"""Folds: train/test splits in which no patient stands on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lus.arrays import IntArray
from lus.errors import BadInput


@dataclass(frozen=True)
class Fold:
    """Row numbers of a table: the clips trained on and the clips tested on."""

    train: IntArray
    test: IntArray


def label_names(clips: pd.DataFrame) -> list[str]:
    """The labels of a table in alphabetical order: a label's number is its place in this list."""
    return sorted(clips["label"].unique())


def targets(clips: pd.DataFrame) -> IntArray:
    """The number of each clip's label: (n,) int64."""
    names = label_names(clips)
    return np.array([names.index(label) for label in clips["label"]], np.int64)


def by_patient(
    targets: IntArray, patients: np.ndarray, count: int, seed: int, names: Sequence[str], key: str = "search.folds"
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


def inner_split(
    fold: Fold, targets: IntArray, patients: np.ndarray, count: int, seed: int, names: Sequence[str]
) -> Fold:
    """Cut a fold's training part once more by patient: `train` to learn from, `test` to choose by.

    The fold's own test clips are in neither. The first of `count` inner folds is the one to choose by.

    Raises:
        BadInput: a label has too few patients in the training part.
    """
    patients_, targets_ = patients[fold.train], targets[fold.train]
    inner = by_patient(targets_, patients_, count, seed, names, "search.inner_folds")[0]
    return Fold(fold.train[inner.train], fold.train[inner.test])
