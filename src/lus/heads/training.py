"""Training heads: the same seed gives the same head, and what is trained goes into the plain Keras model.

The epochs themselves are those of `loop`. The features are standardised once, not at each epoch.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lus.common.arrays import FloatArray, IntArray
from lus.heads import train_step
from lus.heads.model import ATTENTION, LSTM, HeadParams, build_head, compute_inputs, feature_moments, inputs_dim

if TYPE_CHECKING:
    import keras

EPSILON = 1e-7
"""Keras's `epsilon`: the least standard deviation that features are divided by, and the least probability of a loss."""
EpochCallback = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and the lowest validation loss so far; may raise to end it all."""


@dataclass(frozen=True)
class History:
    """Losses and accuracies of a training, one value an epoch; the validation's are empty without one."""

    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    val_loss: tuple[float, ...] = ()
    val_accuracy: tuple[float, ...] = ()

    @property
    def best_epoch(self) -> int:
        """Epochs up to the lowest validation loss (all of them without a validation part)."""
        return int(np.argmin(np.nan_to_num(self.val_loss, nan=np.inf))) + 1 if self.val_loss else len(self.loss)


@dataclass(frozen=True)
class TrainedHead:
    """A trained head.

    Attributes:
        params: the head.
        weights: in the order of `trainable_variables` of the model that `build_head` makes.
        mean, variance: (inputs_dim,) by which what the head reads is standardised.
        history: of the training.
        probabilities: (n, labels) of the validation clips at the best epoch; none without a validation part.
    """

    params: HeadParams
    weights: tuple[FloatArray, ...]
    mean: FloatArray
    variance: FloatArray
    history: History
    probabilities: FloatArray | None

    def model(self, length: int, temperature: float = 1.0) -> keras.Model:
        """The plain Keras model with these weights: (n, length, dim) -> (n, labels).

        Args:
            length: of the sequences.
            temperature: of its probabilities (`calibration`); the last layer's weights are divided by it, which
                divides its logits.
        """
        labels, dim = self.weights[-1].shape[0], len(self.mean) // inputs_dim(self.params, 1)
        model = build_head(self.params, length, dim, labels, self.mean, self.variance)
        *inner, kernel, bias = self.weights
        weights = [*inner, kernel / temperature, bias / temperature]
        for variable, value in zip(model.trainable_variables, weights, strict=True):
            variable.assign(value)
        return model

    def predict(self, features: FloatArray) -> FloatArray:
        """Probabilities: (n, length, dim) float32 -> (n, labels) float32, as those of `model`."""
        head = train_step.get_loop(self.params)
        head.start(self.weights)
        return head.probabilities(standardise(compute_inputs(self.params, features), self.mean, self.variance))

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return hash_head_weights(self.weights)


