"""What a search finds: for each part of the cohort every trial, with its scores on the inner folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lus.common.arrays import IntArray
from lus.heads.model import HeadParams

NUMBER = "number"
"""Attribute of an Optuna trial: its number in the search, since Optuna counts those too that were killed."""
FOLDS, CONFUSION, CURVES, VALIDATION = "folds", "confusion", "curves", "validation"
"""And what came out: its scores on the inner folds, their confusion matrices added up, its losses by epoch, and the
probabilities of the validation clips."""


@dataclass(frozen=True)
class FoldScore:
    """How a trial's head did on the validation clips of an inner fold.

    Attributes:
        loss, accuracy: at the best epoch; the loss is the mean cross-entropy in nats.
        epochs: up to the best one.
    """

    loss: float
    accuracy: float
    epochs: int


@dataclass(frozen=True)
class Trial:
    """A head that was tried, and its score on each inner fold; on the first ones alone where it was pruned."""

    number: int
    head: HeadParams
    folds: tuple[FoldScore, ...]
    pruned: bool = False

    @property
    def loss(self) -> float:
        """Mean validation loss over the folds: what the search makes small."""
        return float(np.mean([fold.loss for fold in self.folds])) if self.folds else float("inf")

    @property
    def accuracy(self) -> float:
        """Mean validation accuracy over the folds."""
        return float(np.mean([fold.accuracy for fold in self.folds])) if self.folds else 0.0

    @property
    def epochs(self) -> int:
        """Median of the best epochs."""
        return int(np.median([fold.epochs for fold in self.folds])) if self.folds else 0


@dataclass(frozen=True)
class PartTrials:
    """The trials of one part of the cohort.

    Attributes:
        part: its name, as in `folds.Part`.
        test: row numbers of the clips that it is tested on, which no trial has seen.
        trials: in the order of their numbers.
        validation: probabilities (labels) that the best trial gave each validation clip, in the order of the inner
            folds and of the clips in each.
    """

    part: str
    test: IntArray
    trials: tuple[Trial, ...]
    validation: tuple[tuple[float, ...], ...] = ()

    @property
    def best(self) -> Trial:
        """The trial with the lowest loss among those that ran to their end."""
        return min((trial for trial in self.trials if not trial.pruned), key=lambda trial: trial.loss)


@dataclass(frozen=True)
class Trials:
    """The trials of a feature set."""

    feature_set: str
    parts: tuple[PartTrials, ...]

    def get_part(self, part: str) -> PartTrials:
        """The trials of a part."""
        return next(one for one in self.parts if one.part == part)
