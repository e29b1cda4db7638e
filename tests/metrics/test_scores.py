from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from lus.metrics import scores


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 90)
    probabilities = rng.dirichlet(np.ones(3), 90).astype(np.float32)
    probabilities[np.arange(90), targets] += 0.4
    return targets, probabilities / probabilities.sum(axis=1, keepdims=True)


def test_figures_equal_those_of_scikit_learn(answers: tuple[np.ndarray, np.ndarray]) -> None:
    targets, probabilities = answers
    predicted = probabilities.argmax(axis=1)
    found = scores.scores(targets, probabilities, ["a", "b", "c"])
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(targets, predicted))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(targets, predicted))
    precision, recall, f1, _ = reference.precision_recall_fscore_support(targets, predicted)
    for number, name in enumerate("abc"):
        assert found[f"precision.{name}"] == pytest.approx(precision[number])
        assert found[f"sensitivity.{name}"] == pytest.approx(recall[number])
        assert found[f"f1.{name}"] == pytest.approx(f1[number])
        of_others = targets != number
        assert found[f"specificity.{name}"] == pytest.approx((predicted[of_others] != number).mean())
    assert (scores.confusion(targets, predicted, 3) == reference.confusion_matrix(targets, predicted)).all()


def test_a_label_without_clips_has_no_sensitivity() -> None:
    found = scores.scores(np.array([0, 0]), np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), ["a", "b"])
    assert math.isnan(found["sensitivity.b"])
    assert found["balanced_accuracy"] == 0.5


def test_certain_and_right_has_brier_score_zero_and_certain_and_wrong_two() -> None:
    sure = np.array([[1.0, 0.0]], np.float32)
    assert scores.scores(np.array([0]), sure, ["a", "b"])["brier"] == 0
    assert scores.scores(np.array([1]), sure, ["a", "b"])["brier"] == 2


def test_an_interval_holds_the_value_and_widens_when_clips_share_patients(
    answers: tuple[np.ndarray, np.ndarray],
) -> None:
    targets, probabilities = answers
    predicted = probabilities.argmax(axis=1)
    accuracy = (targets == predicted).mean()
    each = np.arange(90).astype(str).astype(object)
    few = np.array([f"{right}-{n % 5}" for n, right in enumerate(targets == predicted)], object)

    def interval(patients: np.ndarray) -> scores.Interval:
        return scores.intervals(targets, probabilities, patients, ["a", "b", "c"], 2000, 0.95, 1)["accuracy"]

    narrow, wide = interval(each), interval(few)
    assert narrow.low < accuracy < narrow.high
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert interval(each) == narrow


NAMES = ["a", "b", "c"]
ANSWERS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1)


