from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lus.metrics import fold_patterns


def _ones(*sizes: int) -> list[np.ndarray]:
    return [np.ones(size, np.int64) for size in sizes]


@settings(deadline=None)
@given(folds=st.lists(st.floats(0, 1), min_size=2, max_size=10), sample=st.booleans())
def test_no_folds_deviate_more_than_one_alone_below_the_whole(folds: list[float], sample: bool) -> None:
    accuracies = np.array(folds)
    bound = fold_patterns.largest_deviation(float(accuracies.mean()), len(folds), sample)
    assert accuracies.std(ddof=int(sample)) <= bound + 1e-9
    alone = np.array([folds[0], *[1.0] * (len(folds) - 1)])
    reached = fold_patterns.largest_deviation(float(alone.mean()), len(folds), sample)
    assert alone.std(ddof=int(sample)) == pytest.approx(reached, abs=1e-9)


def test_for_five_folds_it_is_twice_what_the_mean_lacks() -> None:
    assert fold_patterns.largest_deviation(0.9, 5) == pytest.approx(2 * (1 - 0.9))


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        ([0.53, 1, 1, 1, 1], 0),
        ([1, 0.99, 0.6, 1, 1], 2),
        ([0.53, 0.9, 1, 1, 1], None),
        ([1, 1, 1, 1, 1], None),
        ([0.99, 1, 1], None),
        ([0.5], None),
    ],
)
def test_the_odd_fold_is_the_one_below_others_that_are_nearly_perfect(folds: list[float], expected: int | None) -> None:
    assert fold_patterns.odd_fold(np.array(folds, float)) == expected


def test_an_accuracy_tells_how_many_clips_it_needs() -> None:
    assert fold_patterns.least_clips(19 / 36, 1e-9) == 36
    assert fold_patterns.least_clips(24 / 36, 1e-9) == 3
    assert fold_patterns.least_clips(0.6667, 0.5e-4) == 3
    assert fold_patterns.least_clips(1 / np.pi, 1e-9) is None
    # So many fractions lie near two digits that they tell nothing.
    assert fold_patterns.least_clips(0.53, 0.005) is None


@pytest.mark.parametrize(
    ("sizes", "correlation"), [([1] * 12, 0.0), ([3] * 4, 0.4), ([3] * 4, 1.0), ([1, 2, 4, 5], 0.2)]
)
def test_the_probability_is_that_of_simulated_folds(sizes: list[int], correlation: float) -> None:
    rng = np.random.default_rng(2)
    accuracies = np.array([10 / 12, 1, 1, 1])  # 2 of 48 clips are wrong
    if correlation == 0:
        wrong = rng.random((40_000, 4, 12)) < 2 / 48
    else:
        rate = 2 / 48
        spread = (1 - correlation) / correlation
        of_patients = (
            rng.beta(rate * spread, (1 - rate) * spread, (40_000, 4, len(sizes)))
            if correlation < 1
            else (rng.random((40_000, 4, len(sizes))) < rate).astype(float)
        )
        wrong = rng.random((40_000, 4, 12)) < np.repeat(of_patients, sizes, axis=2)
    mistakes = wrong.sum(axis=2)
    seen = ((mistakes >= 2).sum(axis=1) == 1) & ((mistakes == 0).sum(axis=1) == 3)
    found = fold_patterns.chance(accuracies, [np.array(sizes)] * 4, correlation)
    assert found == pytest.approx(seen.mean(), abs=0.012)


def test_the_published_headline_cannot_be_chance_and_a_small_study_of_the_same_shares_can() -> None:
    accuracies = np.array([1, 1, 24 / 36, 1, 1])
    assert fold_patterns.chance(accuracies, _ones(36, 36, 36, 38, 39)) < 1e-8
    assert fold_patterns.chance(accuracies, _ones(3, 3, 3, 3, 3)) > 0.2
    # Nor where all clips of a patient are right or wrong together.
    pairs = [np.full(18, 2, np.int64)] * 5
    assert fold_patterns.chance(accuracies, pairs) < 1e-8 < fold_patterns.chance(accuracies, pairs, 1.0) < 1e-4


def test_folds_without_any_mistake_are_certain() -> None:
    assert fold_patterns.chance(np.ones(3), _ones(4, 4, 4)) == 1.0


def test_clips_that_are_right_together_hang_together() -> None:
    patients = np.repeat([f"p{number}" for number in range(50)], 4).astype(object)
    rng = np.random.default_rng(1)
    together = np.repeat(rng.random(50) < 0.7, 4)
    assert fold_patterns.hang_together(together, patients) == pytest.approx(1)
    apart = rng.random(200) < 0.7
    assert fold_patterns.hang_together(apart, patients) < 0.15
    # One clip of each patient, or no mistake at all, says nothing of it.
    assert fold_patterns.hang_together(apart[:50], patients[::4]) == 0
    assert fold_patterns.hang_together(np.ones(200, bool), patients) == 0


def test_the_correlation_of_drawn_clips_is_found_again() -> None:
    rng = np.random.default_rng(4)
    rate, correlation = 0.75, 0.4
    spread = (1 - correlation) / correlation
    of_patient = rng.beta(rate * spread, (1 - rate) * spread, 3000)
    sizes = rng.integers(1, 6, 3000)
    right = rng.random(sizes.sum()) < np.repeat(of_patient, sizes)
    patients = np.repeat(np.arange(3000).astype(str), sizes).astype(object)
    assert fold_patterns.hang_together(right, patients) == pytest.approx(correlation, abs=0.04)


def test_things_are_put_into_parts_as_even_as_can_be() -> None:
    assert fold_patterns.evenly(185, 5).tolist() == [37] * 5
    assert fold_patterns.evenly(7, 3).tolist() == [3, 2, 2]


@pytest.mark.parametrize("right", range(1, 36))
def test_rounded_accuracies_have_the_probability_of_exact_ones(right: int) -> None:
    exact = np.array([right / 36, 1, 1, 1])
    folds = _ones(36, 36, 36, 36)
    assert fold_patterns.chance(exact.round(3), folds) == pytest.approx(fold_patterns.chance(exact, folds), rel=0.05)
