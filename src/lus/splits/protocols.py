"""Protocols: by which rule a cohort is cut, and what is carried or chosen across the cut.

Each gives the parts of a cohort (`folds.Part`), the whole of it last, and says of itself whether its number leaks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import ClassVar, Protocol

import numpy as np
import pandas as pd

from lus.common.arrays import IntArray
from lus.common.errors import BadInput
from lus.common.params import Folds
from lus.splits import folds
from lus.splits.folds import ALL, Fold, Part

SMALL = 5
"""A source with fewer clips is tested together with the other small ones."""
REST = "other sources"
"""The name under which the small sources are tested together."""


class EvaluationProtocol(Protocol):
    """What every protocol has.

    Attributes:
        name: as in `params.yaml`.
        leaking: whether its number is better than what new patients would give.
        why: of that, a sentence; empty where it does not leak.
        carries_weights: whether a fold's head starts from the one before, not from fresh weights.
        folds_alike: whether the folds are equally hard but for chance.
        one_choice: whether one head, chosen by its scores in the folds of the whole cohort, is for all of them; else
            each part chooses its own.
    """

    name: ClassVar[str]
    leaking: ClassVar[bool]
    why: ClassVar[str]
    carries_weights: ClassVar[bool]
    folds_alike: ClassVar[bool]
    one_choice: ClassVar[bool]

    def parts(self, clips: pd.DataFrame) -> list[Part]:
        """The parts of a cohort table."""
        ...


@dataclass(frozen=True)
class NestedPatient:
    """Folds by patient; every choice is made on folds of the training patients; fresh weights for each."""

    params: Folds
    name: ClassVar[str] = "nested-patient"
    leaking: ClassVar[bool] = False
    why: ClassVar[str] = ""
    carries_weights: ClassVar[bool] = False
    folds_alike: ClassVar[bool] = True
    one_choice: ClassVar[bool] = False

    def parts(self, clips: pd.DataFrame) -> list[Part]:
        """The parts of a cohort table.

        Raises:
            BadInput: a label has too few patients.
        """
        return folds.plan(clips, self.params)


@dataclass(frozen=True)
class LeaveSourceOut:
    """A source at a time is tested; else as `NestedPatient`.

    Sources of fewer than `SMALL` clips are tested together. Clips that other sources have of a test patient are left
    out of training. A source without which a label has fewer patients than there are inner folds cannot be tested:
    its clips are in no test part.
    """

    params: Folds
    name: ClassVar[str] = "leave-source-out"
    leaking: ClassVar[bool] = False
    why: ClassVar[str] = ""
    carries_weights: ClassVar[bool] = False
    folds_alike: ClassVar[bool] = False
    one_choice: ClassVar[bool] = False

    def groups(self, clips: pd.DataFrame) -> dict[str, IntArray]:
        """The row numbers of each source that is tested, in the order of the parts."""
        sources = clips["source"].to_numpy(str)
        names, counts = np.unique(sources, return_counts=True)
        small = names[counts < SMALL]
        tested = {str(name): np.flatnonzero(sources == name) for name in names[counts >= SMALL]}
        if len(small):
            tested[REST] = np.flatnonzero(np.isin(sources, small))
        return {name: rows for name, rows in tested.items() if self._can_be_left_out(clips, rows)}

    def _train(self, clips: pd.DataFrame, test: IntArray) -> IntArray:
        patients = folds.groups(clips)
        elsewhere = np.setdiff1d(np.arange(len(clips)), test)
        return elsewhere[~np.isin(patients[elsewhere], patients[test])]

    def _can_be_left_out(self, clips: pd.DataFrame, test: IntArray) -> bool:
        left = (
            clips.assign(group=folds.groups(clips)).iloc[self._train(clips, test)].groupby("label")["group"].nunique()
        )
        return bool(left.reindex(folds.label_names(clips), fill_value=0).min() >= self.params.inner)

    def parts(self, clips: pd.DataFrame) -> list[Part]:
        """The parts of a cohort table, `fold-0`, ... in the order of `groups`.

        Raises:
            BadInput: the cohort has one source only or none, none of them can be left out, or a label has too few
                patients.
        """
        found = clips["source"].nunique()
        groups = self.groups(clips) if found > 1 else {}
        if not groups:
            what = "all its clips are of one source" if found < 2 else "without any of its sources a label is too small"
            raise BadInput(
                f"{what}; {self.name} needs two sources or more, and {self.params.inner} patients of each label "
                "elsewhere: fill the column source, or use nested-patient"
            )
        of_sources = [
            folds.part(clips, folds.fold_name(number), self._train(clips, test), test, self.params)
            for number, test in enumerate(groups.values())
        ]
        return [*of_sources, folds.whole(clips, self.params)]


@dataclass(frozen=True)
class _OfFile:
    """The folds of a file: {"0": {"train": [names, ...], "test": [names, ...]}, ...}, clips by file name."""

    file: Path
    folds_alike: ClassVar[bool] = True
    one_choice: ClassVar[bool] = True

    def parts(self, clips: pd.DataFrame) -> list[Part]:
        """The parts of a cohort table; each is chosen by its own test clips.

        Clips that the cohort does not have are passed over; clips of the cohort that the file does not name stand in
        no part.

        Raises:
            BadInput: the file is missing or is something else, or has a fold of which the cohort has no clip to train
                on or to test.
        """
        row_of = _by_name(clips)
        cut = []
        for name, fold in _read(self.file).items():
            train, test = (
                np.array(sorted(row_of[one] for one in fold[side] if one in row_of), np.int64)
                for side in ("train", "test")
            )
            if not len(train) or not len(test):
                side = "test" if len(train) else "train"
                raise BadInput(
                    f"{self.file}: fold {name} names no {side} clip of this cohort; use the cohort that these folds cut"
                )
            cut.append(Fold(train, test))
        tested = np.unique(np.concatenate([fold.test for fold in cut]))
        parts = [Part(folds.fold_name(number), fold.train, fold.test, (fold,)) for number, fold in enumerate(cut)]
        return [*parts, Part(ALL, tested, np.array([], np.int64), tuple(cut))]


@dataclass(frozen=True)
class Published(_OfFile):
    """The published folds, one head carried through them, chosen by its score on the test clips."""

    name: ClassVar[str] = "published"
    leaking: ClassVar[bool] = True
    why: ClassVar[str] = (
        "one head is carried through the folds, so that it has learnt most test clips before; it is chosen by its "
        "score on the test clips; and some patients stand on both sides of a fold"
    )
    carries_weights: ClassVar[bool] = True


@dataclass(frozen=True)
class PublishedFresh(_OfFile):
    """The published folds and choice, but fresh weights for each fold: what is left of the published number."""

    name: ClassVar[str] = "published-fresh"
    leaking: ClassVar[bool] = True
    why: ClassVar[str] = (
        "the head is chosen by its score on the test clips, and some patients stand on both sides of a fold"
    )
    carries_weights: ClassVar[bool] = False


RULES: dict[str, type[EvaluationProtocol]] = {
    rule.name: rule for rule in (NestedPatient, LeaveSourceOut, Published, PublishedFresh)
}
"""The protocols by name."""


def make_protocol(params: Folds) -> EvaluationProtocol:
    """The protocol that the parameters name."""
    rule = RULES[params.protocol]
    if issubclass(rule, _OfFile):
        return rule(Path(params.file))
    return NestedPatient(params) if rule is NestedPatient else LeaveSourceOut(params)


def _by_name(clips: pd.DataFrame) -> dict[str, int]:
    names = [PurePath(path).name for path in clips["path"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"several clips are named {twice[0]}, so that folds by name cannot be told apart; rename them")
    return {name: row for row, name in enumerate(names)}


def _read(file: Path) -> dict[str, dict[str, list[str]]]:
    expected = 'as in {"0": {"train": [names], "test": [names]}, ...}'
    try:
        content = json.loads(file.read_text())
        found = {str(name): {side: _names(fold[side]) for side in ("train", "test")} for name, fold in content.items()}
    except FileNotFoundError:
        raise BadInput(
            f"{file}: not found, a file of folds by clip name was expected, {expected}; folds/README.md says where the "
            "published one is"
        ) from None
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise BadInput(f"{file}: is no file of folds ({error}), expected {expected}; mend or fetch it") from None
    if not found:
        raise BadInput(f"{file}: has no fold, expected some {expected}; mend or fetch it")
    return found


def _names(side: list[object]) -> list[str]:
    """Names alone, or a pair of lists as the published file has it: names, and their labels."""
    names = side[0] if side and isinstance(side[0], list) else side
    if not all(isinstance(name, str) for name in names):
        raise ValueError("a clip's name is no text")
    return [str(name) for name in names]
