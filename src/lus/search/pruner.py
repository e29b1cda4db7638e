"""What ends a trial that falls behind others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

TO_COMPARE_WITH = 3
"""Finished trials before any is pruned."""
REPORTS_PER_FOLD = 4
"""Times in each inner fold at which a trial is compared with others."""


def make_pruner() -> optuna.pruners.BasePruner:
    """The median rule over the folds and epochs of a trial, on the values that `PruningReporter` reports.

    Of Optuna's other rules none fits a handful of folds: Wilcoxon's test of four pairs has no p below 1/16, so it could
    stop nothing before the last fold; Hyperband and successive halving compare with trials that were killed half-way
    too, so that a search which was ended would go on otherwise, and their brackets want hundreds of trials.
    """
    import optuna

    return optuna.pruners.MedianPruner(n_startup_trials=TO_COMPARE_WITH, n_warmup_steps=2, n_min_trials=2)


class PruningReporter:
    """What a trial reports on its way, so that it can be pruned.

    The value at a step is what the trial's loss would be if the folds not yet run came out no better than guessing. At
    one step that orders trials as their running means do; and it never rises, which the median rule relies on: it
    takes the lowest value that a trial had so far, and a plain running mean has that on the easiest of the first folds.

    The steps are quarters of a fold's epochs. A fold that stopped early counts in the rest of its quarters as it ended.
    """

    def __init__(self, trial: optuna.Trial, folds: int, epochs: int, labels: int) -> None:
        self._trial, self._folds, self._guess = trial, folds, math.log(labels)
        self._checks = [math.ceil(epochs * quarter / REPORTS_PER_FOLD) for quarter in range(1, REPORTS_PER_FOLD + 1)]
        self._done: list[float] = []
        self._next = 0

    def epoch(self, epoch: int, lowest: float) -> None:
        """Report an epoch of the current fold and its lowest validation loss so far.

        Raises:
            optuna.TrialPruned: others were better at this step.
        """
        while self._next < REPORTS_PER_FOLD and epoch >= self._checks[self._next]:
            self._report(lowest)

    def fold(self, loss: float) -> None:
        """Report the end of a fold.

        Raises:
            optuna.TrialPruned: others were better at this step.
        """
        while self._next < REPORTS_PER_FOLD:
            self._report(loss)
        self._done.append(min(loss, self._guess))
        self._next = 0

    def _report(self, loss: float) -> None:
        import optuna

        step = len(self._done) * REPORTS_PER_FOLD + self._next + 1
        self._next += 1
        if step == self._folds * REPORTS_PER_FOLD:
            return  # the end: nothing is left to be saved
        known = [*self._done, min(loss, self._guess)]
        left = self._folds - len(known)
        self._trial.report((sum(known) + left * self._guess) / self._folds, step)
        if self._trial.should_prune():
            raise optuna.TrialPruned
