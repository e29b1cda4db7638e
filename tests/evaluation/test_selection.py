from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lus.common.errors import BadInput
from lus.evaluation import selection
from lus.evaluation.selection import Candidate
from lus.features import featureset
from lus.features.featureset import Info
from lus.heads.model import HeadParams
from lus.search.trials import FoldScore, PartTrials, Trial, Trials
from lus.splits import folds
from tests.small_runs import (
    CUT,
    LENGTH,
    NAMES,
    SIZE,
    feature_set,
    made_clips,
)


def test_beside_backbones_trained_for_each_part_all_are_compared_on_the_fold_that_these_were_validated_on() -> None:
    rows = np.arange(2)
    part = folds.Part("all", rows, rows[:0], (folds.Fold(rows[:1], rows[1:]), folds.Fold(rows[1:], rows[:1])))

    def candidate(name: str, losses: tuple[float, ...], cut: dict[str, int] | None) -> Candidate:
        trial = Trial(0, HeadParams(), tuple(FoldScore(loss, 0.5, 1) for loss in losses))
        info = Info(name, LENGTH, 8, SIZE, SIZE, "x", "", folds=cut)
        data = featureset.FeatureSet(Path(name), np.zeros((2, LENGTH, 8), np.float32), made_clips(2), info)
        return Candidate(data, Trials(name, (PartTrials("all", rows[:0], (trial,)),)), {"all": part})

    def backbone(*among: Candidate) -> str:
        return selection.choose(among, "all").candidate.data.info.backbone

    others = candidate("even", (0.5, 0.5), None), candidate("easy-first", (0.3, 0.9), None)
    assert backbone(*others) == "even"
    trained = candidate("trained", (0.4,), CUT.model_dump())
    assert backbone(*others, trained) == "easy-first"


def test_what_is_missing_is_named(project: Path) -> None:
    feature_set(project)
    with pytest.raises(BadInput, match="`dvc repro search` makes it"):
        selection.read(project, NAMES, CUT)
    with pytest.raises(BadInput, match="`dvc repro features` makes it"):
        featureset.read(project / "features" / "xception-9")
