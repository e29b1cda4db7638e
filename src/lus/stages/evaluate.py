"""evaluate: feature sets and tried heads -> figures on test patients, and the choice of what to register.

For each outer fold the feature set and head are chosen by their loss in the searches of that fold's part, trained
again from fresh weights on all its training clips, and tested on its test clips, which no search of that part has seen.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lus import featureset, figures, folds, frameset, heads, metrics, pool, tracking, training, trials
from lus.arrays import FloatArray, IntArray
from lus.errors import BadInput
from lus.featureset import FeatureSet
from lus.figures import Example
from lus.frameset import FrameSet
from lus.params import Evaluate, Folds
from lus.trials import Trial, Trials

METRICS_FILE, PREDICTIONS_FILE, CHOICE_FILE = "metrics.json", "predictions.csv", "choice.json"
PROTOCOL = "nested-patient"


@dataclass(frozen=True)
class Candidate:
    """A feature set and the heads tried on it."""

    data: FeatureSet
    tried: Trials


def read_candidates(build: Path, names: Sequence[str]) -> list[Candidate]:
    """Read these feature sets and their searches.

    Raises:
        BadInput: one is missing, or they differ in clips or folds, so that their scores cannot be compared.
    """
    candidates = []
    for name in names:
        data = featureset.read(build / "features" / name)
        candidates.append(Candidate(data, trials.read(build / "search" / name)))
        _refuse_other_folds(candidates[-1])
    first = candidates[0]
    for other in candidates[1:]:
        same_clips = first.data.clips["clip_id"].equals(other.data.clips["clip_id"])
        same_folds = [f.test.tolist() for f in first.tried.parts] == [f.test.tolist() for f in other.tried.parts]
        if not (same_clips and same_folds):
            raise BadInput(
                f"{other.data.name} and {first.data.name} have other clips or folds; `dvc repro` makes both anew"
            )
    return candidates


def _refuse_other_folds(one: Candidate) -> None:
    """Refuse a search whose folds are not those that the backbones were trained for."""
    if one.data.info.folds is None:
        return
    parts = one.data.parts(Folds(**one.data.info.folds))
    if [part.test.tolist() for part in parts] != [part.test.tolist() for part in one.tried.parts]:
        raise BadInput(f"{one.data.name}: its search has other folds than its backbones; `dvc repro` makes both anew")


def choose(candidates: list[Candidate], part: str) -> tuple[Candidate, Trial]:
    """The feature set and trial with the lowest validation loss among the searches of a part.

    Backbones that were trained on LUS frames have been validated on the first inner fold alone. Where such a feature
    set stands beside others, all are compared on that fold, that is on the same patients; its own loss remains a
    little too low, since its backbone's epoch was chosen by them.
    """
    best = [(one, one.tried.of(part).best) for one in candidates]
    first_fold_alone = any(one.data.info.folds is not None for one in candidates)
    return min(best, key=lambda pair: pair[1].folds[0].loss if first_fold_alone else pair[1].loss)


def _test_fold(candidates: list[Candidate], number: int, labels: int, seed: int) -> tuple[FloatArray, dict[str, Any]]:
    """Probabilities of a fold's test clips, and what was chosen for it."""
    fold = candidates[0].tried.folds[number]
    chosen, trial = choose(candidates, fold.part)
    targets, features = folds.targets(chosen.data.clips), chosen.data.of(fold.part)
    train = np.setdiff1d(np.arange(len(targets)), fold.test)
    trained = training.train(trial.head, features[train], targets[train], labels, epochs=trial.epochs, seed=seed)
    model = trained.model(features.shape[1])
    return heads.predict(model, features[fold.test]), {
        "fold": number,
        "feature_set": chosen.data.name,
        "trial": trial.number,
        "epochs": trial.epochs,
    }


def _summarise(
    targets: IntArray, probabilities: FloatArray, fold_of: IntArray, clips: pd.DataFrame, params: Evaluate
) -> dict[str, Any]:
    names = folds.label_names(clips)
    per_fold = [
        metrics.scores(targets[fold_of == f], probabilities[fold_of == f], names) for f in range(fold_of.max() + 1)
    ]
    accuracies = [one["accuracy"] for one in per_fold]
    intervals = metrics.interval(
        targets,
        probabilities.argmax(axis=1).astype(np.int64),
        clips["patient"].to_numpy(),
        params.bootstrap,
        params.confidence,
        params.seed,
    )
    return {
        "protocol": PROTOCOL,
        "clips": len(clips),
        "patients": int(clips["patient"].nunique()),
        "majority_accuracy": float(np.bincount(targets).max() / len(targets)),
        **metrics.scores(targets, probabilities, names),
        "accuracy_folds_mean": float(np.mean(accuracies)),
        "accuracy_folds_std": float(np.std(accuracies)),
        "interval": {name: {"low": low, "high": high} for name, (low, high) in intervals.items()},
        "folds": [{"fold": number, **one} for number, one in enumerate(per_fold)],
    }


def _predictions(clips: pd.DataFrame, probabilities: FloatArray, fold_of: IntArray) -> pd.DataFrame:
    names = folds.label_names(clips)
    table = clips[["clip_id", "path", "patient", "label"]].copy()
    table["predicted"] = [names[number] for number in probabilities.argmax(axis=1)]
    table["fold"] = fold_of
    for number, name in enumerate(names):
        table[f"p_{name}"] = probabilities[:, number].round(6)
    return table


