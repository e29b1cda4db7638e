from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from lus import metrics


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
    found = metrics.scores(targets, probabilities, ["a", "b", "c"])
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(targets, predicted))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(targets, predicted))
    precision, recall, f1, _ = reference.precision_recall_fscore_support(targets, predicted)
    for number, name in enumerate("abc"):
        assert found[f"precision.{name}"] == pytest.approx(precision[number])
        assert found[f"sensitivity.{name}"] == pytest.approx(recall[number])
        assert found[f"f1.{name}"] == pytest.approx(f1[number])
        of_others = targets != number
        assert found[f"specificity.{name}"] == pytest.approx((predicted[of_others] != number).mean())
    assert (metrics.confusion(targets, predicted, 3) == reference.confusion_matrix(targets, predicted)).all()


def test_a_label_without_clips_has_no_sensitivity() -> None:
    found = metrics.scores(np.array([0, 0]), np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), ["a", "b"])
    assert math.isnan(found["sensitivity.b"])
    assert found["balanced_accuracy"] == 0.5


def test_certain_and_right_has_brier_score_zero_and_certain_and_wrong_two() -> None:
    sure = np.array([[1.0, 0.0]], np.float32)
    assert metrics.scores(np.array([0]), sure, ["a", "b"])["brier"] == 0
    assert metrics.scores(np.array([1]), sure, ["a", "b"])["brier"] == 2


def test_an_interval_holds_the_value_and_widens_when_clips_share_patients(
    answers: tuple[np.ndarray, np.ndarray],
) -> None:
    targets, probabilities = answers
    predicted = probabilities.argmax(axis=1)
    accuracy = (targets == predicted).mean()
    each = np.arange(90).astype(str).astype(object)
    few = np.array([f"{right}-{n % 5}" for n, right in enumerate(targets == predicted)], object)
    low, high = metrics.interval(targets, predicted, each, 2000, 0.95, 1)["accuracy"]
    assert low < accuracy < high
    wide_low, wide_high = metrics.interval(targets, predicted, few, 2000, 0.95, 1)["accuracy"]
    assert wide_high - wide_low > 1.5 * (high - low)
    assert metrics.interval(targets, predicted, each, 2000, 0.95, 1)["accuracy"] == (low, high)
