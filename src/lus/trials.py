"""What a search found, on disk: for each part of the cohort every trial, with its scores on the inner folds.

The file holds no time and no run's identity, so that the same search writes the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lus.arrays import IntArray
from lus.errors import BadInput
from lus.heads import HeadParams

TRIALS_FILE = "trials.json"


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

    def of(self, part: str) -> PartTrials:
        """The trials of a part."""
        return next(one for one in self.parts if one.part == part)


def write(folder: Path, found: Trials) -> Path:
    """Write the trials; returns the file."""
    content = {"feature_set": found.feature_set, "parts": [_part_json(one) for one in found.parts]}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / TRIALS_FILE
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def _part_json(one: PartTrials) -> dict[str, Any]:
    tried = [
        {
            "number": trial.number,
            "state": "pruned" if trial.pruned else "finished",
            "loss": trial.loss,
            "accuracy": trial.accuracy,
            "head": trial.head.to_dict(),
            "folds": [vars(fold) for fold in trial.folds],
        }
        for trial in one.trials
    ]
    return {"part": one.part, "test": one.test.tolist(), "trials": tried, "validation": one.validation}


def read(folder: Path) -> Trials:
    """Read what `write` wrote.

    Raises:
        BadInput: there is no such file.
    """
    path = folder / TRIALS_FILE
    if not path.is_file():
        raise BadInput(f"{path}: not found; `dvc repro search` makes it")
    content = json.loads(path.read_text())
    if "parts" not in content or not all("validation" in part for part in content["parts"]):
        raise BadInput(f"{path}: written by another version of this project; `dvc repro search` makes it anew")
    return Trials(content["feature_set"], tuple(_part_of(one) for one in content["parts"]))


def _part_of(content: dict[str, Any]) -> PartTrials:
    tried = tuple(
        Trial(
            one["number"],
            HeadParams.from_dict(one["head"]),
            tuple(FoldScore(**fold) for fold in one["folds"]),
            one["state"] == "pruned",
        )
        for one in content["trials"]
    )
    validation = tuple(tuple(row) for row in content["validation"])
    return PartTrials(content["part"], np.array(content["test"], np.int64), tried, validation)
