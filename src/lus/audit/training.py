"""Checks of what a fold's model knew, and of what was computed or chosen for it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lus import folds, leaks
from lus.arrays import FloatArray, IntArray
from lus.audit.record import LEAK, Evaluation, Finding, number, of_patients

KNOWS = 0.4
"""From this share of what the labels leave open (their entropy) resolved, a model is not an untrained one.

Measured on 144 fresh LSTM heads: at most 0.03 on features that are noise, 0.27 on features of which each frame tells
the label; and on trained heads, of the clips they were trained on: 0.54 or more after 8 epochs.
"""
PERMUTATIONS = 2000
CERTAIN = 0.01
"""p-value below which an observation is not put down to chance."""


def carried_weights(evaluation: Evaluation) -> list[Finding] | None:
    """A fold's head starts with the weights that another fold's training ended with."""
    found = []
    for fold in evaluation.folds:
        for other in evaluation.folds:
            known = np.intersect1d(other.train, fold.test)
            same = fold.initial_weights is not None and fold.initial_weights == other.final_weights
            if other is not fold and same and len(known):
                sentence = (
                    f"The model of {fold.name} did not start afresh but as {other.name} had left it, which had learnt "
                    f"{len(known)} of its {len(fold.test)} test clips: it was asked what it had been told."
                )
                evidence = {"fold": fold.name, "from": other.name, "weights": fold.initial_weights, "known": len(known)}
                found.append(Finding("weights", LEAK, sentence, evidence))
    said = all(fold.initial_weights and fold.final_weights for fold in evaluation.folds)
    return found if found or said else None


def knows_before_training(evaluation: Evaluation) -> list[Finding] | None:
    """Before its training a fold's model knows clips that only earlier folds were trained on.

    An untrained model can tell labels apart by luck, but it is not sure of itself: what counts is how much of what
    the labels leave open (their entropy) its probabilities resolve, and whether other orders of the patients' labels
    would do as well.
    """
    if any(fold.untrained is None for fold in evaluation.folds[1:]) or len(evaluation.folds) < 2:
        return None
    found = []
    seen = evaluation.folds[0].train
    for fold in evaluation.folds[1:]:
        rows = np.setdiff1d(seen, fold.train)
        seen = np.union1d(seen, fold.train)
        if fold.untrained is None or not len(rows):
            continue
        resolved, p = _resolved(evaluation, rows, fold.untrained(rows))
        if resolved >= KNOWS and p < CERTAIN:
            sentence = (
                f"Before it had learnt anything, the model of {fold.name} already knew {len(rows)} clips that only "
                "earlier folds had learnt: its weights come from them."
            )
            evidence = {"fold": fold.name, "clips": len(rows), "resolved": round(resolved, 3), "p": p}
            found.append(Finding("memory", LEAK, sentence, evidence))
    return found


def _resolved(evaluation: Evaluation, rows: IntArray, probabilities: FloatArray) -> tuple[float, float]:
    """The share of the labels' entropy that probabilities resolve, and its p-value over patients."""
    # Patients are permuted by their places, as `leaks.permuted` wants them.
    patients, targets = evaluation.patients[rows].astype(str), folds.targets(evaluation.clips)[rows]
    order = np.argsort(patients, kind="stable")
    patients, targets = patients[order], targets[order]
    shares = np.bincount(targets) / len(targets)
    entropy = -sum(share * np.log(share) for share in shares if share > 0)
    if entropy == 0:
        return 0.0, 1.0
    likely = np.log(np.maximum(probabilities.astype(np.float64)[order], 1e-12))
    numbers = np.unique(patients, return_inverse=True)[1]
    orders = np.concatenate([targets[None], leaks.permuted(targets, numbers, PERMUTATIONS, evaluation.seed)])
    means = likely[np.arange(len(rows)), orders].mean(axis=1)
    return float(1 + means[0] / entropy), float((means >= means[0] - 1e-9).mean())


def statistics(evaluation: Evaluation) -> list[Finding] | None:
    """Statistics for normalisation, or a selection of features, rest on test clips or other clips of test patients."""
    return _looked_at(
        evaluation,
        "statistics",
        {fold.name: fold.statistics_from for fold in evaluation.folds},
        "was computed from",
        "the test was not unknown to it",
    )


def selection(evaluation: Evaluation) -> list[Finding] | None:
    """Something was chosen by its score on test clips, or other clips of test patients."""
    return _looked_at(
        evaluation,
        "selection",
        {fold.name: fold.chosen_on for fold in evaluation.folds},
        "was chosen by its score on",
        "the best of several tries is shown as if it were the only one",
    )


def _looked_at(
    evaluation: Evaluation, check: str, of_folds: Mapping[str, Mapping[str, IntArray] | None], how: str, so: str
) -> list[Finding] | None:
    found = []
    for fold in evaluation.folds:
        for what, rows in (of_folds[fold.name] or {}).items():
            patients, tested = of_patients(evaluation, rows, fold.test)
            if patients:
                themselves = np.intersect1d(rows, fold.test)
                which = (
                    f"{len(themselves)} of the {len(fold.test)} test clips"
                    if len(themselves)
                    else f"other clips of {number(patients, 'test patient')}"
                )
                sentence = f"In {fold.name}, {what} {how} {which}: {so}."
                evidence = {"fold": fold.name, "what": what, "patients": patients, "clips": evaluation.names(tested)}
                found.append(Finding(check, LEAK, sentence, evidence))
    return found if found or all(given is not None for given in of_folds.values()) else None
