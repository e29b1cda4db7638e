"""The objective of a study: a trial and its head -> the head's mean validation loss over the inner folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lus.common.arrays import FloatArray, IntArray
from lus.common.params import Search
from lus.heads import training
from lus.heads.model import HeadParams
from lus.heads.training import History, TrainedHead
from lus.search import trials
from lus.search.pruner import PruningReporter
from lus.search.trials import FoldScore, Trial
from lus.splits.folds import Fold

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class StudyData:
    """All that a study's trials learn from and are scored by.

    Attributes:
        features: (n, length, dim) of the whole cohort, of which a trial sees the rows of the inner folds.
        targets: (n,) numbers of the clips' labels.
        labels: how many labels there are.
        inner: the folds.
    """

    features: FloatArray
    targets: IntArray
    labels: int
    inner: Sequence[Fold]


class TrialObserver(Protocol):
    """Is told how a trial goes on; nothing that it does reaches the trial."""

    def epoch(self) -> None:
        """An epoch has ended."""

    def fold(self, number: int, score: FoldScore, history: History) -> None:
        """An inner fold has ended."""

    def end(self, trial: Trial) -> None:
        """The trial has ended, with the inner folds that it came to."""


def score(trained: TrainedHead, truth: IntArray) -> FoldScore:
    """How a head does on the clips that it was validated on, at its best epoch.

    Args:
        trained: the head.
        truth: (n,) numbers of the clips' labels.
    """
    history, probabilities = trained.history, trained.probabilities
    best = history.best_epoch
    loss = history.val_loss[best - 1]
    if probabilities is None or not np.isfinite(loss):
        return FoldScore(math.inf, history.val_accuracy[best - 1], best)  # diverged: the worst there is
    return FoldScore(*training.loss_and_accuracy(probabilities, truth), best)


def try_head(trial: optuna.Trial, head: HeadParams, data: StudyData, params: Search, observer: TrialObserver) -> float:
    """Train a head on each inner fold's training clips; returns its mean loss on the validation clips.

    Neither holds a test clip of the part, so the loss may be used to choose. What came out is kept in the trial's
    attributes, also of one that is pruned or raises.

    Raises:
        optuna.TrialPruned: it fell behind.
    """
    reporter = PruningReporter(trial, len(data.inner), params.epochs, data.labels)
    found = _Found(data.labels)

    def on_epoch_end(epoch: int, lowest: float) -> None:
        observer.epoch()
        reporter.epoch(epoch, lowest)

    try:
        for number, inner in enumerate(data.inner):
            truth = data.targets[inner.test]
            trained = training.train(
                head,
                data.features[inner.train],
                data.targets[inner.train],
                data.labels,
                epochs=params.epochs,
                seed=params.seed + number,
                validation=(data.features[inner.test], truth),
                patience=params.patience,
                on_epoch_end=on_epoch_end,
            )
            found.add(trained, truth)
            observer.fold(number, found.scores[-1], trained.history)
            reporter.fold(found.scores[-1].loss)
    finally:
        found.keep(trial)
        tried = Trial(trial.user_attrs[trials.NUMBER], head, tuple(found.scores))
        observer.end(tried)
    return tried.loss


class _Found:
    """What came out of a trial's inner folds so far."""

    def __init__(self, labels: int) -> None:
        self.scores: list[FoldScore] = []
        self._curves: list[dict[str, Any]] = []
        self._confusion = np.zeros((labels, labels), np.int64)
        self._validation: list[list[float]] = []

    def add(self, trained: TrainedHead, truth: IntArray) -> None:
        self.scores.append(score(trained, truth))
        self._curves.append(asdict(trained.history))
        if trained.probabilities is not None:
            self._validation += [[_shortest(one) for one in row] for row in trained.probabilities]
            np.add.at(self._confusion, (truth, trained.probabilities.argmax(axis=1)), 1)

    def keep(self, trial: optuna.Trial) -> None:
        trial.set_user_attr(trials.FOLDS, [asdict(one) for one in self.scores])
        trial.set_user_attr(trials.CURVES, self._curves)
        trial.set_user_attr(trials.CONFUSION, self._confusion.tolist())
        trial.set_user_attr(trials.VALIDATION, self._validation)


def _shortest(value: np.float32) -> float:
    """The number with the fewest digits that reads back as the same float32: exact, and short where it is written."""
    return float(str(np.float32(value)))
