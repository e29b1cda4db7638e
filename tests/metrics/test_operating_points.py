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
