"""Checks of how clips were cut into training and test."""

from __future__ import annotations

import numpy as np

from lus.audit.record import (
    LEAK,
    WARNING,
    AuditFinding,
    Evaluation,
    Evidence,
    count,
    distinct,
    in_folds,
    of_patients,
    tested,
)
from lus.clips import cohort


def stated(evaluation: Evaluation) -> list[AuditFinding]:
    """The protocol itself is known to leak."""
    if not evaluation.stated_leak:
        return []
    sentence = f"The protocol of this evaluation leaks by its own rule: {evaluation.stated_leak}."
    return [AuditFinding("protocol", LEAK, sentence)]


def clips_on_both_sides(evaluation: Evaluation) -> list[AuditFinding]:
    """A clip is trained and tested on in one fold."""
    where: dict[str, Evidence] = {}
    for fold in evaluation.folds:
        both = np.intersect1d(fold.train, fold.test)
        if len(both):
            where[fold.name] = {"clips": evaluation.names(both)}
    if not where:
        return []
    known = count(distinct(where, "clips"), "clip")
    sentence = f"{in_folds(evaluation, where)} {known} stood both in the training and in the test: nothing was asked."
    return [AuditFinding("clips", LEAK, sentence, {"folds": where})]


def patients_on_both_sides(evaluation: Evaluation) -> list[AuditFinding]:
    """A patient is trained and tested on in one fold."""
    where: dict[str, Evidence] = {}
    for fold in evaluation.folds:
        patients, theirs = of_patients(evaluation, fold.train, fold.test)
        if patients:
            where[fold.name] = {"patients": patients, "clips": evaluation.names(theirs)}
    if not where:
        return []
    sentence = (
        f"{in_folds(evaluation, where)} {count(distinct(where, 'patients'), 'patient')} with "
        f"{len(distinct(where, 'clips'))} of {tested(evaluation, where)} test clips had other clips in the training: "
        "the model may have recognised the patient and not the disease."
    )
    return [AuditFinding("patients", LEAK, sentence, {"folds": where})]


def same_content(evaluation: Evaluation) -> list[AuditFinding]:
    """The same file, under another name, is trained and tested on."""
    contents = evaluation.clips["clip_id"].to_numpy(str)
    where: dict[str, Evidence] = {}
    for fold in evaluation.folds:
        only_test = np.setdiff1d(fold.test, fold.train)
        copies = only_test[np.isin(contents[only_test], contents[fold.train])]
        if len(copies):
            originals = fold.train[np.isin(contents[fold.train], contents[copies])]
            where[fold.name] = {"clips": evaluation.names(copies), "same_as": evaluation.names(originals)}
    if not where:
        return []
    copied = count(distinct(where, "clips"), "test clip")
    sentence = f"{in_folds(evaluation, where)} {copied} stood in the training too, under another name: it was known."
    return [AuditFinding("content", LEAK, sentence, {"folds": where})]


def near_duplicates(evaluation: Evaluation) -> list[AuditFinding] | None:
    """Clips that show nearly the same pictures stand on both sides."""
    pairs = evaluation.near_duplicates
    if pairs is None:
        return None
    where: dict[str, Evidence] = {}
    paths = evaluation.clips["path"].to_numpy(str)
    for fold in evaluation.folds:
        train, test = set(paths[fold.train]), set(paths[fold.test])
        across = [
            (one, other, round(float(distance), 4))
            for one, other, distance in zip(pairs["path"], pairs["other_path"], pairs["distance"], strict=True)
            if (one in train and other in test) or (one in test and other in train)
        ]
        if across:
            where[fold.name] = {"pairs": across}
    if not where:
        return []
    sentence = (
        f"{in_folds(evaluation, where)} {count(distinct(where, 'pairs'), 'pair')} of clips that show nearly the same "
        "pictures, under different patients or labels, stood on both sides: the training held what the test asked."
    )
    return [AuditFinding("near-duplicates", LEAK, sentence, {"folds": where})]


def patients_of_several_labels(evaluation: Evaluation) -> list[AuditFinding]:
    """A patient's clips have several labels."""
    several = cohort.patients_of_several_labels(evaluation.clips)
    if not several:
        return []
    sentence = (
        f"{count(several, 'patient')} had clips under more than one diagnosis: a label is wrong, two patients were "
        "given one name, or a patient had more than one disease."
    )
    return [AuditFinding("labels", WARNING, sentence, {"patients": several})]


def tested_once(evaluation: Evaluation) -> list[AuditFinding]:
    """A clip is tested in several folds, so that it counts more than once."""
    rows, counts = np.unique(np.concatenate([fold.test for fold in evaluation.folds]), return_counts=True)
    again = rows[counts > 1]
    if not len(again):
        return []
    sentence = f"More than one fold tested {count(again, 'clip')}: what was answered there counts more than once."
    return [AuditFinding("tested", WARNING, sentence, {"clips": evaluation.names(again)})]
