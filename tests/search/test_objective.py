from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lus.heads import training
from lus.heads.model import HeadParams
from lus.heads.training import History, TrainedHead
from lus.metrics import calibration
from lus.search import objective, trials
from lus.search.objective import StudyData
from lus.splits.folds import Fold
from tests.small_runs import SEARCH


class _Trial:
    """What `try_head` asks of a trial of Optuna's."""

    def __init__(self) -> None:
        self.user_attrs: dict[str, Any] = {trials.NUMBER: 0}
        self.number = 0

    def set_user_attr(self, name: str, value: Any) -> None:
        self.user_attrs[name] = json.loads(json.dumps(value))  # as a study's storage does

    def report(self, value: float, step: int) -> None: ...

    def should_prune(self) -> bool:
        return False


class _Nobody:
    def epoch(self) -> None: ...

    def fold(self, number: int, score: trials.FoldScore, history: History) -> None: ...

    def end(self, trial: trials.Trial) -> None: ...


def test_validation_probabilities_are_kept_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    # A head that is too sure: what it gives the other labels lies below the sixth digit.
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(40, 3)) * 8
    targets = (np.exp(logits / 5).cumsum(1) / np.exp(logits / 5).sum(1)[:, None] < rng.random((40, 1))).sum(1)
    given = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)

    def trained(*_: object, **__: object) -> TrainedHead:
        history = History((0.5,), (0.5,), (0.5,), (0.5,))
        return TrainedHead(HeadParams(), (), np.zeros(4, np.float32), np.ones(4, np.float32), history, given)

    monkeypatch.setattr(training, "train", trained)
    trial = _Trial()
    rows = np.arange(40)
    data = StudyData(np.zeros((40, 2, 4), np.float32), targets, 3, [Fold(rows, rows)])
    objective.try_head(trial, HeadParams(), data, SEARCH, _Nobody())  # type: ignore[arg-type]
    kept = np.array(trial.user_attrs[trials.VALIDATION], np.float32)
    assert (kept == given).all()
    assert max(len(str(one)) for row in trial.user_attrs[trials.VALIDATION] for one in row) < 16
    assert calibration.fit(kept, targets).value == calibration.fit(given, targets).value
    # The sixth digit is not enough.
    assert calibration.fit(given.round(6), targets).value > 1.02 * calibration.fit(given, targets).value
