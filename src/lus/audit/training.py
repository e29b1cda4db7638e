"""Checks of what a fold's model knew, and of what was computed or chosen for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lus.audit.record import (
    CERTAIN,
    LEAK,
    AuditFinding,
    Evaluation,
    Evidence,
    count,
    distinct,
    in_folds,
    of_patients,
    tested,
)
from lus.checks.shortcuts import permute_labels
from lus.common.arrays import FloatArray, IntArray
from lus.splits import folds

KNOWS = 0.4
"""From this share of what the labels leave open (their entropy) resolved, a model is not an untrained one.

Measured on 144 fresh LSTM heads: at most 0.03 on features that are noise, 0.27 on features of which each frame tells
the label; and on trained heads, of the clips they were trained on: 0.54 or more after 8 epochs.
"""
PERMUTATIONS = 2000


def carried_weights(evaluation: Evaluation) -> list[AuditFinding] | None:
    """A fold's head starts with the weights that another fold's training ended with."""
    where: dict[str, Evidence] = {}
    known = 0
    for fold in evaluation.folds:
        for other in evaluation.folds:
            learnt = np.intersect1d(other.train, fold.test)
            same = fold.initial_weights is not None and fold.initial_weights == other.final_weights
            if other is not fold and same and len(learnt):
                where[fold.name] = {"from": other.name, "weights": fold.initial_weights, "known": len(learnt)}
                known += len(learnt)
    said = all(fold.initial_weights and fold.final_weights for fold in evaluation.folds)
    if not where:
        return [] if said else None
    sentence = (
        f"{in_folds(evaluation, where)} the model did not start afresh but as another fold had left it, after learning "
        f"{known} of the {tested(evaluation, where)} test clips: it was asked what it had been told."
    )
    return [AuditFinding("weights", LEAK, sentence, {"folds": where})]


def knows_before_training(evaluation: Evaluation) -> list[AuditFinding] | None:
    """Before its training a fold's model knows clips that only earlier folds were trained on.

    An untrained model can tell labels apart by luck, but it is not sure of itself: what counts is how much of what
    the labels leave open (their entropy) its probabilities resolve, and whether other orders of the patients' labels
    would do as well.
    """
    where: dict[str, Evidence] = {}
    looked, known = 0, 0
    seen = evaluation.folds[0].train
    for fold in evaluation.folds[1:]:
        rows = np.setdiff1d(seen, fold.train)
        seen = np.union1d(seen, fold.train)
        if fold.untrained is None:
            return None
        if len(rows):
            looked += 1
            resolved, p = _resolved(evaluation, rows, fold.untrained(rows))
            if resolved >= KNOWS and p < CERTAIN:
                where[fold.name] = {"clips": len(rows), "resolved": round(resolved, 3), "p": p}
                known += len(rows)
    if not where:
        return [] if looked else None
    sentence = (
        f"{in_folds(evaluation, where)} the model, before it had learnt anything, already knew {known} clips that only "
        "earlier folds had learnt: its weights come from them."
    )
    return [AuditFinding("memory", LEAK, sentence, {"folds": where})]


def _resolved(evaluation: Evaluation, rows: IntArray, probabilities: FloatArray) -> tuple[float, float]:
    """The share of the labels' entropy that probabilities resolve, and its p-value over patients."""
    # Patients are permuted by their places, as `permute_labels` wants them.
    patients, targets = evaluation.groups[rows].astype(str), folds.targets(evaluation.clips)[rows]
    order = np.argsort(patients, kind="stable")
    patients, targets = patients[order], targets[order]
    shares = np.bincount(targets) / len(targets)
    entropy = -sum(share * np.log(share) for share in shares if share > 0)
    if entropy == 0:
        return 0.0, 1.0
    likely = np.log(np.maximum(probabilities.astype(np.float64)[order], 1e-12))
    numbers = np.unique(patients, return_inverse=True)[1]
    orders = np.concatenate([targets[None], permute_labels(targets, numbers, PERMUTATIONS, evaluation.seed)])
    means = likely[np.arange(len(rows)), orders].mean(axis=1)
    return float(1 + means[0] / entropy), float((means >= means[0] - 1e-9).mean())


def statistics(evaluation: Evaluation) -> list[AuditFinding] | None:
    """Statistics for normalisation, or a selection of features, rest on test clips or other clips of test patients."""
    return _looked_at(
        evaluation,
        "statistics",
        {fold.name: fold.statistics_from for fold in evaluation.folds},
        "came from",
        "the test was not unknown to it",
    )


def selection(evaluation: Evaluation) -> list[AuditFinding] | None:
    """Something was chosen by its score on test clips, or other clips of test patients."""
    return _looked_at(
        evaluation,
        "selection",
        {fold.name: fold.chosen_on for fold in evaluation.folds},
        "was chosen by the score on",
        "the best of several tries is shown as if it were the only one",
    )


def _looked_at(
    evaluation: Evaluation, check: str, of_folds: Mapping[str, Mapping[str, IntArray] | None], how: str, so: str
) -> list[AuditFinding] | None:
    """One finding for each thing that was computed or chosen.

    Training clips are not looked at here: where they are of test patients, that is found by itself.
    """
    things = dict.fromkeys(what for given in of_folds.values() for what in given or {})
    found = []
    for what in things:
        where: dict[str, Evidence] = {}
        for fold in evaluation.folds:
            rows = (of_folds[fold.name] or {}).get(what, np.array([], np.int64))
            patients, _ = of_patients(evaluation, np.setdiff1d(rows, fold.train), fold.test)
            if patients:
                themselves = np.intersect1d(rows, fold.test)
                where[fold.name] = {"patients": patients, "clips": evaluation.names(themselves)}
        if where:
            clips, patients_ = distinct(where, "clips"), distinct(where, "patients")
            which = (
                f"{len(clips)} of {tested(evaluation, where)} test clips"
                if clips
                else f"other clips of {count(patients_, 'test patient')}"
            )
            sentence = f"{in_folds(evaluation, where)} {what} {how} {which}: {so}."
            found.append(AuditFinding(check, LEAK, sentence, {"what": what, "folds": where}))
    return found if found or all(given is not None for given in of_folds.values()) else None
