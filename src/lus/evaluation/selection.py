"""Candidates: feature sets with the heads tried on them, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lus.common.arrays import FloatArray, IntArray
from lus.common.errors import BadInput
from lus.common.params import Folds
from lus.features import featureset
from lus.features.featureset import FeatureSet
from lus.metrics import calibration
from lus.metrics.calibration import Temperature
from lus.search import trials_file
from lus.search.trials import Trial, Trials
from lus.splits import folds
from lus.splits.folds import Fold, Part


@dataclass(frozen=True)
class Candidate:
    """A feature set, the parts in which its heads were searched, and the heads."""

    data: FeatureSet
    tried: Trials
    parts: dict[str, Part]


@dataclass(frozen=True)
class Choice:
    """What was chosen for a part of the cohort.

    Attributes:
        candidate, trial: the feature set and the head.
        inner: the folds by whose scores.
        longest: epochs that any trial of the part took to its best one in any of these folds.
        temperature: fitted on what the head gave these clips, trained without them.
        why: why the temperature is 1; empty where it was fitted.
    """

    candidate: Candidate
    trial: Trial
    inner: tuple[Fold, ...]
    longest: int
    temperature: float
    why: str

    @property
    def validation(self) -> IntArray:
        """Row numbers of the clips by whose scores."""
        return np.concatenate([fold.test for fold in self.inner])


def read(build: Path, names: Sequence[str], cut: Folds) -> list[Candidate]:
    """Read these feature sets and their searches.

    Raises:
        BadInput: one is missing, or was searched in other clips or folds than `cut` gives, so that scores cannot be
            compared.
    """
    found = []
    for name in names:
        data = featureset.read(build / "features" / name)
        tried = trials_file.read(build / "search" / name)
        parts = {part.name: part for part in data.parts(cut)}
        for one in tried.parts:
            expected = parts[one.part].test if one.part in parts else None
            if expected is None or not np.array_equal(one.test, expected):
                raise BadInput(
                    f"{name}: its search has other clips or folds than params.yaml; `dvc repro` makes it anew"
                )
        found.append(Candidate(data, tried, parts))
    for other in found[1:]:
        if not found[0].data.clips["clip_id"].equals(other.data.clips["clip_id"]):
            raise BadInput(f"{other.data.name} and {found[0].data.name} have other clips; `dvc repro` makes both anew")
    return found


def choose(candidates: Sequence[Candidate], part: str) -> Choice:
    """The feature set and head with the lowest validation loss among the searches of a part.

    Backbones that were trained on LUS frames have been validated on the first inner fold alone. Where such a feature
    set stands beside others, all are compared on that fold, that is on the same patients; its own loss remains a
    little too low, since its backbone's epoch was chosen by them.

    Args:
        candidates: to choose from.
        part: its name.
    """
    best = [(one, one.tried.get_part(part).best) for one in candidates]
    first_fold_alone = any(one.data.info.folds is not None for one in candidates)
    chosen, trial = min(best, key=lambda pair: pair[1].folds[0].loss if first_fold_alone else pair[1].loss)
    tried, inner = chosen.tried.get_part(part), chosen.parts[part].inner
    rows = np.concatenate([fold.test for fold in inner])
    given = np.array(tried.validation, np.float32)
    fitted = fit_temperature(given, folds.targets(chosen.data.clips)[rows], folds.groups(chosen.data.clips)[rows])
    longest = max(fold.epochs for one in tried.trials for fold in one.folds)
    return Choice(chosen, trial, inner, longest, fitted.value, fitted.why)


def fit_temperature(given: FloatArray, targets: IntArray, groups: np.ndarray) -> Temperature:
    """The temperature of validation clips; 1, and why, where a training diverged and gave some no probabilities.

    Args:
        given: (n, labels), or fewer rows than there are clips.
        targets: (n,) numbers of labels.
        groups: (n,) names of those whose clips are not independent.
    """
    if len(given) != len(targets) or not np.isfinite(given).all():
        return Temperature(1.0, 0, "a training diverged and gave its clips no probabilities")
    return calibration.fit(given, targets, groups)
