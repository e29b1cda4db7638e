"""What a search found, on disk: every trial with its scores on every fold.

The file holds no time and no run's identity, so that the same search writes the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lus.errors import BadInput
from lus.folds import Fold
from lus.heads import HeadParams

TRIALS_FILE = "trials.json"


@dataclass(frozen=True)
class FoldScore:
    """How a trial's head did on the validation part of a fold's training clips.

    Attributes:
        loss, accuracy: at the best epoch; the loss is the mean cross-entropy in nats.
        epochs: up to the best one.
    """

    loss: float
    accuracy: float
    epochs: int


@dataclass(frozen=True)
class Trial:
    """A head that was tried, and its score on each fold."""

    number: int
    head: HeadParams
    folds: tuple[FoldScore, ...]

    @property
    def loss(self) -> float:
        """Mean validation loss over the folds: what the search makes small."""
        return float(np.mean([fold.loss for fold in self.folds]))

    @property
    def accuracy(self) -> float:
        """Mean validation accuracy over the folds."""
        return float(np.mean([fold.accuracy for fold in self.folds]))

    @property
    def epochs(self) -> int:
        """Median of the best epochs."""
        return int(np.median([fold.epochs for fold in self.folds]))


@dataclass(frozen=True)
class Trials:
    """The trials of a feature set and the outer folds they share."""

    feature_set: str
    folds: tuple[Fold, ...]
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial with the lowest loss over all folds."""
        return min(self.trials, key=lambda trial: trial.loss)


def write(folder: Path, found: Trials) -> Path:
    """Write the trials; returns the file."""
    content: dict[str, Any] = {
        "feature_set": found.feature_set,
        "folds": [{"test": fold.test.tolist()} for fold in found.folds],
        "trials": [
            {
                "number": trial.number,
                "loss": trial.loss,
                "accuracy": trial.accuracy,
                "head": trial.head.to_dict(),
                "folds": [vars(fold) for fold in trial.folds],
            }
            for trial in found.trials
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / TRIALS_FILE
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def read(folder: Path, clips: int) -> Trials:
    """Read what `write` wrote.

    Args:
        folder: of the search.
        clips: rows of the feature set, which the folds cut.

    Raises:
        BadInput: there is no such file.
    """
    path = folder / TRIALS_FILE
    if not path.is_file():
        raise BadInput(f"{path}: not found; `dvc repro search` makes it")
    content = json.loads(path.read_text())
    folds = []
    for fold in content["folds"]:
        test = np.array(fold["test"], np.int64)
        folds.append(Fold(np.setdiff1d(np.arange(clips), test), test))
    trials = tuple(
        Trial(
            one["number"],
            HeadParams.from_dict(one["head"]),
            tuple(FoldScore(**fold) for fold in one["folds"]),
        )
        for one in content["trials"]
    )
    return Trials(content["feature_set"], tuple(folds), trials)
