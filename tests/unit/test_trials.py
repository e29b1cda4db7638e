from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lus import trials
from lus.errors import BadInput
from lus.folds import Fold
from lus.heads import HeadParams
from lus.trials import FoldScore, Trial, Trials


def _trial(number: int, *losses: float) -> Trial:
    return Trial(
        number, HeadParams(units=number + 1), tuple(FoldScore(loss, 0.5, 2 * n + 1) for n, loss in enumerate(losses))
    )


FOUND = Trials(
    "xception-20",
    (Fold(np.array([2, 3]), np.array([0, 1])), Fold(np.array([0, 1]), np.array([2, 3]))),
    (_trial(0, 1.0, 1.2), _trial(1, 0.5, 0.9), _trial(2, 0.1, math.inf)),
)


def test_what_is_written_is_read_and_the_same_bytes_come_out_twice(tmp_path: Path) -> None:
    first, second = trials.write(tmp_path / "a", FOUND), trials.write(tmp_path / "b", FOUND)
    assert first.read_bytes() == second.read_bytes()
    again = trials.read(tmp_path / "a", 4)
    assert again.trials == FOUND.trials
    for fold, before in zip(again.folds, FOUND.folds, strict=True):
        assert fold.train.tolist() == before.train.tolist()
        assert fold.test.tolist() == before.test.tolist()


def test_the_best_trial_has_the_lowest_mean_loss_and_one_that_diverged_never_is() -> None:
    assert FOUND.best.number == 1
    assert FOUND.trials[1].loss == pytest.approx(0.7)
    assert FOUND.trials[1].epochs == 2


def test_a_missing_search_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="`dvc repro search` makes it"):
        trials.read(tmp_path, 4)
