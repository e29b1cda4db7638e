from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lus.metrics.operating_points import sensitivity_at_specificity, sensitivity_with_interval


def _plain(positive: np.ndarray, scores: np.ndarray, specificity: float) -> float:
    """By trying every threshold."""
    best = 0.0
    for threshold in scores:
        if (scores[~positive] <= threshold).mean() >= specificity - 1e-9:
            best = max(best, float((scores[positive] > threshold).mean()))
    return best


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30), st.sampled_from([0.5, 0.8, 0.9]))
def test_it_is_the_best_threshold_that_keeps_the_specificity(rows: list[tuple[bool, int]], specificity: float) -> None:
    positive, scores = np.array([one for one, _ in rows]), np.array([float(one) for _, one in rows])
    found = sensitivity_at_specificity(positive, scores, np.ones((1, len(rows))), specificity)[0]
    if positive.all() or not positive.any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(_plain(positive, scores, specificity))


def test_its_interval_holds_it_and_narrows_with_more_patients() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (30, 300):
        positive = np.arange(count) % 2 == 0
        scores = rng.normal(positive * 1.5, 1)
        patients = np.array([f"p{one}" for one in range(count)], object)
        value, bounds = sensitivity_with_interval(positive, scores, patients, 500, 0.95, 0)
        assert bounds.low <= value <= bounds.high
        widths.append(bounds.high - bounds.low)
    assert widths[1] < widths[0]


def test_a_sensitivity_of_one_is_not_certain() -> None:
    positive = np.arange(40) < 20
    given = np.where(positive, 0.9, 0.1)
    value, bounds = sensitivity_with_interval(positive, given, np.arange(40).astype(object), 200, 0.95, 1)
    assert value == bounds.high == 1
    assert 0.75 < bounds.low < 0.9


def test_the_interval_holds_the_hits_at_the_threshold_that_was_found() -> None:
    rng = np.random.default_rng(1)
    positive = np.arange(90) < 30
    given = rng.normal(positive * 1.5, 1)
    value, bounds = sensitivity_with_interval(positive, given, np.arange(90).astype(object), 500, 0.95, 1)
    threshold = np.sort(given[~positive])[53]  # 54 of 60 are 90 %
    assert value == (given[positive] > threshold).mean()
    assert bounds.low < value < bounds.high
