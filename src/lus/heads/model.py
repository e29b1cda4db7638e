"""The sequence classifier on top of a feature set: features -> probabilities."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lus.common.arrays import FloatArray

if TYPE_CHECKING:
    import keras


LSTM, POOL = "lstm", "pool"
"""Kinds of head."""
MEAN, MAX, ATTENTION = "mean", "max", "attention"
"""How a pooling head makes one vector of a clip's frames; and the name of its layer that does it."""
FRAMES, CHANGES, BOTH = "frames", "changes", "both"
"""What a head reads; the last two also name the layer that makes it of features."""
SCORE = "score"
"""The layer that scores the frames, of a head that pools with attention."""


@dataclass(frozen=True)
class HeadParams:
    """A head and how it is trained.

    Attributes:
        units: LSTM units.
        dropout: share of the inputs dropped in training, the same ones in all frames of a clip.
        dense: units of the dense layers between the LSTM or the pooling and the output; none make a head that pools
            its mean a linear classifier.
        learning_rate: of the optimiser.
        batch: clips of one gradient step.
        optimiser: `adam`, `rmsprop` or `sgd` (with a momentum of 0.9).
        inputs: what the head reads: the features of each frame (`frames`, as published), how much each of them
            differs from that of the frame before (`changes`), where what tells labels apart is motion alone, or `both`
            side by side.
        kind: `lstm`, as published, or `pool`: pooling over the frames, whose order plays no part then.
        pooling: of a pooling head: `mean`, `max`, or `attention`, the mean weighted by a softmax over the frames of a
            learnt linear score (Ilse et al., 2018, without its hidden layer).
        l2: times the sum of the squared kernels of all layers but the LSTM is added to the loss in training.
    """

    units: int = 512
    dropout: float = 0.4
    dense: tuple[int, ...] = (1024, 1024)
    learning_rate: float = 0.0003
    batch: int = 16
    optimiser: str = "adam"
    inputs: str = FRAMES
    kind: str = LSTM
    pooling: str = MEAN
    l2: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self) | {"dense": list(self.dense)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> HeadParams:
        """The inverse of `to_dict`; what was written before there were pooling heads is an LSTM."""
        return cls(**(values | {"dense": tuple(values["dense"])}))

    def used(self) -> dict[str, Any]:
        """As `to_dict`, without what plays no part in a head of this kind."""
        unused = ("pooling",) if self.kind == LSTM else ("units",)
        return {name: value for name, value in self.to_dict().items() if name not in unused}

    def __str__(self) -> str:
        """Its layers in words, as in `LSTM 512, dense 1024 1024` or `mean of frames, linear`."""
        if self.kind == LSTM:
            first = f"LSTM {self.units}" + (f" of {self.inputs}" if self.inputs != FRAMES else "")
        else:
            first = f"{self.pooling} of {'frames and changes' if self.inputs == BOTH else self.inputs}"
        return f"{first}, {'dense ' + ' '.join(map(str, self.dense)) if self.dense else 'linear'}"


LINEAR = HeadParams(kind=POOL, pooling=MEAN, dense=(), dropout=0.0, l2=0.5, learning_rate=0.003, optimiser="sgd")
"""A strongly regularised linear classifier of mean features: hard to beat where clips are few.

Its penalty is about that of scikit-learn's logistic regression with C = 0.01 on 100 clips, 1 / (2 C clips)."""
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
    """An untrained head with fresh weights, of layers that any Keras knows.

    Features of a CNN share a large mean, so they are standardised first, with the statistics of the clips
    that the head is trained on (`feature_moments`); these add no trainable parameter.

    Args:
        params: the layers.
        length, dim: shape of the features of a clip, (length, dim) float32.
        labels: probabilities of an answer.
        mean, variance: (inputs_dim,) float32, of what the head reads (`compute_inputs`).

    Returns:
        A model (n, length, dim) -> (n, labels).
    """
    import keras

    layers = keras.layers
    penalty = keras.regularizers.L2(params.l2) if params.l2 else None
    model = keras.Sequential(name="head")
    model.add(keras.Input((length, dim), name="features"))
    if params.inputs != FRAMES:
        model.add(_inputs_layer(params.inputs, length, dim))
    model.add(layers.Normalization(mean=mean, variance=variance, name="standardise"))
    if params.kind == LSTM:
        model.add(layers.LSTM(params.units, dropout=params.dropout, name="lstm"))
    else:
        if params.dropout:
            model.add(layers.SpatialDropout1D(params.dropout, name="dropout"))
        model.add(_pooling_layer(params.pooling, length, inputs_dim(params, dim), penalty))
    for number, units in enumerate(params.dense, start=1):
        model.add(layers.Dense(units, activation="relu", kernel_regularizer=penalty, name=f"dense_{number}"))
    model.add(layers.Dense(labels, activation="softmax", kernel_regularizer=penalty, name="probabilities"))
    return model


def _inputs_layer(inputs: str, length: int, dim: int) -> keras.Model:
    """What `compute_inputs` does."""
    import keras

    features, layers = keras.Input((length, dim)), keras.layers
    later, before = layers.Cropping1D((1, 0))(features), layers.Cropping1D((0, 1))(features)
    changes = layers.ZeroPadding1D((1, 0))(keras.ops.abs(later - before))
    return keras.Model(
        features, changes if inputs == CHANGES else layers.Concatenate()([features, changes]), name=inputs
    )


def _pooling_layer(pooling: str, length: int, dim: int, penalty: keras.Regularizer | None) -> keras.Layer:
    """(n, length, dim) -> (n, dim)."""
    import keras

    layers = keras.layers
    if pooling == MEAN:
        return layers.GlobalAveragePooling1D(name=MEAN)
    if pooling == MAX:
        return layers.GlobalMaxPooling1D(name=MAX)
    frames = keras.Input((length, dim))
    # Without a bias, which the softmax would take away again.
    scores = layers.Dense(1, use_bias=False, kernel_regularizer=penalty, name=SCORE)(frames)
    pooled = layers.Dot(axes=1)([layers.Softmax(axis=1)(scores), frames])
    return keras.Model(frames, layers.Reshape((dim,))(pooled), name=ATTENTION)


def inputs_dim(params: HeadParams, dim: int) -> int:
    """How many numbers of each frame the head reads, where a frame has so many features."""
    return 2 * dim if params.inputs == BOTH else dim


def compute_inputs(params: HeadParams, features: FloatArray) -> FloatArray:
    """What the head reads: (n, length, dim) -> (n, length, inputs_dim)."""
    if params.inputs == FRAMES:
        return features
    return compute_changes(features) if params.inputs == CHANGES else append_changes(features)


def compute_changes(features: FloatArray) -> FloatArray:
    """How much features differ from those of the frame before, which the first has not: shape as given."""
    changed = np.zeros_like(features)
    changed[:, 1:] = np.abs(np.diff(features, axis=1))
    return changed


def append_changes(features: FloatArray) -> FloatArray:
    """Features, and how much they differ from those of the frame before: (n, length, dim) -> (n, length, 2 dim)."""
    return np.concatenate([features, compute_changes(features)], axis=2)


def feature_moments(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of each feature over clips and frames: (n, length, dim) -> (dim,), (dim,)."""
    flat = features.reshape(-1, features.shape[-1])
    # A feature that never changes must come out as 0, not as noise blown up.
    return flat.mean(axis=0), np.maximum(flat.var(axis=0), 1e-8)
