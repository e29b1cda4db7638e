from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lus.metrics.comparisons import paired

RIGHT, WRONG = 0, 1


def _predictions(right: list[int]) -> np.ndarray:
    return np.where(np.array(right) == 1, RIGHT, WRONG)


def _names(sizes: list[int]) -> np.ndarray:
    return np.repeat([f"p{number}" for number in range(len(sizes))], sizes).astype(object)


@settings(deadline=None, max_examples=40)
@given(
    clips=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=12),
)
def test_few_patients_have_the_p_values_of_all_orders_of_signs(clips: list[tuple[int, int, int]]) -> None:
    patient, first, second = (np.array(column) for column in zip(*clips, strict=True))
    found = paired(np.zeros(len(clips), int), 1 - first, 1 - second, patient.astype(str).astype(object), 0)
    gains = [(first - second)[patient == one].sum() for one in np.unique(patient)]
    sums = [sum(sign * gain for sign, gain in zip(signs, gains, strict=True)) for signs in _orders(len(gains))]
    assert found.p_better == pytest.approx(np.mean([total >= sum(gains) for total in sums]))
    assert found.p == pytest.approx(np.mean([abs(total) >= abs(sum(gains)) for total in sums]))
    assert found.difference == pytest.approx(first.mean() - second.mean())


def _orders(count: int) -> list[tuple[int, ...]]:
    return list(product((1, -1), repeat=count))


def test_two_that_are_alike_are_called_different_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(5)
    called = 0
    for study in range(200):
        sizes = rng.integers(1, 4, 30).tolist()
        names = _names(sizes)
        hard = np.repeat(rng.random(30), sizes)  # the clips of a patient are as hard as each other
        first, second = ((rng.random(len(names)) > hard).astype(int) for _ in range(2))
        called += paired(np.zeros(len(names), int), first, second, names, study, permutations=500).p < 0.05
    assert 2 <= called <= 20


def test_one_that_is_better_on_most_patients_is_found_and_the_other_way_round() -> None:
    names = _names([2] * 20)
    first, second = _predictions([1, 1] * 16 + [0, 0] * 4), _predictions([1, 0] * 16 + [0, 0] * 4)
    targets = np.zeros(40, int)
    better, worse = paired(targets, first, second, names, 1), paired(targets, second, first, names, 1)
    assert better.difference == pytest.approx(0.4)
    assert better.low > 0.2
    assert better.p_better < 0.001
    assert worse.p_better > 0.999
    assert worse.p == pytest.approx(better.p, abs=0.001)
    assert worse.high == pytest.approx(-better.low, abs=0.03)
    assert (better.clips, better.patients) == (40, 20)


def test_clips_of_one_patient_count_as_one_observation() -> None:
    targets, first, second = np.zeros(12, int), _predictions([1] * 12), _predictions([0] * 12)
    each = paired(targets, first, second, _names([1] * 12), 1)
    one = paired(targets, first, second, _names([6, 6]), 1)
    assert each.p_better == 2**-12
    assert one.p_better == 0.25


def test_the_same_predictions_differ_in_nothing() -> None:
    same = _predictions([1, 0, 1])
    found = paired(np.zeros(3, int), same, same, _names([1, 1, 1]), 1)
    assert (found.difference, found.p, found.p_better) == (0, 1, 1)
    assert found.low == pytest.approx(-found.high)  # three clips tell little of how alike the two are
    assert found.high > 0.5


def test_one_patient_gives_no_interval() -> None:
    found = paired(np.zeros(2, int), _predictions([1, 1]), _predictions([0, 1]), _names([2]), 1)
    assert np.isnan([found.low, found.high]).all()
    assert found.p_better == 0.5


def test_predictions_of_other_clips_are_an_error() -> None:
    with pytest.raises(ValueError, match="for the same clips"):
        paired(np.zeros(3, int), np.zeros(3, int), np.zeros(2, int), _names([3]), 1)


def test_no_p_value_is_zero_however_clear_the_difference() -> None:
    targets, names = np.zeros(60, int), _names([1] * 60)
    found = paired(targets, _predictions([1] * 60), _predictions([0] * 60), names, 1, permutations=99)
    assert (found.p_better, found.p) == (0.01, 0.01)
