from __future__ import annotations

import math
import time

import numpy as np
import pytest

from lus.metrics import intervals, scores

NAMES = ["a", "b", "c"]


def test_an_interval_holds_the_value_and_widens_when_clips_share_patients(
    answers: tuple[np.ndarray, np.ndarray],
) -> None:
    targets, probabilities = answers
    predicted = probabilities.argmax(axis=1)
    accuracy = (targets == predicted).mean()
    each = np.arange(90).astype(str).astype(object)
    few = np.array([f"{right}-{n % 5}" for n, right in enumerate(targets == predicted)], object)

    def interval(patients: np.ndarray) -> intervals.Interval:
        return intervals.intervals(targets, probabilities, patients, ["a", "b", "c"], 2000, 0.95, 1)["accuracy"]

    narrow, wide = interval(each), interval(few)
    assert narrow.low < accuracy < narrow.high
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert interval(each) == narrow


def test_every_figure_has_an_interval_that_holds_most_repetitions_of_the_study() -> None:
    rng = np.random.default_rng(3)

    def study(patients: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        of_patient = rng.random(patients) < 0.5
        targets = np.repeat(of_patient, 2).astype(np.int64)
        # Both clips of a patient get nearly the same answer.
        lean = np.repeat(rng.normal(0.8 * (2 * of_patient - 1), 1), 2) + 0.1 * rng.normal(size=2 * patients)
        given = 1 / (1 + np.exp(-lean))
        names = np.repeat([f"p{number}" for number in range(patients)], 2).astype(object)
        return targets, np.stack([1 - given, given], axis=1).astype(np.float32), names

    truth = scores.scores(*study(40_000)[:2], ["a", "b"])
    held = dict.fromkeys(truth, 0)
    for repetition in range(100):
        targets, probabilities, names = study(40)
        found = intervals.intervals(targets, probabilities, names, ["a", "b"], 300, 0.95, repetition)
        assert found.keys() == truth.keys()
        for name, one in found.items():
            held[name] += one.low <= truth[name] <= one.high
    # Its own docstring says that the interval of the calibration error lies high.
    assert min(count for name, count in held.items() if name != "calibration_error") >= 90, held


def test_two_thousand_resamples_of_two_hundred_clips_take_about_a_second() -> None:
    rng = np.random.default_rng(0)
    targets, probabilities = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200).astype(np.float32)
    names = np.repeat(np.arange(100), 2).astype(str).astype(object)
    started = time.process_time()
    intervals.intervals(targets, probabilities, names, NAMES, 2000, 0.95, 0)
    assert time.process_time() - started < 5  # 0.3 s on a quiet machine


def test_all_right_is_certain_of_nothing() -> None:
    targets = np.arange(90) % 3
    probabilities = np.eye(3, dtype=np.float32)[targets] * 0.7 + 0.1
    names = np.repeat(np.arange(45), 2).astype(str).astype(object)
    found = intervals.intervals(targets, probabilities, names, NAMES, 500, 0.95, 1)
    values = scores.scores(targets, probabilities, NAMES)
    perfect = {name: one for name, one in found.items() if values[name] == 1}
    assert {"accuracy", "balanced_accuracy", "auc", "auc.a", "f1.b", "precision.c", "specificity.a"} <= perfect.keys()
    assert all(0.5 < one.low < 0.97 and one.high == 1 for one in perfect.values())
    # No clip differs from another in these: nothing is said rather than an interval of no width.
    assert math.isnan(found["brier"].low)
    assert math.isnan(found["calibration_error"].high)


def test_a_label_of_one_patient_has_no_interval() -> None:
    targets = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]], np.float32)
    names = np.array(["p", "q", "r", "s"], object)
    found = intervals.intervals(targets, probabilities, names, ["a", "b"], 4000, 0.95, 1)
    assert math.isnan(found["sensitivity.b"].low)
    assert math.isnan(found["auc.b"].low)
    assert found["accuracy"].low < 0.75 < found["accuracy"].high


def test_folds_that_share_patients_are_not_independent() -> None:
    rng = np.random.default_rng(1)
    targets, probabilities = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), 90).astype(np.float32)
    fold_of = np.arange(90) % 2
    apart, shared = (
        intervals.intervals_of_fold_means(targets, probabilities, names, fold_of, NAMES, 200, 0.95, 1)["accuracy"]
        for names in (np.arange(90).astype(object), (np.arange(90) // 2).astype(object))
    )
    assert shared.high - shared.low > 1.3 * (apart.high - apart.low)


def test_one_patient_or_a_label_that_nobody_has_gives_no_interval() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]], np.float32)
    one = intervals.intervals(np.array([0, 0]), probabilities, np.array(["p", "p"], object), ["a", "b"], 100, 0.95, 1)
    assert math.isnan(one["accuracy"].low)
    two = intervals.intervals(np.array([0, 0]), probabilities, np.array(["p", "q"], object), ["a", "b"], 100, 0.95, 1)
    assert two["accuracy"].low < 0.01
    assert math.isnan(two["sensitivity.b"].high)


def test_the_interval_of_a_mean_over_folds_holds_it_and_is_that_of_all_clips_for_a_single_fold(
    answers: tuple[np.ndarray, np.ndarray],
) -> None:
    targets, probabilities = answers
    names = np.repeat(np.arange(45), 2).astype(str).astype(object)
    # Folds of unequal size, the small one all wrong, so that the mean over folds is not that over clips.
    fold_of = (np.arange(90) >= 80).astype(np.int64)
    targets = np.where(fold_of == 1, (probabilities.argmax(axis=1) + 1) % 3, targets)
    found = intervals.intervals_of_fold_means(targets, probabilities, names, fold_of, NAMES, 500, 0.95, 1)
    folds = [scores.scores(targets[fold_of == f], probabilities[fold_of == f], NAMES) for f in (0, 1)]
    mean = scores.over_folds(folds)["accuracy"].mean
    of_all = intervals.intervals(targets, probabilities, names, NAMES, 500, 0.95, 1)["accuracy"]
    assert found["accuracy"].low < mean < found["accuracy"].high < of_all.high
    single = intervals.intervals_of_fold_means(targets, probabilities, names, fold_of * 0, NAMES, 500, 0.95, 1)
    for name, one in intervals.intervals(targets, probabilities, names, NAMES, 500, 0.95, 1).items():
        assert (single[name].low, single[name].high) == pytest.approx((one.low, one.high))
