"""The trials of a search on disk, with no time and no run's identity: the same search writes the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lus.common.errors import BadInput
from lus.heads.model import HeadParams
from lus.search.trials import FoldScore, PartTrials, Trial, Trials

TRIALS_FILE = "trials.json"


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
