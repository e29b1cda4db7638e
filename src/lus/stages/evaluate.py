"""evaluate: feature sets and tried heads -> figures on test clips, their audit, and the choice of what to register.

For each fold of the protocol the feature set and head are chosen by their loss in the searches of that fold's part,
trained again from fresh weights on all its training clips, and tested on its test clips, which no search of that part
has seen. The protocols that are known to leak do otherwise, and their figures say so.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.audit import checks, stored
from lus.audit import record as audit_record
from lus.audit.record import Audit, Evaluation
from lus.clips import frameset
from lus.clips.frameset import FrameSet
from lus.common.arrays import FloatArray, IntArray
from lus.common.params import Evaluate, Folds
from lus.common.progress import Steps, no_progress
from lus.evaluation import cross_validation, results, selection
from lus.evaluation.cross_validation import MODEL, CrossValidationResult
from lus.evaluation.selection import Candidate
from lus.metrics import comparisons, plots
from lus.metrics import scores as metrics
from lus.metrics.plots import Example
from lus.splits import folds, protocols
from lus.splits.protocols import EvaluationProtocol, LeaveSourceOut
from lus.tracking import client

WRONG = 12
"""Of the clips that are most wrong so many are drawn."""


@dataclass(frozen=True)
class _Tested:
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


def _tested(clips: pd.DataFrame, found: CrossValidationResult) -> _Tested:
    rows, names = found.tested, folds.label_names(clips)
    own, given = clips.iloc[rows], found.answers[MODEL][rows]
    return _Tested(own, rows, names, folds.targets(clips)[rows], folds.groups(own), given)


def _summarise(tested: _Tested, rule: EvaluationProtocol, params: Evaluate) -> dict[str, Any]:
    """The figures of the model over all tested clips, with their intervals."""
    intervals = metrics.intervals(
        tested.targets, tested.given, tested.patients, tested.names, params.bootstrap, params.confidence, params.seed
    )
    return {
        "protocol": rule.name,
        "leaking": rule.leaking,
        "why": rule.why,
        "clips": len(tested.rows),
        "patients": int(tested.clips["patient"].nunique()),
        **metrics.scores(tested.targets, tested.given, tested.names),
        "interval": {name: {"low": one.low, "high": one.high} for name, one in intervals.items()},
    }


def _by_fold(clips: pd.DataFrame, found: CrossValidationResult, tested: _Tested, params: Evaluate) -> dict[str, Any]:
    """The figures of each fold, and their mean, standard deviation and interval of the mean."""
    targets, given = folds.targets(clips), found.answers[MODEL]
    of_folds = []
    for number, record in enumerate(found.records):
        own = metrics.scores(targets[record.test], given[record.test], tested.names)
        of_folds.append({"fold": number, "name": record.name, "clips": len(record.test), **own})
    spreads = metrics.over_folds(
        [{name: value for name, value in one.items() if isinstance(value, float)} for one in of_folds]
    )
    intervals = metrics.intervals_of_fold_means(
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
        name: vars(spread) | {"low": intervals[name].low, "high": intervals[name].high}
        for name, spread in spreads.items()
    }
    return {"folds": of_folds, "over_folds": over}


def _ways(found: CrossValidationResult, tested: _Tested, params: Evaluate) -> dict[str, Any]:
    """Every way of answering: its accuracy with interval, and what the model is better by, in pairs over patients."""
    rows, targets, patients = tested.rows, tested.targets, tested.patients
    said = {way: given[rows].argmax(axis=1).astype(np.int64) for way, given in found.answers.items()}
    weights = metrics.resampled(patients, params.bootstrap, params.seed)
    ways = {}
    for way, given in found.answers.items():
        own = metrics.scores(targets, given[rows], tested.names)
        right = (weights @ (said[way] == targets)) / weights.sum(axis=1)
        bounds = metrics.percentiles(right, patients, params.confidence)
        ways[way] = {
            "what": cross_validation.METHODS[way],
            "accuracy": own["accuracy"],
            "low": bounds.low,
            "high": bounds.high,
            "balanced_accuracy": own["balanced_accuracy"],
        }
        if way != MODEL:
            pair = comparisons.paired(
                targets, said[MODEL], said[way], patients, params.seed, 0.0, params.bootstrap, level=params.confidence
            )
            ways[way]["model_better_by"] = {
                "difference": pair.difference,
                "low": pair.low,
                "high": pair.high,
                "p_better": pair.p_better,
                "p": pair.p,
            }
    return ways


def _calibration(found: CrossValidationResult, tested: _Tested) -> dict[str, Any]:
    """What the temperatures changed, over all tested clips."""
    both = {"as_trained": found.uncalibrated[tested.rows], "with_temperature": tested.given}
    scores = {name: metrics.scores(tested.targets, given, tested.names) for name, given in both.items()}
    kept = ("brier", "calibration_error")
    return {
        "temperatures": [choice["temperature"] for choice in found.choices],
        **{name: {key: own[key] for key in kept} for name, own in scores.items()},
    }


def _predictions(found: CrossValidationResult, tested: _Tested) -> pd.DataFrame:
    """The tested clips in the order of the cohort, a row each."""
    table = tested.clips[["clip_id", "path", "patient", "label"]].copy()
    table["predicted"] = [tested.names[number] for number in tested.given.argmax(axis=1)]
    table["fold"] = found.fold_of[tested.rows]
    for number, name in enumerate(tested.names):
        table[f"p_{name}"] = tested.given[:, number].round(6)
    return table


def _examples(clips: pd.DataFrame, found: CrossValidationResult, frames: FrameSet, length: int) -> list[list[Example]]:
    """For each label, its tested clip that was called best and the one that was called worst."""
    targets, probabilities = folds.targets(clips), found.answers[MODEL]
    given = probabilities[np.arange(len(targets)), targets]
    rows = []
    for number, name in enumerate(folds.label_names(clips)):
        of_label = np.intersect1d(np.flatnonzero(targets == number), found.tested)
        ordered = of_label[np.argsort(-given[of_label], kind="stable")]
        row = []
        for place in (ordered[0], ordered[-1]) if len(ordered) else ():
            clip_id, count = str(clips["clip_id"].iloc[place]), int(clips["frames"].iloc[place])
            picture = frames.frames(clip_id, count, length)[length // 2]
            row.append(Example(picture, name, probabilities[place]))
        rows.append(row)
    return [row for row in rows if row]


def _draw(
    found: CrossValidationResult, tested: _Tested, ways: dict[str, Any], examples: list[list[Example]], out: Path
) -> None:
    """The plots."""
    names, targets, given = tested.names, tested.targets, tested.given
    plots.examples(examples, names, out / "examples.png")
    matrix = metrics.confusion(targets, given.argmax(axis=1).astype(np.int64), len(names))
    plots.confusion(matrix, names, out / "confusion.png")
    plots.roc(targets, given, names, out / "roc.png")
    both = {"as trained": found.uncalibrated[tested.rows], "with temperature": given}
    series = {name: metrics.reliability(targets, one) for name, one in both.items()}
    plots.reliability(series, out / "reliability.png")
    wrong = metrics.most_wrong(targets, given, WRONG)
    paths = [str(path) for path in tested.clips["path"].iloc[wrong]]
    plots.most_wrong(paths, targets[wrong], given[wrong], names, out / "most-wrong.png")
    plots.ways(ways, out / "baselines.png")


def _with_accuracies(found: CrossValidationResult, targets: IntArray) -> CrossValidationResult:
    """The same, each fold stating its accuracy."""
    said = found.answers[MODEL].argmax(axis=1)
    records = [replace(one, accuracy=float((said == targets)[one.test].mean())) for one in found.records]
    return replace(found, records=records)


def _audit(
    build: Path,
    out: Path,
    clips: pd.DataFrame,
    found: CrossValidationResult,
    rule: EvaluationProtocol,
    outside: FloatArray | None,
    seed: int,
) -> Audit:
    """Write what an audit needs, and audit what was written."""
    own = clips if clips["source"].nunique() > 1 else clips.drop(columns="source")
    evaluation = Evaluation(
        own, found.records, leave_source_out=outside, folds_alike=rule.folds_alike, stated_leak=rule.why, seed=seed
    )
    stored.write(out, evaluation)
    audit = checks.run(stored.read(build, out))
    stored.write_audit(out, audit)
    return audit


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
        "labels": folds.label_names(data.clips),
    }


def run(
    build: Path,
    names: Sequence[str],
    out: Path,
    params: Evaluate,
    cut: Folds,
    steps: Steps = no_progress,
) -> str:
    """Evaluate, audit and choose.

    Args:
        build: the folder in which the stages before wrote `frames`, `checks`, `features` and `search`.
        names: the feature sets to choose from; others in the folder are of an earlier day.
        out: made afresh: `metrics.json` (headline), `figures.json` (by fold, baselines, calibration),
            `predictions.csv`, `record.json` and `audit.json`, `choice.json`, plots.
        params: seed, and the level of the intervals.
        cut: the protocol.
        steps: told what is under way.

    Returns:
        Sentences with the accuracy and its interval, the best baseline, and what the audit found.

    Raises:
        BadInput: MLflow does not answer; it is asked before the work.
    """
    client.connect()
    rule = protocols.make_protocol(cut)
    tried = selection.read(build, names, cut)
    clips = tried[0].data.clips
    found = _with_accuracies(
        cross_validation.cross_validate(tried, rule, params.seed, steps("testing the folds")), folds.targets(clips)
    )
    asked = not rule.leaking and not isinstance(rule, LeaveSourceOut)
    outside = (
        cross_validation.leave_source_out(tried, cut, params.seed, steps("testing on other sources")) if asked else None
    )
    steps("figures and their intervals")
    tested = _tested(clips, found)
    summary, ways = _summarise(tested, rule, params), _ways(found, tested, params)
    details = _by_fold(clips, found, tested, params) | {"ways": ways, "calibration": _calibration(found, tested)}
    spread = details["over_folds"]["accuracy"]
    summary |= {"accuracy_folds_mean": spread["mean"], "accuracy_folds_std": spread["std"]}
    choice = _final_choice(tried) | {"folds": found.choices}
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name, values in (
        (results.METRICS_FILE, summary),
        (results.FIGURES_FILE, details),
        (results.CHOICE_FILE, choice),
    ):
        results.write_json(out / name, values)
    _predictions(found, tested).to_csv(out / stored.PREDICTIONS, index=False)
    steps("pictures")
    examples = _examples(clips, found, frameset.read(build / "frames"), choice["length"])
    _draw(found, tested, ways, examples, out)
    steps("audit")
    audit = _audit(build, out, clips, found, rule, outside, params.seed)
    steps("logging the run to MLflow")
    results.log(build, out)
    return _sentences(summary, ways, choice, audit, params, out)


def _sentences(
    summary: dict[str, Any], ways: dict[str, Any], choice: dict[str, Any], audit: Audit, params: Evaluate, out: Path
) -> str:
    level = f"{params.confidence:.0%} interval {results.between(summary['interval']['accuracy'], 2)}"
    counted = audit_record.number
    leaks = [one for one in audit.findings if one.level == audit_record.LEAK]
    marked = f", which leaks: {summary['why']}" if summary["leaking"] else ""
    best = max(cross_validation.SPATIAL, key=lambda way: ways[way]["accuracy"])
    lines = [
        f"accuracy {summary['accuracy']:.2f} ({level}, {summary['patients']} patients, protocol {summary['protocol']}"
        f"{marked})",
        f"best without the order of frames: {ways[best]['what']}, {ways[best]['accuracy']:.2f}; majority "
        f"{ways['majority']['accuracy']:.2f}",
        f"{choice['feature_set']} trial {choice['trial']} chosen",
        f"audit: {counted(leaks, 'leak')} in {counted(audit.findings, 'finding')} (`lus audit` lists them); see {out}",
    ]
    return "\n".join(lines)