def _drawn(rows: list[tuple[int, int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities with many ties, as of small numbers."""
    values = np.array(rows, np.float64)
    given = values[:, 1:] + 0.01
    return values[:, 0].astype(np.int64), (given / given.sum(axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(rows=ANSWERS, seed=st.integers(0, 99))
def test_any_answers_in_any_resample_have_the_figures_of_scikit_learn(
    rows: list[tuple[int, int, int, int]], seed: int
) -> None:
    targets, probabilities = _drawn(rows)
    weights = np.random.default_rng(seed).integers(0, 3, (2, len(targets))).astype(float)
    weights[1, 0] += 1  # the second resample holds a clip at least
    found = scores.weighted(targets, probabilities, NAMES, weights)
    predicted, drawn = probabilities.argmax(axis=1), weights[1]
    kept = drawn > 0
    assert found["accuracy"][1] == pytest.approx(reference.accuracy_score(targets, predicted, sample_weight=drawn))
    balanced = reference.recall_score(
        targets, predicted, labels=np.unique(targets[kept]), average="macro", sample_weight=drawn
    )
    assert found["balanced_accuracy"][1] == pytest.approx(balanced)
    for number, name in enumerate(NAMES):
        one, called = targets == number, predicted == number
        arguments = {"sample_weight": drawn, "zero_division": np.nan}
        for figure, function in (
            ("sensitivity", reference.recall_score),
            ("precision", reference.precision_score),
            ("f1", reference.f1_score),
        ):
            value = function(one, called, **arguments)
            assert found[f"{figure}.{name}"][1] == pytest.approx(value, nan_ok=True), figure
        value = reference.recall_score(~one, ~called, **arguments)
        assert found[f"specificity.{name}"][1] == pytest.approx(value, nan_ok=True)
        if len(np.unique(one[kept])) == 2:
            value = reference.roc_auc_score(one, probabilities[:, number], sample_weight=drawn)
            assert found[f"auc.{name}"][1] == pytest.approx(value)
        else:
            assert math.isnan(found[f"auc.{name}"][1])


def test_the_area_over_all_labels_is_that_of_scikit_learn(answers: tuple[np.ndarray, np.ndarray]) -> None:
    targets, probabilities = answers
    expected = reference.roc_auc_score(targets, probabilities.astype(float), multi_class="ovr", average="macro")
    assert scores.scores(targets, probabilities, NAMES)["auc"] == pytest.approx(expected, abs=1e-6)


def test_the_calibration_error_is_the_gap_between_how_sure_and_how_right() -> None:
    targets = np.array([0, 0, 0, 1])
    sure = np.array([[0.95, 0.05]] * 4, np.float32)
    # Three of four are right at a confidence of 0.95.
    assert scores.scores(targets, sure, ["a", "b"])["calibration_error"] == pytest.approx(0.2)
    mixed = np.concatenate([sure[:2], np.array([[0.45, 0.55]] * 2, np.float32)])
    # Two of two right at 0.95, one of two at 0.55: gaps of 0.05 each, half the clips in each.
    assert scores.scores(targets, mixed, ["a", "b"])["calibration_error"] == pytest.approx(0.05)


def test_a_single_clip_has_the_figures_that_it_can_have() -> None:
    found = scores.scores(np.array([1]), np.array([[0.2, 0.8]], np.float32), ["a", "b"])
    assert found["accuracy"] == found["balanced_accuracy"] == found["sensitivity.b"] == found["specificity.a"] == 1
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {"sensitivity.a", "specificity.b", "precision.a", "f1.a", "auc.a", "auc.b", "auc"}


def test_no_clip_or_shapes_that_do_not_fit_are_an_error() -> None:
    for targets, probabilities in (
        (np.array([], np.int64), np.zeros((0, 2), np.float32)),
        (np.array([0]), np.zeros((1, 3), np.float32)),
        (np.array([0, 1]), np.zeros((1, 2), np.float32)),
    ):
        with pytest.raises(ValueError, match="for 2 labels"):
            scores.scores(targets, probabilities, ["a", "b"])


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
        found = scores.intervals(targets, probabilities, names, ["a", "b"], 300, 0.95, repetition)
        assert found.keys() == truth.keys()
        for name, one in found.items():
            held[name] += one.low <= truth[name] <= one.high
    # Its own docstring says that the interval of the calibration error lies high.
    assert min(count for name, count in held.items() if name != "calibration_error") >= 85, held


def test_two_thousand_resamples_of_two_hundred_clips_take_about_a_second() -> None:
    rng = np.random.default_rng(0)
    targets, probabilities = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200).astype(np.float32)
    names = np.repeat(np.arange(100), 2).astype(str).astype(object)
    started = time.process_time()
    scores.intervals(targets, probabilities, names, NAMES, 2000, 0.95, 0)
    assert time.process_time() - started < 5  # 0.3 s on a quiet machine


def test_resamples_without_a_clip_of_a_label_are_left_out() -> None:
    targets = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]], np.float32)
    names = np.array(["p", "q", "r", "s"], object)
    found = scores.intervals(targets, probabilities, names, ["a", "b"], 4000, 0.95, 1)
    # Patient s, who alone has the label, is missed by (3/4)^4 = 32 % of the resamples; a, by (1/4)^4.
    assert (found["sensitivity.b"].low, found["sensitivity.b"].high) == (1, 1)


def test_one_patient_or_a_label_that_nobody_has_gives_no_interval() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]], np.float32)
    one = scores.intervals(np.array([0, 0]), probabilities, np.array(["p", "p"], object), ["a", "b"], 100, 0.95, 1)
    assert math.isnan(one["accuracy"].low)
    two = scores.intervals(np.array([0, 0]), probabilities, np.array(["p", "q"], object), ["a", "b"], 100, 0.95, 1)
    assert two["accuracy"].low == 0
    assert math.isnan(two["sensitivity.b"].high)


def test_a_fold_that_does_not_define_a_figure_is_left_out_of_its_mean() -> None:
    nan = float("nan")
    found = scores.over_folds([{"a": 0.5, "b": nan, "c": nan}, {"a": 1.0, "b": 0.25, "c": nan}])
    assert found["a"] == scores.Spread(0.75, 0.25, 2)
    assert found["b"] == scores.Spread(0.25, 0.0, 1)
    assert math.isnan(found["c"].mean)
    assert found["c"].folds == 0


def test_the_published_mean_and_deviation_are_those_of_four_perfect_folds_and_one_of_two_thirds() -> None:
    found = scores.over_folds([{"accuracy": 24 / 36}, *[{"accuracy": 1.0}] * 4])["accuracy"]
    assert (round(found.mean, 6), round(found.std, 6)) == (0.933333, 0.133333)


def test_reliability_counts_every_clip_once() -> None:
    targets = np.array([0, 1, 1, 0])
    probabilities = np.array([[1.0, 0.0], [0.95, 0.05], [0.4, 0.6], [0.25, 0.75]], np.float32)
    found = scores.reliability(targets, probabilities)
    assert found["clips"].tolist() == [1, 1, 2]
    assert found["confidence"].tolist() == pytest.approx([0.6, 0.75, 0.975])
    assert found["accuracy"].tolist() == [1, 0, 0.5]


def test_the_most_wrong_clips_are_those_whose_true_label_is_least_probable() -> None:
    targets = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.4, 0.6], [0.9, 0.1], [0.99, 0.01], [0.7, 0.3]], np.float32)
    assert scores.most_wrong(targets, probabilities, 10).tolist() == [2, 3, 0]
    assert scores.most_wrong(targets, probabilities, 1).tolist() == [2]


def test_the_interval_of_a_mean_over_folds_holds_it_and_is_that_of_all_clips_for_a_single_fold(
    answers: tuple[np.ndarray, np.ndarray],
) -> None:
    targets, probabilities = answers
    names = np.repeat(np.arange(45), 2).astype(str).astype(object)
    # Folds of unequal size, the small one all wrong, so that the mean over folds is not that over clips.
    fold_of = (np.arange(90) >= 80).astype(np.int64)
    targets = np.where(fold_of == 1, (probabilities.argmax(axis=1) + 1) % 3, targets)
    found = scores.intervals_of_fold_means(targets, probabilities, names, fold_of, NAMES, 500, 0.95, 1)
    folds = [scores.scores(targets[fold_of == f], probabilities[fold_of == f], NAMES) for f in (0, 1)]
    mean = scores.over_folds(folds)["accuracy"].mean
    assert (
        found["accuracy"].low < mean < found["accuracy"].high < scores.scores(targets, probabilities, NAMES)["accuracy"]
    )
    single = scores.intervals_of_fold_means(targets, probabilities, names, fold_of * 0, NAMES, 500, 0.95, 1)
    assert single == scores.intervals(targets, probabilities, names, NAMES, 500, 0.95, 1)