def _examples(clips: pd.DataFrame, probabilities: FloatArray, frames: FrameSet, length: int) -> list[list[Example]]:
    """For each label, its clip that was called best and the one that was called worst."""
    targets = folds.targets(clips)
    given = probabilities[np.arange(len(targets)), targets]
    rows = []
    for number, name in enumerate(folds.label_names(clips)):
        of_label = np.flatnonzero(targets == number)
        ordered = of_label[np.argsort(-given[of_label], kind="stable")]
        row = []
        for place in (ordered[0], ordered[-1]):
            clip_id, count = str(clips["clip_id"].iloc[place]), int(clips["frames"].iloc[place])
            picture = frames.frames(clip_id, count, length)[length // 2]
            row.append(Example(picture, name, probabilities[place]))
        rows.append(row)
    return rows


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the figures, as MLflow takes them: not nested."""
    flat = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    for name, bounds in values["interval"].items():
        flat |= {f"{name}_low": bounds["low"], f"{name}_high": bounds["high"]}
    # A label may hold what MLflow takes in no metric's name.
    return {re.sub(r"[^\w.\- :]", "_", name): value for name, value in flat.items()}


def _without_nan(value: Any) -> Any:
    """The same figures with None for what is not a number: JSON knows none."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _test_all(
    candidates: list[Candidate], params: Evaluate, progress: pool.Progress | None
) -> tuple[FloatArray, IntArray, list[dict[str, Any]]]:
    """Probabilities of every clip from the fold that tests it, that fold's number, and each fold's choice."""
    clips = candidates[0].data.clips
    labels, outer = len(folds.label_names(clips)), candidates[0].tried.folds
    probabilities = np.zeros((len(clips), labels), np.float32)
    fold_of = np.zeros(len(clips), np.int64)
    choices = []
    for number, fold in enumerate(outer):
        probabilities[fold.test], choice = _test_fold(candidates, number, labels, params.seed + number)
        fold_of[fold.test] = number
        choices.append(choice)
        if progress:
            progress(number + 1, len(outer))
    return probabilities, fold_of, choices


def _final_choice(candidates: list[Candidate]) -> dict[str, Any]:
    """What to register: chosen among the searches of the whole cohort."""
    chosen, trial = choose(candidates, folds.ALL)
    return {
        "feature_set": chosen.data.name,
        "length": chosen.data.info.length,
        "trial": trial.number,
        "head": trial.head.to_dict(),
        "epochs": trial.epochs,
        "labels": folds.label_names(chosen.data.clips),
    }


def run(build: Path, names: Sequence[str], out: Path, params: Evaluate, progress: pool.Progress | None = None) -> str:
    """Evaluate and choose.

    Args:
        build: the folder in which the stages before wrote `frames`, `features` and `search`.
        names: the feature sets to choose from; others in the folder are of an earlier day.
        out: made afresh: `metrics.json`, `predictions.csv`, `choice.json`, plots.
        params: seed, and the level of the intervals.
        progress: called after each fold.

    Returns:
        A sentence with the accuracy and its interval.
    """
    candidates = read_candidates(build, names)
    clips = candidates[0].data.clips
    targets, labels = folds.targets(clips), folds.label_names(clips)
    probabilities, fold_of, choices = _test_all(candidates, params, progress)
    summary = _summarise(targets, probabilities, fold_of, clips, params)
    choice = _final_choice(candidates) | {"folds": choices}
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / METRICS_FILE).write_text(json.dumps(_without_nan(summary), indent=2) + "\n")
    (out / CHOICE_FILE).write_text(json.dumps(choice, indent=2) + "\n")
    _predictions(clips, probabilities, fold_of).to_csv(out / PREDICTIONS_FILE, index=False)
    rows = _examples(clips, probabilities, frameset.read(build / "frames"), choice["length"])
    figures.examples(rows, labels, out / "examples.png")
    matrix = metrics.confusion(targets, probabilities.argmax(axis=1), len(labels))
    figures.confusion(matrix, labels, out / "confusion.png")
    log(build, out)
    bounds = summary["interval"]["accuracy"]
    level = f"{params.confidence:.0%} interval {bounds['low']:.2f} to {bounds['high']:.2f}"
    return (
        f"accuracy {summary['accuracy']:.2f} ({level}, {summary['patients']} patients, {PROTOCOL}); "
        f"{choice['feature_set']} trial {choice['trial']} chosen; see {out}"
    )


def log(build: Path, evaluation: Path) -> str:
    """Log an evaluation as a run of its own, with its figures and files.

    Args:
        build: the folder of the stages' results.
        evaluation: written by `run`.

    Returns:
        The run's identity.
    """
    import mlflow

    summary = json.loads((evaluation / METRICS_FILE).read_text())
    choice = json.loads((evaluation / CHOICE_FILE).read_text())
    tracking.connect()
    tracking.bury()
    found = tracking.lineage({"trials": build / "search" / choice["feature_set"] / trials.TRIALS_FILE})
    identity = {"evaluation_sha256": tracking.sha256(evaluation / METRICS_FILE)}
    tags = {"kind": "evaluation", "protocol": summary["protocol"], "owner": tracking.owner()} | identity | found
    with mlflow.start_run(run_name=f"evaluate {choice['feature_set']}", tags=tracking.prefixed(tags)) as run_:
        mlflow.log_params({key: choice[key] for key in ("feature_set", "trial", "epochs")} | choice["head"])
        mlflow.log_metrics(_flat(summary))
        mlflow.log_artifacts(str(evaluation), "evaluation")
    return str(run_.info.run_id)
