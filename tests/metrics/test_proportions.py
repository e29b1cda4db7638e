from __future__ import annotations

import numpy as np
import pytest

from lus.metrics import proportions
from lus.metrics.design_effect import Clusters
from lus.metrics.proportions import Interval


def _each(clips: int) -> np.ndarray:
    return np.arange(clips).astype(object)


@pytest.mark.parametrize(("right", "clips"), [(15, 148), (0, 20), (1, 29)])
def test_many_clips_one_a_patient_have_wilsons_interval(right: int, clips: int) -> None:
    # Newcombe (Statistics in Medicine 17, 1998), table I: 0.0624 to 0.1605, 0 to 0.1611, 0.0061 to 0.1718.
    published = {15: (0.0624, 0.1605), 0: (0.0, 0.1611), 1: (0.0061, 0.1718)}[right]
    found = proportions.wilson(np.arange(clips) < right, _each(clips), 0.95)
    # Student's t widens that of few clips.
    assert found.low == pytest.approx(published[0], abs=0.002)
    assert published[1] <= found.high < published[1] + 0.03


def test_all_right_is_not_certainty() -> None:
    found = proportions.wilson(np.ones(60, bool), _each(60), 0.95)
    assert found.high == 1
    assert 0.92 < found.low < 0.95
    # Two clips of each patient say no more than one, as nothing tells that they are independent.
    twice = proportions.wilson(np.ones(120, bool), np.repeat(_each(60), 2), 0.95)
    assert twice.low == pytest.approx(found.low)


def test_clips_that_are_right_and_wrong_together_widen_it() -> None:
    right = np.repeat([True, False, True, True], 20)
    alone = proportions.wilson(right, _each(80), 0.95)
    together = proportions.wilson(right, np.repeat(np.arange(20), 4), 0.95)
    assert together.high - together.low > 1.8 * (alone.high - alone.low)


def test_one_patient_with_half_of_the_clips_leaves_few_degrees_of_freedom() -> None:
    clusters = Clusters.of_groups(np.array(["p"] * 60 + [f"q{one}" for one in range(60)], object))
    assert clusters.mean_size == pytest.approx((60**2 + 60) / 120)
    assert 2 < clusters.degrees < 4
    assert Clusters.of_groups(_each(60)).degrees == 59


@pytest.mark.parametrize(
    ("sizes", "accuracy"),
    [
        ([2] * 60, 0.95),
        ([2] * 60, 0.98),
        ([2] * 15, 0.9),
        ([2] * 15, 0.5),
        ([60] + [1] * 60, 0.8),
        ([1, 1, 1, 2, 3, 8] * 10, 0.9),
    ],
)
def test_it_holds_the_true_accuracy_as_often_as_it_says(sizes: list[int], accuracy: float) -> None:
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(len(sizes)), sizes)
    held = 0
    for _ in range(600):
        of_patient = rng.beta(accuracy, 1 - accuracy, len(sizes))  # intra-class correlation 0.5
        found = proportions.wilson(rng.random(len(patients)) < of_patient[patients], patients, 0.95)
        held += found.low <= accuracy <= found.high
    assert held / 600 >= 0.92  # benchmarks/simulated_cohorts.py: at least 0.93 of 4,000


def test_nothing_and_one_patient_have_no_interval() -> None:
    for right, groups in ((np.zeros(0, bool), np.zeros(0, object)), (np.ones(3, bool), np.full(3, "p", object))):
        assert np.isnan(proportions.wilson(right, groups, 0.95).low)


def test_means_of_independent_estimates_are_surer_than_each_and_those_of_dependent_ones_are_not() -> None:
    bounds = [Interval(0.6, 0.9), Interval(0.4, 0.8)]
    found = proportions.mean_of_independent([0.8, 0.6], bounds)
    assert found.low == pytest.approx(0.7 - np.sqrt(0.2**2 + 0.2**2) / 2)
    assert found.high == pytest.approx(0.7 + np.sqrt(0.1**2 + 0.2**2) / 2)
    dependent = proportions.mean_of_dependent([0.8, 0.6], bounds)
    assert (dependent.low, dependent.high) == (pytest.approx(0.5), pytest.approx(0.85))
    assert proportions.mean_of_independent([0.8, np.nan], [bounds[0], proportions.UNDEFINED]) == Interval(
        pytest.approx(0.6), pytest.approx(0.9)
    )
    assert np.isnan(proportions.mean_of_independent([np.nan], [proportions.UNDEFINED]).low)
    assert np.isnan(proportions.mean_of_independent([0.8, 1.0], [bounds[0], proportions.UNDEFINED]).low)


def test_every_metric_of_right_and_wrong_holds_its_value() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 3, 90)
    predicted = np.where(rng.random(90) < 0.7, targets, rng.integers(0, 3, 90))
    from lus.metrics.scores import scores

    values = scores(targets, np.eye(3, dtype=np.float32)[predicted], ["a", "b", "c"])
    found = proportions.classification_intervals(
        targets, predicted, np.repeat(np.arange(45), 2).astype(object), ["a", "b", "c"], 0.95
    )
    assert found.keys() == {name for name in values if not name.startswith(("auc", "brier", "calibration"))}
    assert all(one.low < values[name] < one.high for name, one in found.items())
