from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lus.common.errors import BadInput
from lus.heads.model import HeadParams
from lus.search import trials_file
from lus.search.trials import FoldScore, PartTrials, Trial, Trials


def _trial(number: int, *losses: float, pruned: bool = False) -> Trial:
    scores = tuple(FoldScore(loss, 0.5, 2 * n + 1) for n, loss in enumerate(losses))
    return Trial(number, HeadParams(units=number + 1), scores, pruned)


FOUND = Trials(
    "xception-20",
    (
        PartTrials(
            "fold-0",
            np.array([0, 1]),
            (_trial(0, 1.0, 1.2), _trial(1, 0.5, 0.9), _trial(2, 0.1, math.inf)),
            ((0.9, 0.1), (0.25, 0.75)),
        ),
        PartTrials("all", np.array([], np.int64), (_trial(0, 1.0, 1.2), _trial(1, 0.2, pruned=True))),
    ),
)


def test_what_is_written_is_read_and_the_same_bytes_come_out_twice(tmp_path: Path) -> None:
    first, second = trials_file.write(tmp_path / "a", FOUND), trials_file.write(tmp_path / "b", FOUND)
    assert first.read_bytes() == second.read_bytes()
    again = trials_file.read(tmp_path / "a")
    for part, before in zip(again.parts, FOUND.parts, strict=True):
        assert part.trials == before.trials
        assert part.test.tolist() == before.test.tolist()
        assert part.validation == before.validation


def test_the_best_trial_has_the_lowest_mean_loss_and_one_that_diverged_never_is() -> None:
    found = FOUND.get_part("fold-0")
    assert found.best.number == 1
    assert found.trials[1].loss == pytest.approx(0.7)
    assert found.trials[1].epochs == 2


def test_a_trial_that_was_pruned_is_never_the_best() -> None:
    assert FOUND.get_part("all").best.number == 0


def test_a_missing_search_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="`dvc repro search` makes it"):
        trials_file.read(tmp_path)


def test_a_file_of_an_earlier_version_says_what_makes_it_anew(tmp_path: Path) -> None:
    (tmp_path / trials_file.TRIALS_FILE).write_text('{"feature_set": "xception-20", "folds": [], "trials": []}')
    with pytest.raises(BadInput, match="`dvc repro search` makes it anew"):
        trials_file.read(tmp_path)
