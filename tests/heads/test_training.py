"""The fast training is held to Keras: same losses, gradients and steps for the same weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from lus.heads import numpy_head, train_step, training
from lus.heads.model import LINEAR, HeadParams, build_head, compute_inputs, feature_moments, inputs_dim

SMALL = HeadParams(units=8, dropout=0.2, dense=(8,), learning_rate=0.01, batch=8)
SHAPES = [
    HeadParams(units=6, dropout=0.0, dense=(5,), batch=7),
    HeadParams(units=9, dropout=0.0, dense=(4, 8), batch=5),
    HeadParams(units=3, dropout=0.0, dense=(4, 6, 5), batch=16),
    HeadParams(units=6, dropout=0.0, dense=(5,), batch=7, inputs="both", l2=0.02),
    HeadParams(kind="pool", dropout=0.0, dense=(), batch=7, l2=0.3),
    HeadParams(kind="pool", pooling="max", dropout=0.0, dense=(5, 4), batch=7, inputs="changes", l2=0.02),
    HeadParams(kind="pool", pooling="attention", dropout=0.0, dense=(), batch=7),
    HeadParams(kind="pool", pooling="attention", dropout=0.0, dense=(6,), batch=7, inputs="both", l2=0.05),
]


def _data(seed: int = 0, count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Features whose label is the direction of a slow change: no frame alone says it."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    time = np.linspace(-1, 1, 10)[None, :, None] * np.where(targets == 1, 1, -1)[:, None, None]
    features = np.concatenate([time, rng.normal(0, 0.3, (count, 10, 5))], axis=2)
    return features.astype(np.float32) + 3, targets.astype(np.int64)


def _keras(params: HeadParams, features: np.ndarray, weights: list[np.ndarray]) -> keras.Model:
    moments = feature_moments(compute_inputs(params, features))
    model = build_head(params, features.shape[1], features.shape[2], 2, *moments)
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
    return model


def _weights(params: HeadParams, dim: int) -> list[np.ndarray]:
    """As training begins with, but with none that are all 0."""
    rng, drawn = np.random.default_rng(4), training.init_weights(params, inputs_dim(params, dim), 2, seed=3)
    return [one if one.any() else rng.normal(0, 0.3, one.shape).astype(np.float32) for one in drawn]


def _standardised(params: HeadParams, features: np.ndarray) -> np.ndarray:
    read = compute_inputs(params, features)
    return training.standardise(read, *feature_moments(read))


@pytest.mark.parametrize("params", SHAPES, ids=str)
def test_probabilities_loss_and_gradients_equal_those_of_keras(params: HeadParams) -> None:
    features, targets = _data()
    weights = _weights(params, features.shape[2])
    model = _keras(params, features, weights)
    with tf.GradientTape() as tape:
        expected = model(features, training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(targets, expected))
        penalised = loss + sum(model.losses)
    gradients = tape.gradient(penalised, [variable.value for variable in model.trainable_variables])
    assert bool(model.losses) == (params.l2 > 0)

    head = train_step.get_loop(params)
    head.start(weights)
    inputs = _standardised(params, features)
    one, logits, found = head._gradients(tf.constant(inputs), tf.constant(targets), params.l2)
    np.testing.assert_allclose(tf.nn.softmax(logits), expected, atol=1e-6)
    np.testing.assert_allclose(head.probabilities(inputs), expected, atol=1e-6)
    assert float(one) == pytest.approx(float(loss), abs=1e-6)
    for ours, theirs in zip(found, gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=1e-4)


OPTIMISERS = {
    "adam": lambda rate: keras.optimizers.Adam(rate, global_clipnorm=1.0),
    "rmsprop": lambda rate: keras.optimizers.RMSprop(rate, global_clipnorm=1.0),
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, global_clipnorm=1.0),
}


STEPPED = {
    "lstm": HeadParams(units=6, dropout=0.0, dense=(5, 4), learning_rate=0.02, batch=7),
    "linear": HeadParams(kind="pool", dropout=0.0, dense=(), learning_rate=0.02, batch=7, l2=0.1),
    "attention": HeadParams(
        kind="pool", pooling="attention", inputs="both", dropout=0.0, dense=(5,), learning_rate=0.02, batch=7, l2=0.1
    ),
}


@pytest.mark.parametrize(
    ("optimiser", "name"), [*((one, "lstm") for one in OPTIMISERS), ("sgd", "linear"), ("adam", "attention")]
)
def test_steps_in_the_same_order_lead_to_the_weights_that_fit_leads_to(optimiser: str, name: str) -> None:
    params = replace(STEPPED[name], optimiser=optimiser)
    features, targets = _data()
    weights = [one * 3 for one in _weights(params, features.shape[2])]  # so that it clips
    model = _keras(params, features, weights)
    # The loss that is reported has no penalty.
    measured = ["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="plain")]
    model.compile(OPTIMISERS[optimiser](params.learning_rate), "sparse_categorical_crossentropy", metrics=measured)
    fitted = model.fit(features, targets, batch_size=params.batch, epochs=3, shuffle=False, verbose=0)

    head = train_step.get_loop(params)
    head.start(weights)
    inputs = _standardised(params, features)
    order = np.arange(len(targets))
    figures = [head.epoch(params, inputs, targets, order, seed=0) for _ in range(3)]
    np.testing.assert_allclose([loss for loss, _ in figures], fitted.history["plain"], rtol=1e-4)
    np.testing.assert_allclose([share for _, share in figures], fitted.history["accuracy"], rtol=1e-5)
    for ours, theirs, before in zip(head.weights(), model.trainable_variables, weights, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5)
        assert np.abs(ours - before).max() > 1e-3


def test_dropout_leaves_out_the_same_inputs_of_a_clip_at_all_its_steps_as_keras_does() -> None:
    mask = train_step.dropout_mask(tf.constant([400, 10, 50]), tf.constant(0.4), tf.constant([1, 2], tf.int64)).numpy()
    assert set(np.unique(mask)) == {0.0, np.float32(1 / 0.6)}
    assert (mask == 0).mean() == pytest.approx(0.4, abs=0.02)
    # That of a pooling head's Keras model.
    dropped = np.asarray(keras.layers.SpatialDropout1D(0.4)(np.ones((30, 10, 50), np.float32), training=True))
    assert (dropped == dropped[:, :1]).all()
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.6)}
    # An LSTM of Keras that adds up its inputs: a step that another mask was drawn for would break the straight line.
    layer = keras.layers.LSTM(50, dropout=0.4, activation=None, recurrent_activation=lambda gate: gate * 0 + 1)
    layer.build((None, 10, 50))
    kernel = np.zeros((50, 200), np.float32)
    kernel[:, 100:150] = np.eye(50)
    layer.set_weights([kernel, np.zeros((50, 200), np.float32), np.zeros(200, np.float32)])
    added = np.asarray(layer(np.ones((30, 10, 50), np.float32), training=True))
    np.testing.assert_allclose(np.unique(added.round(3)), [0, np.round(10 / 0.6, 3)], atol=1e-3)


def test_fresh_weights_are_spread_as_those_of_keras() -> None:
    params = HeadParams(units=32, dense=(64, 16))
    ours = training.init_weights(params, 40, 3, seed=1)
    keras.utils.set_random_seed(0)  # of Keras's own weights, which would be others at each run
    model = build_head(params, 10, 40, 3, np.zeros(40, np.float32), np.ones(40, np.float32))
    assert [one.shape for one in ours] == [tuple(one.shape) for one in model.trainable_variables]
    for mine, theirs in zip(ours, model.trainable_variables, strict=True):
        assert mine.std() == pytest.approx(theirs.numpy().std(), rel=0.12, abs=1e-6)
        assert np.abs(mine).max() <= np.abs(theirs.numpy()).max() * 1.3 + 1e-6
    recurrent = ours[1]
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(32), atol=1e-5)


def test_a_head_learns_what_only_the_order_of_frames_says() -> None:
    features, targets = _data()
    trained = training.train(SMALL, features, targets, 2, epochs=30, seed=1)
    assert trained.history.loss[-1] < trained.history.loss[0]
    assert trained.history.accuracy[-1] > 0.9
    unseen, truth = _data(seed=5)
    probabilities = np.asarray(trained.model(10)(unseen))
    assert probabilities.shape == (24, 2)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.9


def test_the_same_seed_gives_the_same_head_and_another_gives_another() -> None:
    features, targets = _data()
    first, again, other = (
        training.train(SMALL, features, targets, 2, epochs=2, seed=seed).weights for seed in (1, 1, 2)
    )
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert any((one != two).any() for one, two in zip(first, other, strict=True))


def test_what_was_trained_before_leaves_no_trace_in_the_next_head() -> None:
    features, targets = _data()
    alone = training.train(SMALL, features, targets, 2, epochs=2, seed=1).weights
    training.train(HeadParams(units=5, dense=(7,), batch=4), features, targets, 2, epochs=3, seed=8)
    after = training.train(SMALL, features, targets, 2, epochs=2, seed=1).weights
    assert all((one == two).all() for one, two in zip(alone, after, strict=True))


def test_heads_of_other_sizes_are_not_traced_again() -> None:
    features, targets = _data()
    head = train_step.get_loop(HeadParams(dense=(1,)))
    for units, batch in ((4, 8), (7, 5), (9, 16)):
        training.train(HeadParams(units=units, dense=(units,), batch=batch), features, targets, 2, epochs=1, seed=0)
    assert head._epoch.experimental_get_tracing_count() == 1


def test_training_stops_early_and_takes_the_best_epoch() -> None:
    features, targets = _data(count=16)
    unseen = _data(seed=3, count=8)
    wrong = (unseen[0], 1 - unseen[1])  # the better it learns, the worse it does on these
    told: list[tuple[int, float]] = []
    trained = training.train(
        SMALL,
        features,
        targets,
        2,
        epochs=40,
        seed=1,
        validation=wrong,
        patience=3,
        on_epoch_end=lambda epoch, lowest: told.append((epoch, lowest)),
    )
    history = trained.history
    assert len(history.val_loss) < 40
    assert history.best_epoch == int(np.argmin(history.val_loss)) + 1 == len(history.val_loss) - 3
    assert told == [(number, min(history.val_loss[:number])) for number in range(1, len(history.val_loss) + 1)]
    given = np.asarray(trained.model(10)(wrong[0]))
    np.testing.assert_allclose(given, trained.probabilities, atol=1e-6)
    assert training.loss_and_accuracy(given, wrong[1])[0] == pytest.approx(min(history.val_loss), abs=1e-5)


@pytest.mark.parametrize("params", [LINEAR, replace(LINEAR, pooling="attention", inputs="both", dense=(8,))], ids=str)
def test_a_pooling_head_goes_on_from_the_weights_that_it_is_given(params: HeadParams) -> None:
    features, targets = _data()
    before = training.init_head(params, features, 2, seed=1)
    first = training.train(params, features, targets, 2, epochs=3, seed=1)
    carried = training.init_head(params, features, 2, seed=2, weights=first.weights)
    second = training.train(params, features, targets, 2, epochs=3, seed=2, weights=carried.weights)
    assert carried.digest == first.digest
    assert len({before.digest, first.digest, second.digest}) == 3
    np.testing.assert_array_equal(carried.predict(features), first.predict(features))
    assert second.history.loss[0] < first.history.loss[0]


def test_standardisation_uses_the_training_clips_alone() -> None:
    features, targets = _data()
    trained = training.train(SMALL, features[:12], targets[:12], 2, epochs=1, seed=1)
    layer = trained.model(10).get_layer("standardise")
    assert np.allclose(np.ravel(layer.mean), features[:12].mean(axis=(0, 1)), atol=1e-5)
    expected = np.asarray(layer(features))
    np.testing.assert_allclose(training.standardise(features, trained.mean, trained.variance), expected, atol=1e-5)


def test_what_the_callback_raises_ends_the_training() -> None:
    features, targets = _data()

    def on_epoch_end(epoch: int, lowest: float) -> None:
        if epoch == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        training.train(
            SMALL, features, targets, 2, epochs=9, seed=1, validation=(features, targets), on_epoch_end=on_epoch_end
        )


def _motion(seed: int, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Features that stay or jump about; each frame alone, and their mean, are the same for both labels."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    still = np.repeat(rng.normal(size=(count, 1, 12)), 6, axis=1)
    moving = rng.normal(size=(count, 6, 12))
    return np.where(targets[:, None, None] == 1, moving, still).astype(np.float32), targets.astype(np.int64)


@pytest.mark.parametrize(
    "params",
    [
        replace(SMALL, inputs="changes"),
        replace(SMALL, inputs="both"),
        replace(LINEAR, inputs="changes", batch=8, learning_rate=0.01),
        replace(SMALL, kind="pool", pooling="max", inputs="both", l2=0.001),
        replace(SMALL, kind="pool", pooling="attention", inputs="both", l2=0.001),
    ],
    ids=str,
)
def test_a_head_that_is_given_changes_finds_motion_and_is_the_same_in_keras_in_a_file_and_without_keras(
    params: HeadParams, tmp_path: Path
) -> None:
    (features, targets), (new, expected) = _motion(0), _motion(1)
    trained = training.train(params, features, targets, 2, epochs=20, seed=1)
    found = trained.predict(new)
    assert (found.argmax(axis=1) == expected).mean() > 0.95
    model = trained.model(6)
    model.save(tmp_path / "head.keras")
    again = keras.saving.load_model(tmp_path / "head.keras", compile=False, safe_mode=True)
    for one in (model, again):
        np.testing.assert_allclose(np.asarray(one(new)), found, atol=1e-5)
    plain = numpy_head.convert_keras(again)
    np.testing.assert_allclose(plain.probabilities(new), found, atol=1e-5)
    with tf.GradientTape() as tape:
        taken = tf.constant(new[1:2])
        tape.watch(taken)
        score = tf.math.log(model(taken)[0])
        difference = score[1] - score[0]
    ours = plain.gradient(new[1], 1) - plain.gradient(new[1], 0)
    theirs = tape.gradient(difference, taken)[0].numpy()
    assert np.abs(theirs).max() > 1e-4
    np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max())
