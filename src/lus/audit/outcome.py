"""Checks of the answers themselves: do they look like those of a model that knows the disease?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.audit.record import CERTAIN, LEAK, NOTE, WARNING, AuditFinding, Evaluation, Evidence, in_folds
from lus.checks.shortcuts import MARGIN, get_containers
from lus.common.arrays import FloatArray, IntArray
from lus.metrics import baselines, comparisons, fold_patterns, scores
from lus.splits import folds

DROP = 0.1
"""Accuracy lost on sources not seen before that is worth a warning."""
LIKELY = 0.05
"""p-value below which a model counts as better."""
ROUNDED = 1e-4
"""By how much a stated accuracy may differ from that of the predictions."""


def stated_figures(evaluation: Evaluation) -> list[AuditFinding] | None:
    """A fold's stated accuracy is not that of its predictions."""
    if evaluation.probabilities is None or any(fold.accuracy is None for fold in evaluation.folds):
        return None
    where: dict[str, Evidence] = {}
    for fold in evaluation.folds:
        said, is_ = float(fold.accuracy or 0), _accuracy(evaluation, fold.test)
        if abs(said - is_) > ROUNDED:
            where[fold.name] = {"stated": said, "found": round(is_, 6)}
    if not where:
        return []
    first = next(iter(where.values()))
    sentence = (
        f"{in_folds(evaluation, where)} the stated accuracy is not that of the answers clip by clip: in "
        f"{next(iter(where))}, {first['stated']:.3f} is stated and {first['found']:.3f} found."
    )
    return [AuditFinding("figures", WARNING, sentence, {"folds": where})]


def _right(evaluation: Evaluation, rows: IntArray) -> NDArray[np.bool_]:
    if evaluation.probabilities is None:
        raise ValueError("there are no predictions")
    answers = evaluation.probabilities[rows].argmax(axis=1)
    return np.asarray(answers == folds.targets(evaluation.clips)[rows], np.bool_)


def _accuracy(evaluation: Evaluation, rows: IntArray) -> float:
    return float(_right(evaluation, rows).mean())


def fold_pattern(evaluation: Evaluation) -> list[AuditFinding] | None:
    """One fold is poor and all others perfect, by more than chance explains."""
    records = evaluation.folds
    known = evaluation.probabilities is not None
    if not evaluation.folds_alike or len(records) < 2 or not (known or all(r.accuracy is not None for r in records)):
        return None
    accuracies = np.array([_accuracy(evaluation, r.test) if known else r.accuracy for r in records], np.float64)
    odd = fold_patterns.odd_fold(accuracies)
    if odd is None:
        return []
    patients = evaluation.groups
    clusters = [np.unique(patients[r.test].astype(str), return_counts=True)[1] for r in records]
    rows = np.concatenate([r.test for r in records])
    # Without single answers, a patient's clips are held to be right or wrong together: the most that chance can do.
    correlation = fold_patterns.hang_together(_right(evaluation, rows), patients[rows]) if known else 1.0
    p = fold_patterns.chance(accuracies, clusters, correlation)
    if p >= fold_patterns.LEVEL:
        return []
    sentence = (
        f"{records[odd].name} is right in {accuracies[odd]:.0%} of its clips, every other fold in "
        f"{_others(accuracies)}: chance makes such a pattern about once in {_times(p)}. A model that has learnt the "
        "test clips in an earlier fold does make it."
    )
    evidence = {
        "accuracies": [round(float(one), 4) for one in accuracies],
        "clips": [int(one.sum()) for one in clusters],
        "p": p,
        "correlation_in_patients": round(correlation, 3),
        "assumption": "equally hard folds; clips of a patient are right together to that correlation (beta-binomial)",
    }
    return [AuditFinding("fold-pattern", LEAK, sentence, evidence)]


def _others(accuracies: NDArray[np.float64]) -> str:
    least = np.sort(accuracies)[1]
    return "all" if least == 1 else f"{np.floor(100 * least):.0f}% or more"


def _times(p: float) -> str:
    """How often a chance of p comes up, as in "110,000 evaluations"."""
    return f"{float(f'{1 / p:.1e}'):,.0f} evaluations" if p > 1e-7 else "ten million evaluations or more"


def shortcuts(evaluation: Evaluation) -> list[AuditFinding] | None:
    """Source or container alone tell the label, and the model is hardly better."""
    if evaluation.probabilities is None:
        return None
    found = []
    given = {"container": get_containers(evaluation.clips["path"])}
    if "source" in evaluation.clips:
        given["source"] = evaluation.clips["source"]
    for name, values in given.items():
        found += _shortcut(evaluation, name, values, evaluation.probabilities)
    return found


def _shortcut(evaluation: Evaluation, name: str, values: pd.Series, probabilities: FloatArray) -> list[AuditFinding]:
    targets, labels = folds.targets(evaluation.clips), folds.label_names(evaluation.clips)
    rows = np.concatenate([fold.test for fold in evaluation.folds])
    guesses = np.concatenate(
        [baselines.by_property(values, targets, fold.train, fold.test, len(labels)) for fold in evaluation.folds]
    )
    guessed, model = (
        scores.scores(targets[rows], given, labels)["balanced_accuracy"] for given in (guesses, probabilities[rows])
    )
    if guessed < 1 / len(labels) + MARGIN:
        return []
    compared = comparisons.paired(
        targets[rows],
        probabilities[rows].argmax(axis=1),
        guesses.argmax(axis=1),
        evaluation.groups[rows],
        evaluation.seed,
    )
    evidence: dict[str, object] = {
        "property": name,
        "alone": round(guessed, 4),
        "model": round(model, 4),
        "chance": round(1 / len(labels), 4),
        "accuracy_difference": round(compared.difference, 4),
        "p_better": round(compared.p_better, 6),
    }
    what = f"The {name} of a file alone, without a look at its pictures, guesses the disease with {guessed:.0%} (chance"
    what += f" {1 / len(labels):.0%}, the model {model:.0%}; each disease counts alike)"
    if compared.p_better >= LIKELY:
        return [AuditFinding("shortcuts", WARNING, f"{what}: the model is not shown to be better.", evidence)]
    return [AuditFinding("shortcuts", NOTE, f"{what}: the model is better, but may lean on it.", evidence)]


def source_drop(evaluation: Evaluation) -> list[AuditFinding] | None:
    """On sources not seen in training the model is much worse."""
    if evaluation.probabilities is None or evaluation.leave_source_out is None:
        return None
    inside, outside = evaluation.probabilities, evaluation.leave_source_out
    rows = np.flatnonzero(np.isfinite(inside).all(axis=1) & np.isfinite(outside).all(axis=1))
    if not len(rows):
        return None
    targets = folds.targets(evaluation.clips)[rows]
    compared = comparisons.paired(
        targets,
        inside[rows].argmax(axis=1),
        outside[rows].argmax(axis=1),
        evaluation.groups[rows],
        evaluation.seed,
    )
    if compared.difference < DROP or compared.p_better >= CERTAIN:
        return []
    there = float((outside[rows].argmax(axis=1) == targets).mean())
    sentence = (
        f"On clips of hospitals or web sites that it had not seen in training the model is right in {there:.0%}, not "
        f"in {there + compared.difference:.0%}: part of its number is knowing where a clip comes from."
    )
    evidence: dict[str, object] = {
        "drop": round(compared.difference, 4),
        "low": round(compared.low, 4),
        "high": round(compared.high, 4),
        "p": round(compared.p_better, 6),
        "clips": compared.clips,
    }
    return [AuditFinding("sources", WARNING, sentence, evidence)]
