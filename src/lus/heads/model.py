"""The sequence classifier on top of a feature set: features -> probabilities."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lus.common.arrays import FloatArray

if TYPE_CHECKING:
    import keras


CHANGES = "changes"
"""What a head of changes reads, and the name of the part of it that makes them of features."""


@dataclass(frozen=True)
class HeadParams:
    """A head and how it is trained.

    Attributes:
        units: LSTM units.
        dropout: share of the LSTM's inputs dropped in training.
        dense: units of the dense layers between the LSTM and the output.
        learning_rate: of the optimiser.
        batch: clips of one gradient step.
        optimiser: `adam`, `rmsprop` or `sgd` (with a momentum of 0.9).
        inputs: what the LSTM reads: the features of each frame (`frames`, as published), or how much each of them
            differs from that of the frame before (`changes`), where what tells labels apart is motion alone.
    """

    units: int = 512
    dropout: float = 0.4
    dense: tuple[int, ...] = (1024, 1024)
    learning_rate: float = 0.0003
    batch: int = 16
    optimiser: str = "adam"
    inputs: str = "frames"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self) | {"dense": list(self.dense)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> HeadParams:
        """The inverse of `to_dict`."""
        return cls(**(values | {"dense": tuple(values["dense"])}))


PUBLISHED = HeadParams()
"""The winning head of Barros et al., Sensors 2021, 21, 5486: 6,822,915 trainable parameters on 20 x 2048
features and three labels. Optimiser, learning rate and batch size are not published; these are this project's."""

PUBLISHED_HEADS = {
    "xception-20": PUBLISHED,
    "nasnetlarge-20": HeadParams(units=1024, dense=(64, 256)),
    "densenet121-20": HeadParams(units=32, dense=(1024, 1024)),
    "densenet201-5": HeadParams(units=1024, dense=(512, 128)),
    "nasnetmobile-15": HeadParams(units=64, dense=(64, 1024)),
    "resnet152v2-10": HeadParams(units=1024, dense=(1024, 128)),
    "resnet152v2-20": HeadParams(units=512, dense=(128, 256)),
    "pocovidnet-5": HeadParams(units=256, dense=(128, 128)),
    "pocovidnet-10": HeadParams(units=512, dense=(128, 512)),
    "pocovidnet-20": HeadParams(units=256, dense=(256, 512)),
}
"""The published heads of feature sets, by their names: layers as in the authors' model listings; the rest as above.

Those of POCOVID-Net belong to its networks of one fold each: 3 (5 frames), 4 (10 frames) and 1 (20 frames).
"""


def get_published(feature_set: str) -> HeadParams:
    """The published head of a feature set; the winning one where none is published."""
    return PUBLISHED_HEADS.get(feature_set, PUBLISHED)


def build_head(
    params: HeadParams, length: int, dim: int, labels: int, mean: FloatArray, variance: FloatArray
) -> keras.Model:
    """An untrained head with fresh weights.

    Features of a CNN share a large mean, so they are standardised first, with the statistics of the clips
    that the head is trained on (`feature_moments`); these add no trainable parameter.

    Args:
        params: the layers.
        length, dim: shape of the features of a clip, (length, dim) float32.
        labels: probabilities of an answer.
        mean, variance: (dim,) float32, of what the LSTM reads (`lstm_inputs`).

    Returns:
        A model (n, length, dim) -> (n, labels).
    """
    import keras

    layers = keras.layers
    model = keras.Sequential(name="head")
    model.add(keras.Input((length, dim), name="features"))
    if params.inputs == CHANGES:
        model.add(_changes_layer(length, dim))
    model.add(layers.Normalization(mean=mean, variance=variance, name="standardise"))
    model.add(layers.LSTM(params.units, dropout=params.dropout, name="lstm"))
    for number, units in enumerate(params.dense, start=1):
        model.add(layers.Dense(units, activation="relu", name=f"dense_{number}"))
    model.add(layers.Dense(labels, activation="softmax", name="probabilities"))
    return model


def _changes_layer(length: int, dim: int) -> keras.Model:
    """What `compute_changes` does, in layers that any Keras knows."""
    import keras

    features, layers = keras.Input((length, dim)), keras.layers
    later, before = layers.Cropping1D((1, 0))(features), layers.Cropping1D((0, 1))(features)
    return keras.Model(features, layers.ZeroPadding1D((1, 0))(keras.ops.abs(later - before)), name=CHANGES)


def lstm_inputs(params: HeadParams, features: FloatArray) -> FloatArray:
    """What the LSTM reads: (n, length, dim) -> (n, length, dim)."""
    return compute_changes(features) if params.inputs == CHANGES else features


def compute_changes(features: FloatArray) -> FloatArray:
    """How much features differ from those of the frame before, which the first has not: shape as given."""
    changed = np.zeros_like(features)
    changed[:, 1:] = np.abs(np.diff(features, axis=1))
    return changed


def feature_moments(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of each feature over clips and frames: (n, length, dim) -> (dim,), (dim,)."""
    flat = features.reshape(-1, features.shape[-1])
    # A feature that never changes must come out as 0, not as noise blown up.
    return flat.mean(axis=0), np.maximum(flat.var(axis=0), 1e-8)
