"""External validation: a registered classifier's answers to a cohort that it was not trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.audit.record import WARNING, AuditFinding
from lus.checks import near_duplicates, survey
from lus.checks.near_duplicates import Bits
from lus.checks.survey import CheckedClip, Survey
from lus.clips import cohort
from lus.common import workers
from lus.common.arrays import FloatArray, IntArray
from lus.common.errors import BadInput, Unusable
from lus.common.params import Evaluate, Params
from lus.common.progress import Steps, no_progress
from lus.evaluation.label_map import LabelMap, make_label_map
from lus.evaluation.patient_metrics import measure_patients
from lus.evaluation.training_overlap import TrainingClips, TrainingOverlap, find_overlap
from lus.inference.classifier import Classifier
from lus.metrics import intervals, operating_points, strata
from lus.metrics.scores import scores


@dataclass(frozen=True)
class ValidationCohort:
    """The usable clips of another cohort.

    Attributes:
        name: of the cohort.
        clips: a row a clip, as in a cohort table, with the column `group`: patients whom near-duplicates join.
        fingerprints: of the clips.
        refused: path, label and reason of those that the checks refuse.
        left_out: how many a rule leaves out.
        digest: what tells these clips from all others: content and label of each that can be decoded, whatever the
            limits of a version leave of them.
    """

    name: str
    clips: pd.DataFrame
    fingerprints: list[Bits]
    refused: pd.DataFrame
    left_out: int
    digest: str


@dataclass(frozen=True)
class ValidationResult:
    """What a validation found.

    Attributes:
        summary: metrics with intervals, counts, the labels' map, findings.
        predictions: a row a clip; those that do not count say why.
        strata: metrics of parts of the cohort (`strata.tabulate_strata`).
        refused: path, label and reason of clips that the checks refuse.
    """

    summary: dict[str, Any]
    predictions: pd.DataFrame
    strata: pd.DataFrame
    refused: pd.DataFrame


def read_cohort(
    folder: Path, name: str, params: Params, leave_out: Sequence[str], progress: workers.Progress | None = None
) -> ValidationCohort:
    """List and check the clips of a folder.

    Args:
        folder: a cohort in any layout that `layouts` knows.
        name: of the cohort.
        params: the sections `frames`, `limits` and `cohort` are read.
        leave_out: labels whose clips are left out.
        progress: called after each clip.

    Raises:
        BadInput: the folder is no cohort, or has no usable clip.
    """
    section = params.cohort.model_copy(
        update={"leave_out_labels": (*params.cohort.leave_out_labels, *leave_out), "labels": ()}
    )
    found = survey.survey_clips([folder], params.model_copy(update={"cohort": section}), progress, labelled=True)
    used = [one for one in found.clips if one.usable and one.fingerprint is not None]
    if not used:
        first = found.refused[0].reason if found.refused else "every clip is left out by a rule"
        raise BadInput(f"{folder}: no usable clip was found; first reason: {first}")
    return _collect(name, found, used)


def _collect(name: str, found: Survey, used: list[CheckedClip]) -> ValidationCohort:
    table = pd.DataFrame([one.row for one in used], columns=list(cohort.COLUMNS))
    fingerprints = [one.fingerprint for one in used if one.fingerprint is not None]
    files = [one.row for one in found.clips if "clip_id" in one.row]
    pairs = near_duplicates.find_duplicates(pd.DataFrame(files), table, fingerprints)
    content = "".join(sorted(f"{one['clip_id']} {one['label']}\n" for one in files))
    refused = [[str(one.row["path"]), str(one.row.get("label", "")), one.reason] for one in found.refused]
    return ValidationCohort(
        name,
        table.assign(group=near_duplicates.group_patients(table, pairs)),
        fingerprints,
        pd.DataFrame(refused, columns=["path", "label", "reason"]),
        len(found.clips) - len(used) - len(found.refused),
        hashlib.sha256(content.encode()).hexdigest(),
    )


def validate(
    classifier: Classifier,
    tested: ValidationCohort,
    given: Mapping[str, Sequence[str]],
    training: TrainingClips | None,
    params: Evaluate,
    steps: Steps = no_progress,
) -> ValidationResult:
    """Ask a classifier every clip of a cohort, and compare its answers with the labels.

    Args:
        classifier: a registered version.
        tested: the cohort.
        given: label of the cohort -> labels of the classifier that stand for it, where they have other names.
        training: the clips that the version was trained on; None where they are not known.
        params: level, resamples and seed of the intervals.
        steps: told what is under way.

    Raises:
        BadInput: the labels cannot be compared, or the version was trained on every patient.
    """
    labels = classifier.metadata.labels
    mapped = make_label_map(labels, sorted(set(tested.clips["label"])), given)
    overlap = _overlap(tested, training)
    if overlap.known.all():
        raise BadInput(
            f"{tested.name}: the version was trained on clips of every patient of this cohort, so that nothing of it "
            "can be validated here; name a cohort of other patients"
        )
    answered = _classify(classifier, tested, steps("classifying"))
    steps("metrics and their intervals")
    return _make_result(tested, mapped, labels, overlap, answered, params)


def _overlap(tested: ValidationCohort, training: TrainingClips | None) -> TrainingOverlap:
    if training is not None:
        return find_overlap(tested.clips, tested.fingerprints, training)
    sentence = "It is not known which clips this version was trained on, so that none could be left out for that."
    finding = AuditFinding("training-clips", WARNING, sentence)
    return TrainingOverlap([""] * len(tested.clips), [finding], training_known=False, not_compared=0)


def _classify(classifier: Classifier, tested: ValidationCohort, progress: workers.Progress) -> list[FloatArray | str]:
    """The probabilities of each clip, or why the classifier's own checks refuse it."""
    paths = [Path(one) for one in tested.clips["path"]]
    found: list[FloatArray | str] = []
    for answer in classifier.classify_all(paths):
        if isinstance(answer, Unusable):
            found.append(answer.reason)
        else:
            found.append(np.array([answer.probabilities[name] for name in classifier.metadata.labels], np.float32))
        progress(len(found), len(paths))
    return found


