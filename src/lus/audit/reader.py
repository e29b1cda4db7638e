"""What an evaluation has written -> what an audit needs of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lus import cohort, folds, protocols
from lus.arrays import IntArray
from lus.audit.record import Evaluation, FoldRecord
from lus.errors import BadInput

PREDICTIONS, METRICS = Path("evaluation/predictions.csv"), Path("evaluation/metrics.json")
NEAR_DUPLICATES, COHORT = Path("checks/near-duplicates.csv"), Path("cohort.csv")
COLUMNS = ("clip_id", "path", "patient", "label", "fold")


def read(build: Path) -> Evaluation:
    """Read an evaluation, as far as its files say what it was.

    They do not say which clips a choice or a statistic rests on, nor which weights a fold started from.

    Args:
        build: the folder of the stages' results.

    Raises:
        BadInput: a file is missing or is something else.
    """
    predictions, figures = _predictions(build / PREDICTIONS), _json(build / METRICS)
    rule = protocols.RULES.get(str(figures.get("protocol")))
    if rule is None:
        known = ", ".join(protocols.RULES)
        raise BadInput(
            f"{build / METRICS}: protocol {figures.get('protocol')} found, one of {known} expected; `dvc repro "
            "evaluate` makes it anew"
        )
    return Evaluation(
        clips=_with_sources(predictions, build / COHORT),
        folds=_folds(predictions, figures, build / METRICS),
        probabilities=predictions[_probabilities(predictions)].to_numpy(np.float32),
        near_duplicates=_near_duplicates(build / NEAR_DUPLICATES),
        folds_alike=rule.folds_alike,
        stated_leak=rule.why,
    )


def _predictions(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise BadInput(f"{path}: not found; `dvc repro evaluate` makes it")
    text = dict.fromkeys(("clip_id", "path", "patient", "label"), str)
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: is no table of predictions ({error}); `dvc repro evaluate` makes it anew") from None
    expected = [*COLUMNS, *(_probabilities(table) if "label" in table else ())]
    missing = [column for column in expected if column not in table]
    if missing or table.empty:
        what = f"has no column {', '.join(missing)}" if missing else "has no clip"
        raise BadInput(f"{path}: {what}; `dvc repro evaluate` makes it anew")
    strange = [column for column in expected if column not in text and table[column].dtype.kind not in "if"]
    if strange or table["fold"].dtype.kind != "i":
        column = (strange or ["fold"])[0]
        raise BadInput(f"{path}: a number was expected in every row of {column}; `dvc repro evaluate` makes it anew")
    return table


def _probabilities(predictions: pd.DataFrame) -> list[str]:
    """The columns of probabilities in the order of the labels."""
    return [f"p_{name}" for name in folds.label_names(predictions)]


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadInput(f"{path}: not found; `dvc repro evaluate` makes it") from None
    except ValueError as error:
        raise BadInput(f"{path}: is no JSON ({error}); `dvc repro evaluate` makes it anew") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path}: holds no figures; `dvc repro evaluate` makes it anew")
    return content


def _folds(predictions: pd.DataFrame, figures: dict[str, Any], path: Path) -> tuple[FoldRecord, ...]:
    """Every fold trains on all clips that it does not test, as the protocols do that test each clip once."""
    accuracies = {one.get("fold"): one.get("accuracy") for one in figures.get("folds", [])}
    numbers = sorted(int(number) for number in predictions["fold"].unique())
    if sorted(accuracies) != numbers:
        raise BadInput(
            f"{path}: figures of the folds {sorted(accuracies)} found, of {numbers} expected as in {PREDICTIONS.name}; "
            "`dvc repro evaluate` makes both anew"
        )
    rows: IntArray = np.arange(len(predictions))
    tested = predictions["fold"].to_numpy()
    return tuple(
        FoldRecord(f"fold {number}", rows[tested != number], rows[tested == number], accuracy=accuracies[number])
        for number in numbers
    )


def _with_sources(predictions: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The evaluated clips with their sources, where there is a cohort table and any are known."""
    clips = predictions[["clip_id", "path", "label", "patient"]]
    if not path.is_file():
        return clips
    sources = cohort.read(path).set_index("clip_id")["source"]
    lost = clips.loc[~clips["clip_id"].isin(sources.index), "path"]
    if len(lost):
        raise BadInput(f"{path}: has no clip {lost.iloc[0]}, which was evaluated; `dvc repro evaluate` makes it anew")
    found = clips["clip_id"].map(sources)
    return clips.assign(source=found) if found.any() else clips


def _near_duplicates(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    missing = [column for column in ("path", "other_path", "distance") if column not in table]
    if missing:
        raise BadInput(f"{path}: has no column {', '.join(missing)}; `dvc repro frames` makes it anew")
    return table
