from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lus.metrics import baselines

TRAIN, TEST = np.arange(60), np.arange(60, 90)


@pytest.fixture
def targets() -> np.ndarray:
    return np.arange(90) % 3


def _right(probabilities: np.ndarray, targets: np.ndarray) -> float:
    assert probabilities.shape == (len(TEST), 3)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(TEST)), abs=1e-5)
    return float((probabilities.argmax(axis=1) == targets[TEST]).mean())


def test_the_majority_is_that_of_the_training_clips() -> None:
    targets = np.array([2] * 4 + [0] * 3 + [1] * 20)
    found = baselines.majority(targets, np.arange(7), np.arange(7, 27), 3)
    assert (found.argmax(axis=1) == 2).all()
    assert found[0] == pytest.approx([3 / 7, 0, 4 / 7])


def test_a_property_that_is_the_label_is_guessed_by_and_one_that_says_nothing_is_the_majority(
    targets: np.ndarray,
) -> None:
    telling = pd.Series([f"hospital {target}" for target in targets])
    assert _right(baselines.by_property(telling, targets, TRAIN, TEST, 3), targets) == 1
    nothing = pd.Series(["one"] * 90)
    prior = baselines.majority(targets, TRAIN, TEST, 3)
    assert baselines.by_property(nothing, targets, TRAIN, TEST, 3) == pytest.approx(prior)


def test_a_value_that_no_training_clip_has_says_nothing(targets: np.ndarray) -> None:
    values = pd.Series(["known"] * 60 + ["new"] * 30)
    targets = np.where(np.arange(90) < 60, 1, targets)
    targets[:20] = 0
    found = baselines.by_property(values, targets, TRAIN, TEST, 3)
    assert found == pytest.approx(baselines.majority(targets, TRAIN, TEST, 3))


def test_a_guess_is_not_learnt_from_test_clips(targets: np.ndarray) -> None:
    values = pd.Series(["x"] * 60 + [f"y{target}" for target in targets[TEST]])
    found = baselines.by_property(values, targets, TRAIN, TEST, 3)
    assert (found == found[0]).all()


def _features(targets: np.ndarray, strength: float, frames: slice = slice(None), seed: int = 0) -> np.ndarray:
    """Noise, with a mark of the label in the given frames of each clip: (90, 6, 12)."""
    features = np.random.default_rng(seed).normal(size=(90, 6, 12)).astype(np.float32)
    for row, target in enumerate(targets):
        features[row, frames, target] += strength
    return features


def test_what_single_frames_show_is_learnt_by_all_three_classifiers(targets: np.ndarray) -> None:
    features = _features(targets, 2.0)
    votes, averaged = baselines.frame_wise(features, targets, TRAIN, TEST, 3)
    assert _right(votes, targets) > 0.9
    assert _right(averaged, targets) > 0.9
    assert _right(baselines.averaged_features(features, targets, TRAIN, TEST, 3), targets) > 0.9


def test_votes_are_shares_of_frames_and_differ_from_averaged_probabilities(targets: np.ndarray) -> None:
    votes, averaged = baselines.frame_wise(_features(targets, 1.0), targets, TRAIN, TEST, 3)
    assert votes * 6 == pytest.approx(np.round(votes * 6), abs=1e-5)
    assert np.abs(votes - averaged).max() > 0.1


def test_an_order_of_frames_alone_is_seen_by_none_of_them() -> None:
    # The same two frames in either order: the label is which comes first.
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 90)
    mark = np.where(targets == 1, 1.0, -1.0)
    features = rng.normal(size=(90, 2, 12)).astype(np.float32) * 0.1
    features[:, 0, 0] += mark
    features[:, 1, 0] -= mark
    chance = max(np.mean(targets[TEST]), 1 - np.mean(targets[TEST])) + 0.15
    votes, averaged = baselines.frame_wise(features, targets, TRAIN, TEST, 2)
    for found in (votes, averaged, baselines.averaged_features(features, targets, TRAIN, TEST, 2)):
        assert (found.argmax(axis=1) == targets[TEST]).mean() <= chance


def test_the_scale_of_a_feature_is_taken_from_the_training_clips(targets: np.ndarray) -> None:
    features = _features(targets, 2.0)
    spoilt = features.copy()
    spoilt[TEST[1:]] = 1e6  # other test clips say nothing of this one
    one = baselines.averaged_features(features, targets, TRAIN, TEST, 3)[0]
    assert baselines.averaged_features(spoilt, targets, TRAIN, TEST, 3)[0] == pytest.approx(one, abs=1e-6)


def test_a_label_without_training_clips_has_probability_zero(targets: np.ndarray) -> None:
    features, train = _features(targets, 2.0), TRAIN[targets[TRAIN] != 1]
    votes, averaged = baselines.frame_wise(features, targets, train, TEST, 3)
    mean = baselines.averaged_features(features, targets, train, TEST, 3)
    for found in (votes, averaged, mean):
        assert (found[:, 1] == 0).all()
        assert found.sum(axis=1) == pytest.approx(np.ones(30), abs=1e-5)
    only = TRAIN[targets[TRAIN] == 2]
    assert (baselines.averaged_features(features, targets, only, TEST, 3)[:, 2] == 1).all()


def test_shuffling_keeps_each_clips_frames_and_gives_each_an_order_of_its_own() -> None:
    features = np.arange(40 * 8 * 2, dtype=np.float32).reshape(40, 8, 2)
    found = baselines.shuffled(features, 3)
    assert np.sort(found, axis=1) == pytest.approx(features)
    orders = {tuple((clip[:, 0] - clip[:, 0].min()).tolist()) for clip in found}
    assert len(orders) == 40
    assert (found == baselines.shuffled(features, 3)).all()
    assert (found != baselines.shuffled(features, 4)).any()
    assert (features == np.arange(40 * 8 * 2).reshape(40, 8, 2)).all()


def test_a_feature_counts_alike_in_whatever_unit_it_is(targets: np.ndarray) -> None:
    features = _features(targets, 2.0)
    other = features * np.logspace(-3, 3, 12, dtype=np.float32) + 5
    one, scaled = (baselines.averaged_features(x, targets, TRAIN, TEST, 3) for x in (features, other))
    assert scaled == pytest.approx(one, abs=0.02)