def _make_result(
    tested: ValidationCohort,
    mapped: LabelMap,
    labels: Sequence[str],
    overlap: TrainingOverlap,
    answered: list[FloatArray | str],
    params: Evaluate,
) -> ValidationResult:
    refused = [
        [str(one.path), str(one.label), answer]
        for one, answer in zip(tested.clips.itertuples(), answered, strict=True)
        if isinstance(answer, str)
    ]
    usable = np.array([not isinstance(one, str) for one in answered])
    counted = np.flatnonzero(usable & ~overlap.known)
    if not len(counted):
        raise BadInput(
            f"{tested.name}: no clip is left that the classifier's own checks take; first reason: {refused[0][2]}"
        )
    empty = np.full(len(labels), np.nan, np.float32)
    every = mapped.merge(np.stack([empty if isinstance(one, str) else one for one in answered]))
    clips = tested.clips.iloc[counted].reset_index(drop=True)
    targets = np.array([mapped.names.index(one) for one in clips["label"]], np.int64)
    chosen, groups = every[counted], clips["group"].to_numpy(object)
    summary = {
        "cohort": tested.name,
        "cohort_sha256": tested.digest,
        "clips": len(clips),
        "patients": int(clips["patient"].nunique()),
        "trained_on": int(overlap.known.sum()),
        "training_known": int(overlap.training_known),
        "not_compared": overlap.not_compared,
        "refused": len(tested.refused) + len(refused),
        "left_out": tested.left_out,
        "labels": mapped.describe(labels),
        **_metrics(clips, targets, chosen, mapped.names, params),
        "findings": [one.to_json() for one in overlap.findings],
    }
    return ValidationResult(
        summary,
        _predictions(tested, mapped, every, overlap, usable),
        strata.tabulate_strata(clips, targets, chosen, groups, mapped.names, params.confidence),
        pd.concat([tested.refused, pd.DataFrame(refused, columns=tested.refused.columns)], ignore_index=True),
    )


def _metrics(
    clips: pd.DataFrame, targets: IntArray, given: FloatArray, names: Sequence[str], params: Evaluate
) -> dict[str, Any]:
    """The metrics of clips and patients with intervals; how frequent each label is, and how probable it is held."""
    groups = clips["group"].to_numpy(object)
    bounds = intervals.intervals(targets, given, groups, names, params.bootstrap, params.confidence, params.seed)
    found: dict[str, Any] = dict(scores(targets, given, names))
    exact = given.astype(np.float64)
    for number, name in enumerate(names):
        metric = f"sensitivity_at_specificity_{operating_points.SPECIFICITY:g}.{name}"
        found[metric], bounds[metric] = operating_points.sensitivity_with_interval(
            targets == number, exact[:, number], groups, params.bootstrap, params.confidence, params.seed
        )
        found[f"prevalence.{name}"] = float((targets == number).mean())
        found[f"mean_probability.{name}"] = float(exact[:, number].mean())
    found["most_frequent_label"] = float(np.bincount(targets).max() / len(targets))
    of_patients, patient_bounds = measure_patients(
        targets, given, clips["patient"].to_numpy(object), groups, names, params
    )
    found, bounds = found | of_patients, bounds | patient_bounds
    return found | {"interval": {name: {"low": one.low, "high": one.high} for name, one in bounds.items()}}


def _predictions(
    tested: ValidationCohort, mapped: LabelMap, every: FloatArray, overlap: TrainingOverlap, usable: NDArray[np.bool_]
) -> pd.DataFrame:
    table = tested.clips[["clip_id", "path", "patient", "group", "label"]].copy()
    said = np.where(usable, np.nan_to_num(every).argmax(axis=1), -1)
    table["predicted"] = [mapped.names[one] if one >= 0 else "" for one in said]
    table["trained_on"] = overlap.reasons
    for number, name in enumerate(mapped.names):
        table[f"p_{name}"] = every[:, number].round(6)
    return table
