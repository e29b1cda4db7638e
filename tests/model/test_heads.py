from __future__ import annotations

import numpy as np
import pytest

from lus import heads
from lus.heads import HeadParams

SMALL = HeadParams(units=8, dropout=0.2, dense=(8,), learning_rate=0.01, batch=8)


def _data(seed: int = 0, count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Features whose label is the direction of a slow change: no frame alone says it."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    time = np.linspace(-1, 1, 10)[None, :, None] * np.where(targets == 1, 1, -1)[:, None, None]
    features = np.concatenate([time, rng.normal(0, 0.3, (count, 10, 5))], axis=2)
    return features.astype(np.float32) + 3, targets.astype(np.int64)


def _trainable(params: HeadParams, length: int, dim: int, labels: int) -> int:
    model = heads.build(params, length, dim, labels, np.zeros(dim, np.float32), np.ones(dim, np.float32))
    assert model.output_shape == (None, labels)
    return sum(int(np.prod(weights.shape)) for weights in model.trainable_variables)


def test_the_published_head_has_the_published_number_of_parameters() -> None:
    assert (heads.PUBLISHED.units, heads.PUBLISHED.dropout, heads.PUBLISHED.dense) == (512, 0.4, (1024, 1024))
    assert _trainable(heads.PUBLISHED, 20, 2048, 3) == 6_822_915


@pytest.mark.parametrize(
    ("params", "dim", "published"),
    [
        (HeadParams(units=1024, dense=(64, 256)), 4032, 20_796_483),  # NASNetLarge-LSTM
        (HeadParams(units=32, dense=(1024, 1024)), 1024, 1_221_763),  # DenseNet121-LSTM
    ],
)
def test_other_published_heads_have_their_number_of_parameters(params: HeadParams, dim: int, published: int) -> None:
    assert _trainable(params, 20, dim, 3) == published


def test_a_head_learns_what_only_the_order_of_frames_says() -> None:
    features, targets = _data()
    model, history = heads.train(SMALL, features, targets, 2, epochs=30, seed=1)
    assert history.loss[-1] < history.loss[0]
    unseen, truth = _data(seed=5)
    probabilities = heads.predict(model, unseen)
    assert probabilities.shape == (24, 2)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.9


def test_the_same_seed_gives_the_same_head_and_another_gives_another() -> None:
    features, targets = _data()
    first, again, other = (
        heads.predict(heads.train(SMALL, features, targets, 2, epochs=2, seed=seed)[0], features) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_training_stops_early_and_takes_the_best_epoch() -> None:
    features, targets = _data(count=16)
    unseen = _data(seed=3, count=8)
    wrong = (unseen[0], 1 - unseen[1])  # the better it learns, the worse it does on these
    _, history = heads.train(SMALL, features, targets, 2, epochs=40, seed=1, validation=wrong, patience=3)
    assert len(history.val_loss) < 40
    assert history.best_epoch == int(np.argmin(history.val_loss)) + 1 == len(history.val_loss) - 3


def test_standardisation_uses_the_training_clips_alone() -> None:
    features, targets = _data()
    model, _ = heads.train(SMALL, features[:12], targets[:12], 2, epochs=1, seed=1)
    layer = model.get_layer("standardise")
    assert np.allclose(np.ravel(layer.mean), features[:12].mean(axis=(0, 1)), atol=1e-5)


def test_a_feature_that_never_changes_comes_out_as_zero() -> None:
    mean, variance = heads.feature_moments(np.full((3, 4, 2), 7, np.float32))
    assert mean.tolist() == [7, 7]
    assert (variance > 0).all()


def test_parameters_survive_json() -> None:
    assert HeadParams.from_dict(SMALL.to_dict()) == SMALL


@pytest.mark.parametrize(
    ("feature_set", "dim", "parameters"),
    [
        ("xception-20", 2048, 6_822_915),
        ("nasnetlarge-20", 4032, 20_796_483),
        ("densenet121-20", 1024, 1_221_763),
    ],
)
def test_the_published_heads_have_the_published_number_of_parameters(
    feature_set: str, dim: int, parameters: int
) -> None:
    length = int(feature_set.rpartition("-")[2])
    assert _trainable(heads.published(feature_set), length, dim, 3) == parameters


def test_where_no_head_is_published_the_winning_one_stands_in() -> None:
    assert heads.published("mobilenetv2-10") == heads.PUBLISHED
