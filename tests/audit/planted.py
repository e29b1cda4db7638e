"""Small made-up evaluations: a clean one, leaks planted in it, and clean ones that come close to these leaks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lus.audit.record import Evaluation, FoldRecord
from lus.splits import folds

LABELS, PATIENTS, CLIPS, FOLDS = ("a", "b", "c"), 36, 2, 4
Change = Callable[[Evaluation], Evaluation]


def cohort() -> pd.DataFrame:
    """Two clips of each patient; labels and sources (which say nothing of them) are even among the patients."""
    rows = [
        (f"id-{patient}-{clip}", f"clips/{patient}-{clip}.mp4", LABELS[patient % 3], f"p{patient:02}", patient // 3 % 3)
        for patient in range(PATIENTS)
        for clip in range(CLIPS)
    ]
    clips = pd.DataFrame(rows, columns=["clip_id", "path", "label", "patient", "source"])
    return clips.assign(source=[f"hospital {source}" for source in clips["source"]])


def answers(clips: pd.DataFrame, right: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probabilities, not very sure, whose most probable label is the true one where `right`."""
    rng, targets = np.random.default_rng(seed), folds.targets(clips)
    said = np.where(right, targets, (targets + rng.integers(1, 3, len(targets))) % 3)
    probabilities = rng.uniform(0.05, 0.2, (len(targets), 3))
    probabilities[np.arange(len(targets)), said] = 0.5
    return (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


def usual(seed: int = 0) -> np.ndarray:
    """Whether each clip is right, as a fair model might be: three of four patients, in every fold some are not."""
    return np.repeat(np.random.default_rng(seed).permuted(np.arange(PATIENTS)) % 4 > 0, CLIPS)


class Head:
    """A linear softmax head that learns its training clips by heart: their features are noise."""

    def __init__(self, clips: pd.DataFrame, seed: int) -> None:
        self.features = np.random.default_rng(99).normal(size=(len(clips), 300))
        self.targets = folds.targets(clips)
        self.weights = np.random.default_rng(seed).normal(size=(300, 3)) * 0.01

    def predict(self, rows: np.ndarray) -> np.ndarray:
        powers = np.exp(self.features[rows] @ self.weights)
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)

    def train(self, rows: np.ndarray) -> None:
        for _ in range(60):
            gap = self.predict(rows) - np.eye(3)[self.targets[rows]]
            self.weights = self.weights - 0.02 * self.features[rows].T @ gap

    def frozen(self) -> Callable[[np.ndarray], np.ndarray]:
        """Predicts with the weights as they are now."""
        now = Head.__new__(Head)
        now.features, now.targets, now.weights = self.features, self.targets, self.weights
        return now.predict

    def digest(self) -> str:
        return hashlib.sha256(self.weights.tobytes()).hexdigest()


def train(evaluation: Evaluation, carry: bool, seeds: Sequence[int]) -> Evaluation:
    """Train a head for each fold, from fresh weights or from those of the fold before; keeps what an audit asks."""
    head, records = Head(evaluation.clips, seeds[0]), []
    for seed, fold in zip(seeds, evaluation.folds, strict=True):
        head = head if carry else Head(evaluation.clips, seed)
        before, digest = head.frozen(), head.digest()
        head.train(fold.train)
        records.append(replace(fold, untrained=before, initial_weights=digest, final_weights=head.digest()))
    return replace(evaluation, folds=records)


def clean() -> Evaluation:
    """An evaluation in which every check can be made and finds nothing."""
    clips = cohort()
    probabilities = answers(clips, usual())
    cut = folds.by_patient(folds.targets(clips), clips["patient"].to_numpy(), FOLDS, 3, LABELS)
    records = [
        FoldRecord(
            f"fold {number}",
            fold.train,
            fold.test,
            chosen_on={"the head": fold.train},
            statistics_from={"the normalisation": fold.train},
        )
        for number, fold in enumerate(cut)
    ]
    made = Evaluation(
        clips, records, probabilities, near_duplicates=pairs(clips), leave_source_out=answers(clips, usual(1), 1)
    )
    return stated(train(made, carry=False, seeds=range(FOLDS)))


def pairs(clips: pd.DataFrame, *rows: tuple[int, int]) -> pd.DataFrame:
    """A table of near-duplicates of these rows."""
    found = [(clips["path"].iloc[one], clips["path"].iloc[other], 0.1) for one, other in rows]
    return pd.DataFrame(found, columns=["path", "other_path", "distance"])


def stated(one: Evaluation) -> Evaluation:
    """Each fold states the accuracy that its predictions have."""
    assert one.probabilities is not None
    right = one.probabilities.argmax(axis=1) == folds.targets(one.clips)
    return replace(one, folds=[replace(fold, accuracy=float(right[fold.test].mean())) for fold in one.folds])


