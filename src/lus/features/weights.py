"""The weights of a CNN: their kinds, those of a file, random ones; and the digest that tells them apart."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from lus.common import hashing
from lus.common.arrays import Frames
from lus.common.errors import BadInput

if TYPE_CHECKING:
    import keras

IMAGENET, RANDOM, OWN = "imagenet", "random", "own"
"""What `features.weights` may be beside a file: ImageNet's, seeded, trained on the cohort's own frames."""


def load_file(cnn: keras.Model, path: Path, name: str) -> None:
    """Read the weights of a CNN from a file, in either of Keras's formats.

    Args:
        cnn: without its top; changed in place.
        path: of the file.
        name: of the backbone.

    Raises:
        BadInput: there is no such file, or it holds weights of another CNN.
    """
    if not path.is_file():
        raise BadInput(f"features.weights: {path}: no such file; expected `imagenet`, `random` or a file in weights/")
    try:
        with warnings.catch_warnings():
            # Keras warns, and leaves a layer's fresh weights as they are, where a file has none for it.
            warnings.simplefilter("error", UserWarning)
            cnn.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{path}: does not hold weights of {name} ({reason}); name a file that does") from None


def hash_weights(model: keras.Model) -> str:
    """SHA-256 of a backbone's weights, whatever its layers are called: the bytes of a weights file hold their names."""
    return hashing.hash_arrays(model.get_weights())


def calibrate(model: keras.Model, cnn: keras.Model, frames: Frames) -> None:
    """Set the batch-norm statistics to those of the given frames.

    With random weights and the statistics that a new batch-norm layer has (mean 0, variance 1), activations
    shrink or grow from layer to layer until the features say nothing. One pass with momentum 0 gives every
    layer the statistics of its own inputs.

    Args:
        model: a backbone; changed in place.
        cnn: the CNN inside it.
        frames: (n, size, size, 3) uint8.
    """
    import keras
    import tensorflow as tf

    norms = [layer for layer in cnn.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    before, cnn.trainable = [layer.momentum for layer in norms], True  # frozen layers would not take statistics
    for layer in norms:
        layer.momentum = 0.0
    tf.function(lambda batch: model(batch, training=True))(tf.constant(frames))
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum
    cnn.trainable = False
