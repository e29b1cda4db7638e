"""Checks of how clips were cut into training and test."""

from __future__ import annotations

import numpy as np

from lus import cohort
from lus.audit.record import LEAK, WARNING, Evaluation, Finding, number, of_patients


def stated(evaluation: Evaluation) -> list[Finding]:
    """The protocol itself is known to leak."""
    if not evaluation.stated_leak:
        return []
    sentence = f"The protocol of this evaluation leaks by its own rule: {evaluation.stated_leak}."
    return [Finding("protocol", LEAK, sentence)]


def clips_on_both_sides(evaluation: Evaluation) -> list[Finding]:
    """A clip is trained and tested on in one fold."""
    found = []
    for fold in evaluation.folds:
        both = np.intersect1d(fold.train, fold.test)
        if len(both):
            sentence = f"{number(both, 'clip')} of {fold.name} stood in its training and in its test: it was known."
            found.append(Finding("clips", LEAK, sentence, {"fold": fold.name, "clips": evaluation.names(both)}))
    return found


def patients_on_both_sides(evaluation: Evaluation) -> list[Finding]:
    """A patient is trained and tested on in one fold."""
    found = []
    for fold in evaluation.folds:
        patients, tested = of_patients(evaluation, fold.train, fold.test)
        if patients:
            sentence = (
                f"{number(patients, 'patient')} of {fold.name}, with {len(tested)} of its {len(fold.test)} test clips, "
                "had other clips in its training: the model may have recognised the patient and not the disease."
            )
            evidence = {"fold": fold.name, "patients": patients, "clips": evaluation.names(tested)}
            found.append(Finding("patients", LEAK, sentence, evidence))
    return found


def same_content(evaluation: Evaluation) -> list[Finding]:
    """The same file, under another name, is trained and tested on."""
    contents = evaluation.clips["clip_id"].to_numpy(str)
    found = []
    for fold in evaluation.folds:
        only_test = np.setdiff1d(fold.test, fold.train)
        copies = only_test[np.isin(contents[only_test], contents[fold.train])]
        if len(copies):
            originals = fold.train[np.isin(contents[fold.train], contents[copies])]
            sentence = (
                f"{number(copies, 'test clip')} of {fold.name} is, under another name, the same recording as one of "
                "its training: it was known."
            )
            evidence = {
                "fold": fold.name,
                "clips": evaluation.names(copies),
                "same_as": evaluation.names(originals),
            }
            found.append(Finding("content", LEAK, sentence, evidence))
    return found


def near_duplicates(evaluation: Evaluation) -> list[Finding] | None:
    """Clips that show nearly the same pictures stand on both sides."""
    pairs = evaluation.near_duplicates
    if pairs is None:
        return None
    found = []
    paths = evaluation.clips["path"].to_numpy(str)
    for fold in evaluation.folds:
        train, test = set(paths[fold.train]), set(paths[fold.test])
        across = [
            (one, other, round(float(distance), 4))
            for one, other, distance in zip(pairs["path"], pairs["other_path"], pairs["distance"], strict=True)
            if (one in train and other in test) or (one in test and other in train)
        ]
        if across:
            sentence = (
                f"{number(across, 'pair')} of clips that show nearly the same pictures, filed under different patients "
                f"or labels, is cut apart by {fold.name}: its training holds what its test asks."
            )
            evidence: dict[str, object] = {"fold": fold.name, "pairs": across, "tested": len(fold.test)}
            found.append(Finding("near-duplicates", LEAK, sentence, evidence))
    return found


def patients_of_several_labels(evaluation: Evaluation) -> list[Finding]:
    """A patient's clips have several labels."""
    several = cohort.patients_of_several_labels(evaluation.clips)
    if not several:
        return []
    sentence = (
        f"{number(several, 'patient')} has clips under more than one diagnosis: a label is wrong, or two patients were "
        "given one name."
    )
    return [Finding("labels", WARNING, sentence, {"patients": several})]


def tested_once(evaluation: Evaluation) -> list[Finding]:
    """A clip is tested in several folds, so that it counts more than once."""
    rows, counts = np.unique(np.concatenate([fold.test for fold in evaluation.folds]), return_counts=True)
    again = rows[counts > 1]
    if not len(again):
        return []
    sentence = f"{number(again, 'clip')} is tested in more than one fold and counts more than once."
    return [Finding("tested", WARNING, sentence, {"clips": evaluation.names(again)})]
