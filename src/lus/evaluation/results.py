"""What an evaluation says of the tested clips: its figures, overall, by fold and by method, and its predictions."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray
from lus.common.params import Evaluate
from lus.common.patient_rule import combine_clips
from lus.evaluation import files, selection
from lus.evaluation.cross_validation import CrossValidationResult
from lus.evaluation.methods import METHODS, MODEL
from lus.evaluation.patient_metrics import measure_patients
from lus.evaluation.selection import Candidate
from lus.metrics import comparisons, intervals, strata
from lus.metrics.proportions import wilson
from lus.metrics.scores import over_folds, scores
from lus.splits import folds
from lus.splits.protocols import EvaluationProtocol


@dataclass(frozen=True)
class TestedClips:
    """The clips that a fold tests, and what the model answered.

    Attributes:
        clips: their rows of the cohort.
        rows: (n,) the numbers of these.
        names: of the labels.
        targets: (n,) numbers of the true labels.
        patients: (n,) names, those one that stand on one side of every cut.
        given: (n, labels) the model's probabilities.
    """

    clips: pd.DataFrame
    rows: IntArray
    names: list[str]
    targets: IntArray
    patients: NDArray[np.object_]
    given: FloatArray


@dataclass(frozen=True)
class EvaluationResults:
    """What an evaluation found, as its files hold it.

    Attributes:
        summary: the headline, `metrics.json`.
        details: by fold, by method, calibration: `figures.json`.
        choice: what to register, and what each fold chose: `choice.json`.
        predictions: the tested clips in the order of the cohort, a row each: `predictions.csv`.
        strata: metrics by source, probe, size of the picture and label: `strata.csv`.
    """

    summary: dict[str, Any]
    details: dict[str, Any]
    choice: dict[str, Any]
    predictions: pd.DataFrame
    strata: pd.DataFrame


def make_results(
    tried: list[Candidate],
    found: CrossValidationResult,
    tested: TestedClips,
    rule: EvaluationProtocol,
    params: Evaluate,
) -> EvaluationResults:
    """The results of a cross-validation.

    Args:
        tried: the feature sets that were chosen from.
        found: what the folds gave.
        tested: the clips that they test.
        rule: the protocol.
        params: level and resamples of the intervals.
    """
    clips = tried[0].data.clips
    summary = _summarise(tested, rule, params)
    details = _by_fold(clips, found, tested, params) | {
        "ways": _methods(found, tested, params),
        "calibration": _calibration(found, tested),
        "trainings": _trainings(found, tested),
    }
    spread = details["over_folds"]["accuracy"]
    summary |= {"accuracy_folds_mean": spread["mean"], "accuracy_folds_std": spread["std"]}
    choice = _final_choice(tried) | {"folds": found.choices}
    by_stratum = strata.tabulate_strata(
        tested.clips, tested.targets, tested.given, tested.patients, tested.names, params.confidence
    )
    return EvaluationResults(summary, details, choice, _predictions(found, tested), by_stratum)


def select_tested(clips: pd.DataFrame, found: CrossValidationResult) -> TestedClips:
    """The clips that a fold tests, and what the model answered."""
    rows, names = found.tested, folds.label_names(clips)
    own, given = clips.iloc[rows], found.answers[MODEL][rows]
    return TestedClips(own, rows, names, folds.targets(clips)[rows], folds.groups(own), given)


def write_results(folder: Path, found: EvaluationResults) -> None:
    """Write what an evaluation found: `metrics.json`, `figures.json`, `choice.json`, `predictions.csv`, `strata.csv`.

    Args:
        folder: made afresh.
        found: by the evaluation.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, values in (
        (files.METRICS_FILE, found.summary),
        (files.FIGURES_FILE, found.details),
        (files.CHOICE_FILE, found.choice),
    ):
        files.write_json(folder / name, values)
    found.predictions.to_csv(folder / files.PREDICTIONS_FILE, index=False)
    strata.write_strata(folder / strata.STRATA_FILE, found.strata)


def _summarise(tested: TestedClips, rule: EvaluationProtocol, params: Evaluate) -> dict[str, Any]:
    """The metrics of the model over all tested clips, and over their patients, with their intervals."""
    bounds = intervals.intervals(
        tested.targets, tested.given, tested.patients, tested.names, params.bootstrap, params.confidence, params.seed
    )
    named = tested.clips["patient"].to_numpy(object)
    of_patients, patient_bounds = measure_patients(
        tested.targets, tested.given, named, tested.patients, tested.names, params
    )
    return {
        "protocol": rule.name,
        "leaking": rule.leaking,
        "why": rule.why,
        "clips": len(tested.rows),
        "patients": int(tested.clips["patient"].nunique()),
        "groups": len(set(tested.patients)),
        **scores(tested.targets, tested.given, tested.names),
        **of_patients,
        "interval": {name: {"low": one.low, "high": one.high} for name, one in (bounds | patient_bounds).items()},
    }