def fold(one: Evaluation, number: int, **changes: object) -> Evaluation:
    """Change one fold."""
    records = list(one.folds)
    records[number] = replace(records[number], **changes)  # type: ignore[arg-type]
    return replace(one, folds=records)


def cells(one: Evaluation, column: str, values: Mapping[int, object]) -> Evaluation:
    """Change cells of the cohort table."""
    clips = one.clips.copy()
    for row, value in values.items():
        clips.loc[row, column] = value
    return replace(one, clips=clips)


def right(one: Evaluation, where: np.ndarray) -> Evaluation:
    """Give answers that are right there, and state their accuracies."""
    return stated(replace(one, probabilities=answers(one.clips, where)))


def ends(one: Evaluation) -> tuple[int, int, int, int]:
    """Row numbers: two test clips of different patients in fold 0, one of each label, and two in fold 1."""
    patients, labels = one.clips["patient"].to_numpy(), one.clips["label"].to_numpy()
    found = []
    for number in (0, 1):
        test = one.folds[number].test
        first = test[0]
        second = next(row for row in test if patients[row] != patients[first] and labels[row] == labels[first])
        found += [int(first), int(second)]
    return found[0], found[1], found[2], found[3]


def by_clip(one: Evaluation) -> Evaluation:
    """Folds that cut through patients: the second clip of each stands in the next fold."""
    number = np.empty(len(one.clips), np.int64)
    for place, record in enumerate(one.folds):
        number[record.test] = place
    number[1::CLIPS] = (number[1::CLIPS] + 1) % FOLDS
    rows = np.arange(len(number))
    records = [
        replace(record, train=rows[number != place], test=rows[number == place])
        for place, record in enumerate(one.folds)
    ]
    return stated(replace(one, folds=records))


def chosen_on_other_clips(one: Evaluation, of_test_patients: bool) -> Evaluation:
    """Fold 0 tests the first clip of its patients alone; it is chosen on other clips that it does not train on."""
    record = one.folds[0]
    firsts, others = record.test[::CLIPS], record.test[1::CLIPS]
    if of_test_patients:
        return stated(fold(one, 0, test=firsts, chosen_on={"the number of epochs": others}))
    chosen = record.train[:6]  # three patients whom it neither trains on nor tests
    return stated(fold(one, 0, train=record.train[6:], chosen_on={"the number of epochs": chosen}))


def pattern(one: Evaluation, wrong: Sequence[int]) -> Evaluation:
    """In each fold so many patients are wrong, with both their clips."""
    where = np.ones(len(one.clips), bool)
    for record, count in zip(one.folds, wrong, strict=True):
        where[record.test[: CLIPS * count]] = False
    return right(one, where)


