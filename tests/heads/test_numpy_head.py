"""A head without Keras: the same answers and gradients as Keras's."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from lus.common.arrays import FloatArray
from lus.common.errors import BadInput
from lus.heads import numpy_head
from lus.heads.model import HeadParams, build_head, feature_moments, inputs_dim

L, D = 5, 7


@pytest.fixture
def features() -> FloatArray:
    return np.random.default_rng(3).normal(2, 3, (4, L, D)).astype(np.float32)


def _of_the_search() -> keras.Model:
    return build_head(HeadParams(units=6, dense=(8, 5)), L, D, 3, np.full(D, 2.0), np.full(D, 9.0))


def _of_keras_2() -> keras.Model:
    layers = keras.layers
    gates = ["sigmoid", "hard_sigmoid"]
    return keras.Sequential(
        [
            keras.Input((L, D)),
            layers.LSTM(6, return_sequences=True, recurrent_activation=gates[1], use_bias=False),
            layers.Dense(5, activation="selu"),
            layers.Dropout(0.5),
            layers.LSTM(4, activation="softsign", recurrent_activation=gates[0]),
            *(layers.Dense(6, activation=name) for name in ("elu", "softplus", "tanh", "softmax", "linear")),
            layers.Activation("relu"),
            layers.Dense(3, use_bias=False),
            layers.Activation("softmax"),
        ]
    )


def _pooling(pooling: str, inputs: str, dense: tuple[int, ...]) -> keras.Model:
    params = HeadParams(kind="pool", pooling=pooling, inputs=inputs, dense=dense, l2=0.1)
    width = inputs_dim(params, D)
    return build_head(params, L, D, 3, np.full(width, 2.0), np.full(width, 9.0))


POOLING = [
    partial(_pooling, pooling, inputs, dense)
    for pooling, inputs, dense in (
        ("mean", "frames", ()),
        ("max", "frames", (16,)),
        ("attention", "frames", ()),
        ("max", "changes", ()),
        ("attention", "both", (6, 5)),
    )
]


@pytest.mark.parametrize("make", [_of_the_search, _of_keras_2, *POOLING])
def test_answers_and_gradients_are_those_of_keras(make: object, features: FloatArray, tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    model = make()  # type: ignore[operator]
    for variable in model.trainable_variables:
        variable.assign(keras.random.normal(variable.shape, stddev=0.5))
    numpy_head.convert_keras(model).save(tmp_path)
    plain = numpy_head.NumpyHead.load(tmp_path)
    expected = np.asarray(model(features))
    assert np.abs(plain.probabilities(features) - expected).max() < 1e-5
    assert expected.std() > 0.01
    for label in range(3):
        with tf.GradientTape() as tape:
            given = tf.constant(features[:1])
            tape.watch(given)
            # Up to a part that is the same for all labels, a score is the logarithm of its probability.
            score = tf.math.log(model(given)[0])
            difference = score[label] - score[(label + 1) % 3]
        ours = plain.gradient(features[0], label) - plain.gradient(features[0], (label + 1) % 3)
        theirs = tape.gradient(difference, given)[0].numpy()
        assert np.abs(theirs).max() > 1e-4
        assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()


@pytest.mark.parametrize("make", [_of_the_search, *POOLING])
def test_the_course_is_what_shorter_clips_would_be_called(make: object, features: FloatArray) -> None:
    keras.utils.set_random_seed(5)
    plain = numpy_head.convert_keras(make())  # type: ignore[operator]
    course = plain.probabilities_by_frame(features[0])
    assert course.shape == (L, 3)
    for frames in range(1, L + 1):
        assert np.allclose(course[frames - 1], plain.probabilities(features[:1, :frames])[0], atol=1e-6)


def test_frames_that_are_alike_share_the_gradient_of_the_greatest_as_in_keras(features: FloatArray) -> None:
    keras.utils.set_random_seed(5)
    model, still = _pooling("max", "frames", ()), np.repeat(features[:1, :1], L, axis=1)
    plain = numpy_head.convert_keras(model)
    ours = plain.gradient(still[0], 0) - plain.gradient(still[0], 1)
    with tf.GradientTape() as tape:
        given = tf.constant(still)
        tape.watch(given)
        score = tf.math.log(model(given)[0])
        difference = score[0] - score[1]
    np.testing.assert_allclose(ours, tape.gradient(difference, given)[0].numpy(), atol=1e-6)
    assert np.abs(ours).max() > 0.01


def test_a_feature_that_never_changes_is_no_noise(features: FloatArray) -> None:
    mean, variance = feature_moments(np.zeros((2, L, D), np.float32))
    model = build_head(HeadParams(units=4, dense=(4,)), L, D, 2, mean, variance)
    plain = numpy_head.convert_keras(model)
    assert np.abs(plain.probabilities(features) - np.asarray(model(features))).max() < 1e-5


def test_a_layer_that_is_not_known_is_refused() -> None:
    model = keras.Sequential([keras.Input((L, D)), keras.layers.GRU(4), keras.layers.Dense(2, activation="softmax")])
    with pytest.raises(BadInput, match="GRU"):
        numpy_head.convert_keras(model)
    with pytest.raises(BadInput, match="no LSTM or pooling"):
        numpy_head.convert_keras(keras.Sequential([keras.Input((D,)), keras.layers.Dense(2, activation="softmax")]))
