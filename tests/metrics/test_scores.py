from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from lus.metrics import scores


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
