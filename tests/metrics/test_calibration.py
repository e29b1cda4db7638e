from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lus.metrics import calibration, scores


def _answers(clips: int, sharpness: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose logits are `sharpness` times those of the process that drew the labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(clips, 3)) * 1.5
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (true.cumsum(axis=1) < rng.random((clips, 1))).sum(axis=1)
    given = np.exp(sharpness * logits)
    return (given / given.sum(axis=1, keepdims=True)).astype(np.float32), targets


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_how_much_too_sure_a_classifier_is(sharpness: float) -> None:
    found = calibration.fit(*_answers(4000, sharpness, 1))
    expected = 1.0 if found.why else sharpness
    assert found.value == pytest.approx(expected, rel=0.08)
    assert found.why == ("" if sharpness != 1 else found.why)


def test_other_clips_than_those_it_was_fitted_on_gain_from_it() -> None:
    temperature = calibration.fit(*_answers(300, 3.0, 1)).value
    probabilities, targets = _answers(2000, 3.0, 2)
    before = scores.scores(targets, probabilities, ["a", "b", "c"])
    after = scores.scores(targets, calibration.apply(probabilities, temperature), ["a", "b", "c"])
    assert after["calibration_error"] < 0.3 * before["calibration_error"]
    assert after["brier"] < before["brier"]
    assert after["accuracy"] == before["accuracy"]


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.integers(1, 1000)] * 3).filter(lambda row: len(set(row)) == 3), min_size=1),
    temperature=st.floats(0.1, 10),
)
def test_the_most_probable_label_stays_so_and_probabilities_sum_to_one(
    rows: list[tuple[int, ...]], temperature: float
) -> None:
    values = np.array(rows, np.float64)
    probabilities = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
    scaled = calibration.apply(probabilities, temperature)
    # Within float32, two that are nearly equal may become equal.
    assert (np.take_along_axis(scaled, probabilities.argmax(axis=1)[:, None], 1)[:, 0] == scaled.max(axis=1)).all()
    assert scaled.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-5)
    assert calibration.apply(probabilities, 1.0) == pytest.approx(probabilities, abs=1e-6)


def _loss(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean negative log-likelihood of the true labels."""
    return float(-np.log(probabilities[np.arange(len(targets)), targets]).mean())


def test_it_is_never_worse_on_the_clips_it_was_fitted_on() -> None:
    for seed in range(20):
        probabilities, targets = _answers(12, 2.0, seed)
        scaled = calibration.apply(probabilities, calibration.fit(probabilities, targets).value)
        assert _loss(scaled, targets) <= _loss(probabilities, targets) + 1e-6


def test_clips_that_are_all_right_leave_the_temperature_at_one() -> None:
    targets = np.arange(60) % 3
    given = np.full((60, 3), 0.1, np.float32)
    given[np.arange(60), targets] = 0.8
    found = calibration.fit(given, targets)
    assert (found.value, found.why) == (1.0, calibration.SEPARATED)
    assert calibration.apply(np.array([[0.5, 0.3, 0.2]], np.float32), found.value)[0, 0] == pytest.approx(0.5)


def test_a_flat_loss_leaves_the_temperature_at_one() -> None:
    found = calibration.fit(np.full((6, 3), 1 / 3, np.float32), np.arange(6) % 3)
    assert (found.value, found.why) == (1.0, calibration.UNINFORMATIVE)


def test_a_classifier_is_made_surer_on_evidence_alone() -> None:
    few = [calibration.fit(*_answers(30, 1.0, seed)) for seed in range(400)]
    assert all(one.value == 1 for one in few if one.why)
    assert np.mean([one.value < 1 for one in few]) < 0.06  # though half of the likeliest temperatures are below 1
    assert calibration.UNPROVEN in {one.why for one in few}
    assert all(calibration.fit(*_answers(400, 0.5, seed)).value < 0.7 for seed in range(20))


def test_clips_of_one_patient_are_not_evidence_each_on_its_own() -> None:
    # Said with 0.6, right in five of six.
    copied = np.tile(np.array([[0.6, 0.4]], np.float32), (60, 1)), np.repeat([0, 0, 0, 0, 0, 1], 10)
    assert calibration.fit(*copied).value < 0.5
    found = calibration.fit(*copied, np.repeat([f"p{number}" for number in range(6)], 10).astype(object))
    assert (found.value, found.why) == (1.0, calibration.UNPROVEN)


def test_a_classifier_no_better_than_guessing_is_made_as_unsure_as_can_be() -> None:
    given = np.tile(np.array([[0.9, 0.1]], np.float32), (20, 1))
    assert calibration.fit(given, np.arange(20) % 2).value == pytest.approx(calibration.HOTTEST, rel=0.01)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -0.5])
def test_rows_without_probabilities_are_an_error(strange: float) -> None:
    given = np.full((3, 2), 0.5, np.float32)
    given[1, 0] = strange
    with pytest.raises(ValueError, match="1 of 3 clips have no probabilities"):
        calibration.fit(given, np.array([0, 1, 0]))


def test_a_probability_of_zero_for_the_true_label_is_a_large_loss_and_no_error() -> None:
    found = calibration.fit(np.array([[1, 0], [1, 0], [1, 0]], np.float32), np.array([0, 0, 1]))
    assert 10 < found.value < np.inf


def test_what_cannot_be_a_temperature_or_its_clips_is_an_error() -> None:
    with pytest.raises(ValueError, match="above 0"):
        calibration.apply(np.ones((1, 2), np.float32) / 2, 0.0)
    with pytest.raises(ValueError, match="0 clips"):
        calibration.fit(np.zeros((0, 2), np.float32), np.array([], np.int64))
