"""CNNs trained on the cohort's own frames, as `pretrain` writes them: a weights file for each part of the cohort."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lus.common.errors import BadInput
from lus.splits import folds

INFO_FILE = "info.json"


def weights_file(part: str) -> str:
    """The name of the file with the weights for a part."""
    return f"{part}.weights.h5"


def cohort_digest(clips: pd.DataFrame) -> str:
    """SHA-256 of what says which clips a part holds: their contents, labels and patients."""
    table = clips[["clip_id", "label", "patient"]].assign(group=folds.groups(clips))
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


def write_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Write what stands beside the weights: the backbone, the kind of its weights and its parts; none where none are
    trained. Then also the cohort, by its digest, and how its patients were cut.
    """
    (folder / INFO_FILE).write_text(json.dumps(info, indent=2) + "\n")


def read(folder: Path, clips: pd.DataFrame) -> tuple[dict[str, str | Path], dict[str, Any]]:
    """The weights file of each part, and how the patients were cut into parts.

    Args:
        folder: that `pretrain` wrote.
        clips: the cohort that they are to be used on.

    Raises:
        BadInput: no backbone was trained there, or it was on another cohort, whose parts hold other clips: a fold's
            backbone might then know test clips of the fold.
    """
    file = folder / INFO_FILE
    info = json.loads(file.read_text()) if file.is_file() else {"parts": {}}
    if not info["parts"]:
        raise BadInput(
            f"{folder}: holds no weights trained on the cohort's own frames; `dvc repro pretrain` makes them"
        )
    if info["cohort"] != cohort_digest(clips):
        raise BadInput(f"{folder}: trained on other clips, labels or patients; `dvc repro pretrain` trains it anew")
    return {part: folder / weights_file(part) for part in info["parts"]}, info["folds"]