def _by_fold(
    clips: pd.DataFrame, found: CrossValidationResult, tested: TestedClips, params: Evaluate
) -> dict[str, Any]:
    """The figures of each fold, and their mean, standard deviation and interval of the mean."""
    targets, given = folds.targets(clips), found.answers[MODEL]
    of_folds = []
    for number, record in enumerate(found.records):
        own = scores(targets[record.test], given[record.test], tested.names)
        of_folds.append({"fold": number, "name": record.name, "clips": len(record.test), **own})
    spreads = over_folds([{name: value for name, value in one.items() if isinstance(value, float)} for one in of_folds])
    bounds = intervals.intervals_of_fold_means(
        tested.targets,
        tested.given,
        tested.patients,
        found.fold_of[tested.rows],
        tested.names,
        params.bootstrap,
        params.confidence,
        params.seed,
    )
    over = {
        name: vars(spread) | {"low": bounds[name].low, "high": bounds[name].high} for name, spread in spreads.items()
    }
    return {"folds": of_folds, "over_folds": over}


def _methods(found: CrossValidationResult, tested: TestedClips, params: Evaluate) -> dict[str, Any]:
    """Every method: its accuracy with interval, and what the model is better by, in pairs over patients."""
    rows, targets, patients = tested.rows, tested.targets, tested.patients
    said = {method: given[rows].argmax(axis=1).astype(np.int64) for method, given in found.answers.items()}
    compared = {}
    for method, given in found.answers.items():
        own = scores(targets, given[rows], tested.names)
        bounds = wilson(said[method] == targets, patients, params.confidence)
        compared[method] = {
            "what": METHODS[method],
            "accuracy": own["accuracy"],
            "low": bounds.low,
            "high": bounds.high,
            "balanced_accuracy": own["balanced_accuracy"],
        }
        if method != MODEL:
            pair = comparisons.paired(
                targets, said[MODEL], said[method], patients, params.seed, level=params.confidence
            )
            compared[method]["model_better_by"] = {
                "difference": pair.difference,
                "low": pair.low,
                "high": pair.high,
                "p_better": pair.p_better,
                "p": pair.p,
            }
    return compared


def _calibration(found: CrossValidationResult, tested: TestedClips) -> dict[str, Any]:
    """What the temperatures changed, over all tested clips."""
    both = {"as_trained": found.uncalibrated[tested.rows], "with_temperature": tested.given}
    both_scores = {name: scores(tested.targets, given, tested.names) for name, given in both.items()}
    kept = ("brier", "calibration_error")
    return {
        "temperatures": [choice["temperature"] for choice in found.choices],
        **{name: {key: own[key] for key in kept} for name, own in both_scores.items()},
    }


def _trainings(found: CrossValidationResult, tested: TestedClips) -> dict[str, Any]:
    """The model's accuracy by training: the first, whose answers all else is of, and those with other seeds."""
    first = tested.given.argmax(axis=1)
    right = [first == tested.targets, *(found.repeated[:, tested.rows] == tested.targets)]
    accuracies = [float(one.mean()) for one in right]
    deviation = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else float("nan")
    return {"accuracies": accuracies, "mean": float(np.mean(accuracies)), "std": deviation}


def _predictions(found: CrossValidationResult, tested: TestedClips) -> pd.DataFrame:
    """The tested clips in the order of the cohort, a row each, and beside each the answer to its patient."""
    table = tested.clips[["clip_id", "path", "patient"]].assign(group=tested.patients, label=tested.clips["label"])
    table["predicted"] = [tested.names[number] for number in tested.given.argmax(axis=1)]
    table["fold"] = found.fold_of[tested.rows]
    for number, name in enumerate(tested.names):
        table[f"p_{name}"] = tested.given[:, number].round(6)
    together = combine_clips(tested.given, tested.clips["patient"].tolist())
    table["patient_predicted"] = [tested.names[number] for number in together.argmax(axis=1)]
    for number, name in enumerate(tested.names):
        table[f"patient_p_{name}"] = together[:, number].round(6)
    return table


def _final_choice(tried: list[Candidate]) -> dict[str, Any]:
    """What to register: chosen among the searches of the whole cohort."""
    found = selection.choose(tried, folds.ALL)
    data, trial = found.candidate.data, found.trial
    return {
        "feature_set": data.name,
        "length": data.info.length,
        "trial": trial.number,
        "head": trial.head.to_dict(),
        "epochs": trial.epochs,
        "temperature": found.temperature,
        "temperature_why": found.why,
        "labels": folds.label_names(data.clips),
    }