def hash_head_weights(weights: Sequence[FloatArray]) -> str:
    """SHA-256 of a head's weights."""
    found = hashlib.sha256()
    for value in weights:
        found.update(np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def init_head(
    params: HeadParams, features: FloatArray, labels: int, seed: int, weights: Sequence[FloatArray] | None = None
) -> TrainedHead:
    """A head as `train` begins with it.

    Args:
        params: the head.
        features: (n, length, dim) float32 that it is to be trained on.
        labels: how many there are.
        seed: of the weights.
        weights: to begin with, in place of fresh ones.
    """
    mean, variance = feature_moments(compute_inputs(params, features))
    first = init_weights(params, len(mean), labels, seed) if weights is None else weights
    return TrainedHead(params, tuple(first), mean, variance, History((), ()), None)


def train(
    params: HeadParams,
    features: FloatArray,
    targets: IntArray,
    labels: int,
    *,
    epochs: int,
    seed: int,
    validation: tuple[FloatArray, IntArray] | None = None,
    patience: int = 0,
    on_epoch_end: EpochCallback | None = None,
    weights: Sequence[FloatArray] | None = None,
) -> TrainedHead:
    """Train a head from fresh weights; the same seed gives the same head.

    Args:
        params: the head.
        features: (n, length, dim) float32.
        targets: (n,) numbers of labels.
        labels: how many labels there are.
        epochs: at most.
        seed: of the weights, the dropout and the order of the clips.
        validation: features and targets of clips that are not trained on.
        patience: epochs without a lower validation loss after which the training ends, and the weights of
            the best epoch are taken.
        on_epoch_end: told of each epoch.
        weights: to begin with, in place of fresh ones.
    """
    start = init_head(params, features, labels, seed, weights)
    mean, variance = start.mean, start.variance
    inputs = standardise(compute_inputs(params, features), mean, variance)
    held_out = (
        (standardise(compute_inputs(params, validation[0]), mean, variance), validation[1]) if validation else None
    )
    head = train_step.get_loop(params)
    head.start(start.weights)
    order = np.random.default_rng(seed)
    series: list[tuple[float, ...]] = []
    best: tuple[float, list[FloatArray], FloatArray] | None = None
    lowest, waited = np.inf, 0
    for epoch in range(1, epochs + 1):
        figures = head.epoch(params, inputs, targets, order.permutation(len(targets)), seed)
        if held_out is None:
            series.append(figures)
            continue
        probabilities = head.probabilities(held_out[0])
        loss, accuracy = loss_and_accuracy(probabilities, held_out[1])
        series.append((*figures, loss, accuracy))
        if best is None or loss < lowest:
            best = (loss, head.weights(), probabilities)
            lowest, waited = (loss if np.isfinite(loss) else np.inf), 0
        else:
            waited += 1
        if on_epoch_end is not None:
            on_epoch_end(epoch, lowest)
        if waited >= patience > 0:
            break
    history = History(*(tuple(column) for column in zip(*series, strict=True)))
    last, given = (head.weights(), None) if best is None else best[1:]
    return TrainedHead(params, tuple(last), mean, variance, history, given)


def standardise(features: FloatArray, mean: FloatArray, variance: FloatArray) -> FloatArray:
    """As the model's `Normalization` does: (n, length, dim) -> (n, length, dim) float32."""
    return ((features - mean) / np.maximum(np.sqrt(variance), EPSILON)).astype(np.float32)


def loss_and_accuracy(probabilities: FloatArray, targets: IntArray) -> tuple[float, float]:
    """Mean cross-entropy in nats, with probabilities kept above 1e-7 as in Keras, and accuracy."""
    given = np.clip(probabilities[np.arange(len(targets)), targets], EPSILON, 1 - EPSILON)
    return float(-np.log(given).mean()), float((probabilities.argmax(axis=1) == targets).mean())


def init_weights(params: HeadParams, dim: int, labels: int, seed: int) -> list[FloatArray]:
    """Weights drawn as Keras draws them for these layers, in the order of the model's `trainable_variables`.

    But for two: attention begins as a mean, with scores of 0, and a pooling head without dense layers begins at 0, from
    where a descent that is stopped early has its best linear classifiers first.

    Args:
        params: the layers.
        dim: numbers that the head reads of each frame.
        labels: how many there are.
        seed: of what is drawn.
    """
    import keras

    def glorot(place: int, rows: int, columns: int) -> FloatArray:
        drawn = keras.initializers.GlorotUniform(seed=seed + 1000 * place)((rows, columns))
        return np.asarray(drawn, np.float32)

    units = params.units
    if params.kind == LSTM:
        bias = np.zeros(4 * units, np.float32)
        bias[units : 2 * units] = 1  # of the forget gate (Jozefowicz et al., 2015), as in Keras
        weights, width = [glorot(0, dim, 4 * units), _orthogonal(units, seed), bias], units
    else:
        weights, width = [np.zeros((dim, 1), np.float32)] if params.pooling == ATTENTION else [], dim
        if not params.dense:
            return [*weights, np.zeros((dim, labels), np.float32), np.zeros(labels, np.float32)]
    for place, (rows, columns) in enumerate(itertools.pairwise([width, *params.dense, labels]), start=1):
        weights += [glorot(place, rows, columns), np.zeros(columns, np.float32)]
    return weights


@functools.lru_cache(maxsize=32)
def _orthogonal(units: int, seed: int) -> FloatArray:
    """Kept, because making it can take longer than an epoch and each trial of a search begins with the same."""
    import keras

    drawn = np.asarray(keras.initializers.Orthogonal(seed=seed)((units, 4 * units)), np.float32)
    drawn.setflags(write=False)
    return drawn
