"""An evaluation as its stage writes it for an audit, and what an audit found of it: files <-> records.

`record.json` holds what the predictions do not say: on what each fold was trained, chosen and normalised, and with
which weights its head began. The answers themselves are read from `predictions.csv`, so that an audit looks at what
was published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lus.audit.record import Audit, Evaluation, FoldRecord, Predict
from lus.common.arrays import FloatArray, IntArray
from lus.common.errors import BadInput
from lus.splits import folds

PREDICTIONS, RECORD, AUDIT = "predictions.csv", "record.json", "audit.json"
NEAR_DUPLICATES = Path("checks/near-duplicates.csv")
CLIP_COLUMNS = ("clip_id", "path", "label", "patient", "source")
DECIMALS = 5
"""Of stored probabilities."""


def write(folder: Path, evaluation: Evaluation) -> None:
    """Write all of an evaluation but its predictions and its near-duplicates."""
    rows = np.arange(len(evaluation.clips))
    content = {
        "stated_leak": evaluation.stated_leak,
        "folds_alike": evaluation.folds_alike,
        "seed": evaluation.seed,
        "clips": evaluation.clips[[name for name in CLIP_COLUMNS if name in evaluation.clips]].to_dict("records"),
        "folds": [_fold_json(fold, rows) for fold in evaluation.folds],
        "leave_source_out": _numbers(evaluation.leave_source_out),
    }
    (folder / RECORD).write_text(json.dumps(content, indent=1) + "\n")


def _fold_json(fold: FoldRecord, rows: IntArray) -> dict[str, Any]:
    accuracy = fold.accuracy if fold.accuracy is None or np.isfinite(fold.accuracy) else None
    return {
        "name": fold.name,
        "train": fold.train.tolist(),
        "test": fold.test.tolist(),
        "chosen_on": _lists(fold.chosen_on),
        "statistics_from": _lists(fold.statistics_from),
        "initial_weights": fold.initial_weights,
        "final_weights": fold.final_weights,
        "untrained": _numbers(fold.untrained(rows)) if fold.untrained else None,
        "accuracy": accuracy,
    }


def _lists(given: Mapping[str, IntArray] | None) -> dict[str, list[int]] | None:
    return None if given is None else {what: rows.tolist() for what, rows in given.items()}


def _numbers(values: FloatArray | None) -> list[list[float | None]] | None:
    """Rounded; None for what is not a number, which JSON does not know."""
    if values is None:
        return None
    rounded = np.asarray(values, np.float64).round(DECIMALS)
    return [[float(one) if np.isfinite(one) else None for one in row] for row in rounded]


def write_audit(folder: Path, found: Audit) -> None:
    """Write what was found."""
    (folder / AUDIT).write_text(json.dumps(as_json(found), indent=2) + "\n")


def as_json(found: Audit) -> dict[str, Any]:
    """What was found, as plain values: leaking, findings, passed, unknown."""
    findings = [one.to_json() for one in found.findings]
    return {"leaking": found.leaking, "findings": findings, "passed": found.passed, "unknown": found.unknown}


def read(build: Path, folder: Path | None = None) -> Evaluation:
    """Read the evaluation of a build.

    Args:
        build: the folder of the stages' results.
        folder: of the evaluation, if it is not `evaluation` in there.

    Raises:
        BadInput: a file is missing or is something else.
    """
    folder = folder or build / "evaluation"
    file = folder / RECORD
    content = _json(file)
    try:
        clips = pd.DataFrame(content["clips"], dtype=str)
        records = [_fold(one) for one in content["folds"]]
        outside = _array(content["leave_source_out"])
        stated, alike, seed = str(content["stated_leak"]), bool(content["folds_alike"]), int(content["seed"])
        missing = [name for name in CLIP_COLUMNS[:-1] if name not in clips]
        if missing or not records:
            raise ValueError(f"no {missing[0]}" if missing else "no fold")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise BadInput(f"{file}: is no record of an evaluation ({what}); `dvc repro evaluate` makes it anew") from None
    return Evaluation(
        clips=clips,
        folds=tuple(records),
        probabilities=_probabilities(folder / PREDICTIONS, clips, records),
        near_duplicates=_near_duplicates(build / NEAR_DUPLICATES),
        leave_source_out=outside,
        folds_alike=alike,
        stated_leak=stated,
        seed=seed,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadInput(f"{path}: not found; `dvc repro evaluate` makes it") from None
    except ValueError as error:
        raise BadInput(f"{path}: is no JSON ({error}); `dvc repro evaluate` makes it anew") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path}: is no record of an evaluation; `dvc repro evaluate` makes it anew")
    return content


def _fold(content: dict[str, Any]) -> FoldRecord:
    untrained = _array(content["untrained"])
    return FoldRecord(
        name=str(content["name"]),
        train=np.array(content["train"], np.int64),
        test=np.array(content["test"], np.int64),
        chosen_on=_rows(content["chosen_on"]),
        statistics_from=_rows(content["statistics_from"]),
        initial_weights=content["initial_weights"],
        final_weights=content["final_weights"],
        untrained=None if untrained is None else _predict(untrained),
        accuracy=content["accuracy"],
    )


def _predict(stored: FloatArray) -> Predict:
    return lambda rows: stored[rows]


def _rows(given: dict[str, list[int]] | None) -> dict[str, IntArray] | None:
    return None if given is None else {what: np.array(rows, np.int64) for what, rows in given.items()}


def _array(values: list[list[float | None]] | None) -> FloatArray | None:
    return None if values is None else np.array(values, np.float32)


def _probabilities(path: Path, clips: pd.DataFrame, records: list[FoldRecord]) -> FloatArray:
    """(n, labels) in the order of the clips; not numbers where a clip is not tested."""
    text = {"clip_id": str, "path": str, "patient": str, "label": str}
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=False, index_col="path")
    except FileNotFoundError:
        raise BadInput(f"{path}: not found; `dvc repro evaluate` makes it") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise BadInput(f"{path}: is no table of predictions ({error}); `dvc repro evaluate` makes it anew") from None
    columns = [f"p_{name}" for name in folds.label_names(clips)]
    missing = [name for name in columns if name not in table]
    strange = [name for name in columns if name in table and table[name].dtype.kind not in "if"]
    if missing or strange:
        what = f"has no column {missing[0]}" if missing else f"a number was expected in every row of {strange[0]}"
        raise BadInput(f"{path}: {what}; `dvc repro evaluate` makes it anew")
    tested = np.unique(np.concatenate([one.test for one in records]))
    if not table.index.is_unique or set(table.index) != set(clips["path"].iloc[tested]):
        raise BadInput(f"{path}: has other clips than {RECORD}; `dvc repro evaluate` makes both anew")
    return table.reindex(clips["path"])[columns].to_numpy(np.float32)


def _near_duplicates(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    text = ("path", "patient", "label", "other_path", "other_patient", "other_label")
    table = pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False)
    missing = [column for column in ("path", "other_path", "distance") if column not in table]
    if missing:
        raise BadInput(f"{path}: has no column {', '.join(missing)}; `dvc repro frames` makes it anew")
    return table
