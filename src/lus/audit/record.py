"""What is known of an evaluation, and what an audit says of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.checks.near_duplicates import group_patients
from lus.common.arrays import FloatArray, IntArray

LEAK, WARNING, NOTE = "leak", "warning", "note"
CERTAIN = 0.01
"""p-value below which an observation is not put down to chance."""
Predict = Callable[[IntArray], FloatArray]
"""Row numbers of clips -> probabilities (rows, labels)."""


@dataclass(frozen=True)
class AuditFinding:
    """Something that makes the number of an evaluation doubtful.

    Attributes:
        check: that found it.
        level: `leak` (the number is not that of new patients), `warning` (it may not be), `note`.
        sentence: for a reader who knows medicine, not machine learning.
        evidence: numbers and names.
    """

    check: str
    level: str
    sentence: str
    evidence: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Plain values, as JSON holds them."""
        return vars(self) | {"evidence": dict(self.evidence)}


@dataclass(frozen=True)
class FoldRecord:
    """What one fold was trained, chosen and tested on; None where it is not known.

    Attributes:
        name: of the fold. The folds of an evaluation stand in the order in which they were trained.
        train, test: row numbers.
        chosen_on: what was chosen (head, epochs, ...) -> row numbers of the clips by whose scores.
        statistics_from: what was computed (normalisation, feature selection, ...) -> row numbers of the clips.
        initial_weights, final_weights: digests of the head's weights before and after training.
        untrained: predicts with the fold's head as it is before training.
        accuracy: as stated.
    """

    name: str
    train: IntArray
    test: IntArray
    chosen_on: Mapping[str, IntArray] | None = None
    statistics_from: Mapping[str, IntArray] | None = None
    initial_weights: str | None = None
    final_weights: str | None = None
    untrained: Predict | None = None
    accuracy: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """One evaluation as far as it is known.

    Attributes:
        clips: clip_id, path, label, patient, source; a row a clip.
        folds: in the order in which they were trained.
        probabilities: (n, labels) of each clip from the fold that tests it; not numbers where none does.
        near_duplicates: pairs of clips, left-out copies among them (`checks.near_duplicates.find_duplicates`).
        leave_source_out: as `probabilities`, from models that saw no clip of the clip's source.
        folds_alike: whether the folds are equally hard but for chance; sources are not.
        stated_leak: why its protocol is known to leak; empty where it is not.
        seed: of what is drawn at random.
    """

    clips: pd.DataFrame
    folds: Sequence[FoldRecord]
    probabilities: FloatArray | None = None
    near_duplicates: pd.DataFrame | None = None
    leave_source_out: FloatArray | None = None
    folds_alike: bool = True
    stated_leak: str = ""
    seed: int = 0

    @functools.cached_property
    def patients(self) -> NDArray[np.object_]:
        """(n,) names; patients under whom one file stood, of which the copies were left out, are one."""
        pairs, paths = self.near_duplicates, self.clips["path"]
        if pairs is None or "other_patient" not in pairs:
            return self.clips["patient"].astype(str).to_numpy(object)
        copies = pairs[~(pairs["path"].isin(paths) & pairs["other_path"].isin(paths))]
        return np.array(group_patients(self.clips, copies), object)

    @functools.cached_property
    def groups(self) -> NDArray[np.object_]:
        """(n,) who is independent of whom: patients, those whom any near-duplicate clips connect as one."""
        if self.near_duplicates is None or "other_patient" not in self.near_duplicates:
            return self.patients
        return np.array(group_patients(self.clips, self.near_duplicates), object)

    def names(self, rows: IntArray) -> list[str]:
        """The paths of clips."""
        return [str(path) for path in self.clips["path"].iloc[rows]]


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        findings: the worst first.
        passed: checks that found nothing.
        unknown: checks that could not be made, for the evaluation does not say what they need.
    """

    findings: list[AuditFinding]
    passed: list[str]
    unknown: list[str]

    @property
    def leaking(self) -> bool:
        """Whether a leak was found."""
        return any(one.level == LEAK for one in self.findings)


def of_patients(evaluation: Evaluation, known: IntArray, test: IntArray) -> tuple[list[str], IntArray]:
    """The patients of both, and the test clips that are theirs."""
    patients = evaluation.patients
    both = sorted(set(patients[known]) & set(patients[test]))
    return both, test[np.isin(patients[test].astype(str), both)]


Evidence = dict[str, object]
"""Of one fold."""


def in_folds(evaluation: Evaluation, where: Mapping[str, Evidence]) -> str:
    """As in "In fold 2," or "In 3 of 5 folds,"."""
    return f"In {next(iter(where))}," if len(where) == 1 else f"In {len(where)} of {len(evaluation.folds)} folds,"


def tested(evaluation: Evaluation, where: Mapping[str, Evidence]) -> int:
    """The number of test clips of these folds."""
    return sum(len(fold.test) for fold in evaluation.folds if fold.name in where)


def distinct(where: Mapping[str, Evidence], key: str) -> list[str]:
    """What the folds' evidence lists under a key, each once."""
    return sorted({one for evidence in where.values() for one in cast(Sequence[str], evidence[key])})


def count(things: Sequence[object] | IntArray | Mapping[str, object], word: str) -> str:
    """As in "1 clip", "2 clips"."""
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