def says(one: Evaluation, column: str, value: Callable[[str], str], share: float) -> Evaluation:
    """A property that follows from the label for this share of the patients, and answers that follow the property."""
    clips = one.clips.copy()
    patient = clips["patient"].str[1:].astype(int)
    told = (patient // 3) < share * PATIENTS / 3
    clips[column] = [
        value(label if tells else LABELS[(number // 3) % 3])
        for label, tells, number in zip(clips["label"], told, patient, strict=True)
    ]
    return replace(one, clips=clips)


@dataclass(frozen=True)
class Case:
    """A leak, the check that must find it, and what comes close to it without being one."""

    name: str
    check: str
    leak: Change
    clean: Change


def one_clip_each(count: int) -> np.ndarray:
    """The first clips of the first so many patients who are right in `usual`."""
    where = np.zeros(PATIENTS * CLIPS, bool)
    where[np.flatnonzero(usual())[: CLIPS * count : CLIPS]] = True
    return where


def path_of(label: str) -> str:
    return f"clips/{label}.{'mpeg' if label == 'a' else 'mov' if label == 'b' else 'gif'}"


CASES = [
    Case(
        "a test clip is trained on | it is tested only",
        "clips",
        lambda one: fold(one, 0, train=np.append(one.folds[0].train, one.folds[0].test[0])),
        lambda one: fold(one, 0, train=one.folds[0].train[:-2]),
    ),
    Case(
        "folds cut through patients | folds of patients, in another order",
        "patients",
        by_clip,
        lambda one: replace(one, folds=[*one.folds[1:], one.folds[0]]),
    ),
    Case(
        "the same recording twice, trained and tested on | twice within a test",
        "content",
        lambda one: cells(one, "clip_id", {ends(one)[0]: "same", ends(one)[2]: "same"}),
        lambda one: cells(one, "clip_id", {ends(one)[0]: "same", ends(one)[1]: "same"}),
    ),
    Case(
        "nearly the same pictures on both sides | on one side",
        "near-duplicates",
        lambda one: replace(one, near_duplicates=pairs(one.clips, (ends(one)[0], ends(one)[2]))),
        lambda one: replace(
            one,
            folds=[replace(one.folds[0], train=np.setdiff1d(one.folds[0].train, one.folds[1].test)), *one.folds[1:2]],
            near_duplicates=pairs(one.clips, (ends(one)[0], ends(one)[1])),
        ),
    ),
    Case(
        "a patient has two diagnoses | two patients have one",
        "labels",
        lambda one: cells(one, "patient", dict.fromkeys(range(8, 10), "p03")),
        lambda one: cells(one, "patient", dict.fromkeys(range(6, 8), "p03 again")),
    ),
    Case(
        "a fold starts from the weights of the one before | every fold starts from the same fresh ones",
        "weights",
        lambda one: replace(one, folds=[replace(x, untrained=None) for x in train(one, True, range(FOLDS)).folds]),
        lambda one: train(one, False, [5] * FOLDS),
    ),
    Case(
        "a model knows what only earlier folds learnt, whatever its digest says | fresh weights by other seeds",
        "memory",
        lambda one: replace(
            one, folds=[replace(x, initial_weights=f"fresh {x.name}") for x in train(one, True, range(FOLDS)).folds]
        ),
        lambda one: train(one, False, range(50, 50 + FOLDS)),
    ),
    Case(
        "normalised by all clips | by the training clips",
        "statistics",
        lambda one: fold(one, 2, statistics_from={"the normalisation": np.arange(len(one.clips))}),
        lambda one: fold(one, 2, statistics_from={"the normalisation": one.folds[2].train[::2]}),
    ),
    Case(
        "features chosen on all clips before the folds were cut | on the training clips of each",
        "statistics",
        lambda one: replace(
            one,
            folds=[
                replace(x, statistics_from={"the choice of features": np.arange(len(one.clips))}) for x in one.folds
            ],
        ),
        lambda one: replace(
            one, folds=[replace(x, statistics_from={"the choice of features": x.train}) for x in one.folds]
        ),
    ),
    Case(
        "the head is chosen by its score on the test | on a part of the training",
        "selection",
        lambda one: fold(one, 1, chosen_on={"the backbone": one.folds[1].train, "the head": one.folds[1].test}),
        lambda one: fold(one, 1, chosen_on={"the backbone": one.folds[1].train, "the head": one.folds[1].train[:9]}),
    ),
    Case(
        "epochs chosen on other clips of test patients | of patients who are neither trained nor tested on",
        "selection",
        lambda one: chosen_on_other_clips(one, of_test_patients=True),
        lambda one: chosen_on_other_clips(one, of_test_patients=False),
    ),
    Case(
        "one fold is poor and the others perfect | mistakes in every fold, if more in one",
        "fold-pattern",
        lambda one: pattern(one, [6, 0, 0, 0]),
        lambda one: pattern(one, [6, 1, 2, 1]),
    ),
    Case(
        "one fold is poor and the others perfect, by stated accuracies alone | by one mistake of chance",
        "fold-pattern",
        lambda one: replace(pattern(one, [6, 0, 0, 0]), probabilities=None),
        lambda one: replace(pattern(one, [0, 0, 1, 0]), probabilities=None),
    ),
    Case(
        "answers follow the hospital | the hospital says little",
        "shortcuts",
        lambda one: says(one, "source", lambda label: f"hospital of {label}", 1.0),
        lambda one: says(one, "source", lambda label: f"hospital of {label}", 0.1),
    ),
    Case(
        "answers follow the container | all containers are one",
        "shortcuts",
        lambda one: says(one, "path", path_of, 1.0),
        lambda one: says(one, "path", lambda label: f"clips/{label}.mp4", 1.0),
    ),
    Case(
        "much worse on hospitals not seen | surely worse, by 7 of 72 clips",
        "sources",
        lambda one: replace(one, leave_source_out=answers(one.clips, np.arange(len(one.clips)) % 9 < 3, 2)),
        lambda one: replace(one, leave_source_out=answers(one.clips, usual() & ~one_clip_each(7), 2)),
    ),
    Case(
        "a stated accuracy is not that of the answers | it is, but for rounding",
        "figures",
        lambda one: fold(one, 3, accuracy=1.0),
        lambda one: fold(one, 3, accuracy=round(one.folds[3].accuracy or 0, 4)),
    ),
    Case(
        "a clip is tested in two folds | in one or none",
        "tested",
        lambda one: stated(
            fold(
                one,
                0,
                test=np.append(one.folds[0].test, one.folds[1].test[:2]),
                train=np.setdiff1d(one.folds[0].train, one.folds[1].test[:2]),
            )
        ),
        lambda one: stated(fold(one, 0, test=one.folds[0].test[2:])),
    ),
    Case(
        "a protocol that leaks by its rule | one whose folds are sources, of which one is hard",
        "protocol",
        lambda one: replace(one, stated_leak="the head is chosen by its score on the test clips"),
        lambda one: replace(pattern(one, [6, 0, 0, 0]), folds_alike=False, leave_source_out=None),
    ),
]
