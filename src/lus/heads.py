"""The sequence classifier on top of a feature set: features -> probabilities."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lus.arrays import FloatArray, IntArray

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class HeadParams:
    """A head and how it is trained.

    Attributes:
        units: LSTM units.
        dropout: share of the LSTM's inputs dropped in training.
        dense: units of the dense layers between the LSTM and the output.
        learning_rate: Adam's.
        batch: clips of one gradient step.
    """

    units: int = 512
    dropout: float = 0.4
    dense: tuple[int, ...] = (1024, 1024)
    learning_rate: float = 0.0003
    batch: int = 16

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self) | {"dense": list(self.dense)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> HeadParams:
        """The inverse of `to_dict`."""
        return cls(**(values | {"dense": tuple(values["dense"])}))


PUBLISHED = HeadParams()
"""The winning head of Barros et al., Sensors 2021, 21, 5486: 6,822,915 trainable parameters on 20 x 2048
features and three labels. Learning rate and batch size are not published; these are this project's."""

PUBLISHED_OF = {
    "xception-20": PUBLISHED,
    "nasnetlarge-20": HeadParams(units=1024, dense=(64, 256)),
    "densenet121-20": HeadParams(units=32, dense=(1024, 1024)),
    "densenet201-5": HeadParams(units=1024, dense=(512, 128)),
    "nasnetmobile-15": HeadParams(units=64, dense=(64, 1024)),
    "resnet152v2-10": HeadParams(units=1024, dense=(1024, 128)),
    "resnet152v2-20": HeadParams(units=512, dense=(128, 256)),
}
"""The published heads of feature sets, by their names: layers as in the authors' model listings; the rest as above."""


def published(feature_set: str) -> HeadParams:
    """The published head of a feature set; the winning one where none is published."""
    return PUBLISHED_OF.get(feature_set, PUBLISHED)


def build(
    params: HeadParams, length: int, dim: int, labels: int, mean: FloatArray, variance: FloatArray
) -> keras.Model:
    """An untrained head with fresh weights.

    Features of a CNN share a large mean, so they are standardised first, with the statistics of the clips
    that the head is trained on (`feature_moments`); these add no trainable parameter.

    Args:
        params: the layers.
        length, dim: shape of the features of a clip, (length, dim) float32.
        labels: probabilities of an answer.
        mean, variance: (dim,) float32.

    Returns:
        A model (n, length, dim) -> (n, labels).
    """
    import keras

    layers = keras.layers
    model = keras.Sequential(name="head")
    model.add(keras.Input((length, dim), name="features"))
    model.add(layers.Normalization(mean=mean, variance=variance, name="standardise"))
    model.add(layers.LSTM(params.units, dropout=params.dropout, name="lstm"))
    for number, units in enumerate(params.dense, start=1):
        model.add(layers.Dense(units, activation="relu", name=f"dense_{number}"))
    model.add(layers.Dense(labels, activation="softmax", name="probabilities"))
    return model


def feature_moments(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of each feature over clips and frames: (n, length, dim) -> (dim,), (dim,)."""
    flat = features.reshape(-1, features.shape[-1])
    # A feature that never changes must come out as 0, not as noise blown up.
    return flat.mean(axis=0), np.maximum(flat.var(axis=0), 1e-8)


@dataclass(frozen=True)
class History:
    """Losses and accuracies of a training, one value an epoch; the validation's are empty without one."""

    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    val_loss: tuple[float, ...]
    val_accuracy: tuple[float, ...]

    @property
    def best_epoch(self) -> int:
        """Epochs up to the lowest validation loss (all of them without a validation part)."""
        return int(np.argmin(np.nan_to_num(self.val_loss, nan=np.inf))) + 1 if self.val_loss else len(self.loss)


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
) -> tuple[keras.Model, History]:
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

    Returns:
        The trained head and its history.
    """
    import keras

    keras.utils.set_random_seed(seed)
    model = build(params, features.shape[1], features.shape[2], labels, *feature_moments(features))
    optimiser = keras.optimizers.Adam(params.learning_rate, global_clipnorm=1.0)
    model.compile(optimizer=optimiser, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
    fitted = model.fit(
        features,
        targets,
        batch_size=params.batch,
        epochs=epochs,
        validation_data=validation,
        validation_batch_size=max(len(validation[0]), 1) if validation else None,
        callbacks=[stop] if validation else [],
        verbose=0,
    )
    series = {key: tuple(float(value) for value in values) for key, values in fitted.history.items()}
    history = History(series["loss"], series["accuracy"], series.get("val_loss", ()), series.get("val_accuracy", ()))
    return model, history


def predict(model: keras.Model, features: FloatArray) -> FloatArray:
    """Probabilities: (n, length, dim) float32 -> (n, labels) float32."""
    return np.asarray(model.predict(features, batch_size=64, verbose=0), np.float32)
