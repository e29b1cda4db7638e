"""Folds: train/test splits in which no patient stands on both sides."""

from __future__ import annotations

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


def by_patient(targets: IntArray, patients: np.ndarray, count: int, seed: int) -> list[Fold]:
    """Folds stratified by label and grouped by patient.

    Args:
        targets: (n,) numbers of labels.
        patients: (n,) names; all clips of a patient fall on one side of each fold.
        count: folds.
        seed: of the order of the patients.

    Raises:
        BadInput: a label has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    enough = {int(label): len(set(patients[targets == label])) for label in np.unique(targets)}
    if min(enough.values()) < count:
        raise BadInput(
            f"a label has clips of {min(enough.values())} patients only, {count} folds need at least {count} "
            "patients of each label; add patients or lower search.folds in params.yaml"
        )
    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    rows = np.zeros((len(targets), 1))
    return [Fold(np.asarray(train), np.asarray(test)) for train, test in splitter.split(rows, targets, patients)]


def inner_split(fold: Fold, targets: IntArray, patients: np.ndarray, count: int, seed: int) -> Fold:
    """Cut a fold's training part, again by patient: `train` to learn from, `test` to choose by.

    The fold's own test clips are in neither. One of `count` inner folds chooses.
    """
    inner = by_patient(targets[fold.train], patients[fold.train], count, seed)[0]
    return Fold(fold.train[inner.train], fold.train[inner.test])
