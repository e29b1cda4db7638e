"""Every fold of a protocol: the chosen head trained, calibrated and tested, beside what it is to be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lus.audit.record import FoldRecord
from lus.checks.shortcuts import get_containers
from lus.common import workers
from lus.common.arrays import FloatArray, IntArray
from lus.common.params import Folds
from lus.evaluation import selection
from lus.evaluation.methods import METHODS, MODEL
from lus.evaluation.selection import Candidate, Choice
from lus.heads import training
from lus.heads.model import FRAMES, POOL
from lus.heads.training import TrainedHead
from lus.metrics import baselines, calibration
from lus.splits import folds
from lus.splits.folds import Part
from lus.splits.protocols import EvaluationProtocol, LeaveSourceOut

APART = 1000
"""Between the seeds of two trainings of the same fold."""


SHUFFLED_FOLDS, PATIENCE = 2, 2
"""Inner folds on which the epochs of a head of shuffled frames are chosen, and epochs without a lower loss there."""


@dataclass(frozen=True)
class CrossValidationResult:
    """What the folds gave.

    Attributes:
        answers: method -> probabilities (n, labels) of each clip from the fold that tests it; not numbers where none
            does.
        uncalibrated: those of the model before its temperature.
        repeated: (trainings, n) labels that the heads give when they are trained again with other seeds, in the same
            folds; none where that was not asked for.
        fold_of: (n,) the number of that fold; -1 where none.
        records: of each fold, for an audit.
        choices: of each fold, plain values.
    """

    answers: dict[str, FloatArray]
    uncalibrated: FloatArray
    repeated: IntArray
    fold_of: IntArray
    records: list[FoldRecord]
    choices: list[dict[str, Any]]

    @property
    def tested(self) -> IntArray:
        """Row numbers of the clips that a fold tests."""
        return np.flatnonzero(self.fold_of >= 0)


@dataclass(frozen=True)
class _Fold:
    """A fold with its choice, and the head before and after its training."""

    part: Part
    choice: Choice
    features: FloatArray
    targets: IntArray
    labels: int
    before: TrainedHead
    after: TrainedHead
    seed: int
    carried: bool

    def model(self, given: FloatArray) -> dict[str, FloatArray]:
        """The head's own answers (n_test, labels) once calibrated, and those without the order of the frames.

        Args:
            given: its answers before its temperature.
        """
        mixed, test = baselines.shuffled(self.features, self.seed), self.part.test
        return {
            MODEL: self._calibrated(given),
            "model-shuffled-test": self._calibrated(self.after.predict(mixed[test])),
            "model-shuffled": self._calibrated(given) if self._ignores_order() else self._shuffled(mixed),
        }

    def _ignores_order(self) -> bool:
        """Whether the head reads each frame by itself and pools them: shuffled frames are nothing new to it."""
        head = self.choice.trial.head
        return head.kind == POOL and head.inputs == FRAMES

    def _shuffled(self, mixed: FloatArray) -> FloatArray:
        """Answers (n_test, labels) of the chosen head trained on shuffled frames.

        Its epochs and temperature are chosen on inner folds with shuffled frames too, up to the most epochs that any
        trial needed; its layers and learning rate are those that were chosen on ordered frames, since a search of its
        own would cost as much as the whole of the model's. For the same reason some of the inner folds must do.

        Args:
            mixed: (n, length, dim) shuffled features of the cohort.
        """
        trial, targets, given, epochs = self.choice.trial, self.targets, [], []
        inner_folds = self.choice.inner[:SHUFFLED_FOLDS]
        for number, inner in enumerate(inner_folds):
            tried = training.train(
                trial.head,
                mixed[inner.train],
                targets[inner.train],
                self.labels,
                epochs=self.choice.longest,
                seed=self.seed + number,
                validation=(mixed[inner.test], targets[inner.test]),
                patience=PATIENCE,
            )
            epochs.append(tried.history.best_epoch)
            given.append(np.empty((0, self.labels)) if tried.probabilities is None else tried.probabilities)
        train, rows = self.part.train, np.concatenate([inner.test for inner in inner_folds])
        blind = training.train(
            trial.head, mixed[train], targets[train], self.labels, epochs=int(np.median(epochs)), seed=self.seed
        )
        groups = folds.groups(self.choice.candidate.data.clips)[rows]
        fitted = selection.fit_temperature(np.concatenate(given).astype(np.float32), targets[rows], groups)
        return calibration.apply(blind.predict(mixed[self.part.test]), fitted.value)

    def answer_again(self, number: int) -> IntArray:
        """Labels (n_test,) given by the head trained again, with the seed of its `number`-th repetition.

        It begins with the weights that the fold before left where the protocol carries them, else with fresh ones.
        """
        trial, train = self.choice.trial, self.part.train
        again = training.train(
            trial.head,
            self.features[train],
            self.targets[train],
            self.labels,
            epochs=trial.epochs,
            seed=self.seed + APART * number,
            weights=self.before.weights if self.carried else None,
        )
        return np.asarray(again.predict(self.features[self.part.test]).argmax(axis=1), np.int64)

    def _calibrated(self, probabilities: FloatArray) -> FloatArray:
        return calibration.apply(probabilities, self.choice.temperature)

    def baselines(self, clips: pd.DataFrame) -> dict[str, FloatArray]:
        """What is reached without a sequence: (n_test, labels) each."""
        rest = (self.targets, self.part.train, self.part.test, self.labels)
        votes, means = baselines.frame_wise(self.features, *rest)
        found = {
            "frame-mean": means,
            "frame-vote": votes,
            "averaged-features": baselines.averaged_features(self.features, *rest),
            "container": baselines.by_property(get_containers(clips["path"]), *rest),
            "majority": baselines.majority(*rest),
        }
        if clips["source"].nunique() > 1:
            found["source"] = baselines.by_property(clips["source"], *rest)
        return found

    def record(self) -> FoldRecord:
        """What an audit asks of it."""
        head = self.before
        return FoldRecord(
            self.part.name,
            self.part.train,
            self.part.test,
            chosen_on={"the classifier": self.choice.validation},
            statistics_from={"the normalisation": self.part.train},
            initial_weights=head.digest,
            final_weights=self.after.digest,
            untrained=lambda rows: head.predict(self.features[rows]),
        )


def _train(found: Choice, part: Part, seed: int, carried: Sequence[FloatArray] | None) -> _Fold:
    data, trial = found.candidate.data, found.trial
    features, targets = data.for_part(part.name), folds.targets(data.clips)
    labels = len(folds.label_names(data.clips))
    own = features[part.train]
    before = training.init_head(trial.head, own, labels, seed, carried)
    after = training.train(
        trial.head, own, targets[part.train], labels, epochs=trial.epochs, seed=seed, weights=before.weights
    )
    return _Fold(part, found, features, targets, labels, before, after, seed, carried is not None)


def cross_validate(
    tried: Sequence[Candidate],
    rule: EvaluationProtocol,
    seed: int,
    progress: workers.Progress | None = None,
    repeats: int = 1,
) -> CrossValidationResult:
    """Train and test every fold.

    Args:
        tried: feature sets with the heads tried on them.
        rule: the protocol by which they were cut.
        seed: of weights, dropout and shuffling.
        progress: called after each fold.
        repeats: trainings of each fold's head; all but the first give `repeated` alone.
    """
    clips, parts = tried[0].data.clips, [part for part in tried[0].parts.values() if part.name != folds.ALL]
    labels = len(folds.label_names(clips))
    fold_of = np.full(len(clips), -1, np.int64)
    answers: dict[str, FloatArray] = {}
    uncalibrated = np.full((len(clips), labels), np.nan, np.float32)
    repeated = np.full((repeats - 1, len(clips)), -1, np.int64)
    records, choices = [], []
    carried: Sequence[FloatArray] | None = None
    for number, part in enumerate(parts):
        found = selection.choose(tried, folds.ALL if rule.one_choice else part.name)
        one = _train(found, part, seed + number, carried)
        carried = one.after.weights if rule.carries_weights else None
        uncalibrated[part.test] = one.after.predict(one.features[part.test])
        for method, given in (one.model(uncalibrated[part.test]) | one.baselines(clips)).items():
            of_all = answers.setdefault(method, np.full((len(clips), labels), np.nan, np.float32))
            of_all[part.test] = given
        for again in range(1, repeats):
            repeated[again - 1, part.test] = one.answer_again(again)
        fold_of[part.test] = number
        records.append(one.record())
        choices.append(_plain(number, found))
        if progress:
            progress(number + 1, len(parts))
    # At the end: a clip that several folds test counts with its last answer in all of them.
    right = answers[MODEL].argmax(axis=1) == folds.targets(clips)
    return CrossValidationResult(
        {method: answers[method] for method in METHODS if method in answers},
        uncalibrated,
        repeated,
        fold_of,
        [replace(record, accuracy=float(right[record.test].mean())) for record in records],
        choices,
    )


def _plain(number: int, found: Choice) -> dict[str, Any]:
    return {
        "fold": number,
        "feature_set": found.candidate.data.name,
        "trial": found.trial.number,
        "epochs": found.trial.epochs,
        "temperature": found.temperature,
        "temperature_why": found.why,
    }


def leave_source_out(
    tried: Sequence[Candidate], cut: Folds, seed: int, progress: workers.Progress | None = None
) -> FloatArray | None:
    """What the head that was chosen for the whole cohort answers on sources that it was not trained on.

    The choice itself has seen them, so that the answers are a little too good. `progress` is called after each source.

    Returns:
        (n, labels), not numbers where a source cannot be left out; None where the cohort has no sources, or its
        backbone was trained on all of them.
    """
    found, rule = selection.choose(tried, folds.ALL), LeaveSourceOut(cut)
    clips = found.candidate.data.clips
    groups = rule.groups(clips) if clips["source"].nunique() > 1 else {}
    if not groups or found.candidate.data.info.folds is not None:
        return None
    answers = np.full((len(clips), len(folds.label_names(clips))), np.nan, np.float32)
    parts = rule.parts(clips)[:-1]
    for number, part in enumerate(parts, 1):
        one = _train(found, part, seed, None)
        answers[part.test] = one.after.predict(one.features[part.test])
        if progress:
            progress(number, len(parts))
    return answers
