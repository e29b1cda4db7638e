"""A trained head in NumPy: its probabilities, those after each frame, and their gradient; serving needs no Keras."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lus.common.arrays import FloatArray
from lus.common.errors import BadInput
from lus.heads import model
from lus.heads.numpy_layers import ACTIVATIONS, OF_SEQUENCES, WEIGHTS, Layer

if TYPE_CHECKING:
    import keras

LAYERS_FILE, WEIGHTS_FILE = "head.json", "head.npz"


@dataclass(frozen=True)
class NumpyHead:
    """A head: features (n, length, dim) -> probabilities (n, labels)."""

    layers: tuple[Layer, ...]

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Probabilities: (n, length, dim) float32 -> (n, labels) float32."""
        x = features
        for layer in self.layers:
            x, _ = layer.apply(x)
        return x

    def probabilities_by_frame(self, features: FloatArray) -> FloatArray:
        """What would be said if the clip ended at each frame: (length, dim) -> (length, labels)."""
        last = max(number for number, one in enumerate(self.layers) if one.kind in OF_SEQUENCES)
        x = features[None]
        for number, layer in enumerate(self.layers):
            x = layer.apply_by_frame(x) if number == last else layer.apply(x)[0]
        return np.asarray(x[0])

    def gradient(self, features: FloatArray, label: int) -> FloatArray:
        """How the score of a label changes with the features: (length, dim) -> (length, dim).

        The score is what the last softmax takes, as Grad-CAM uses it (Selvaraju et al., 2017).
        """
        x, ways = features[None], []
        *before, last = self.layers
        for layer in before:
            x, back = layer.apply(x)
            ways.append(back)
        # The last layer without its softmax.
        scores, back = Layer(last.kind, last.arguments | {"activation": "linear"}, last.weights).apply(x)
        ways.append(back)
        gradient = np.zeros_like(scores)
        gradient[0, label] = 1
        for back in reversed(ways):
            gradient = back(gradient)
        return np.asarray(gradient[0])

    def save(self, folder: Path) -> None:
        """Write the layers as JSON and the weights as plain arrays."""
        (folder / LAYERS_FILE).write_text(
            json.dumps([[one.kind, one.arguments] for one in self.layers], indent=2) + "\n"
        )
        arrays = {f"{n}.{m}": w for n, one in enumerate(self.layers) for m, w in enumerate(one.weights)}
        with (folder / WEIGHTS_FILE).open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path) -> NumpyHead:
        """The inverse of `save`."""
        described = json.loads((folder / LAYERS_FILE).read_text())
        with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as arrays:
            return cls(
                tuple(
                    Layer(kind, arguments, tuple(arrays[f"{n}.{m}"] for m in range(WEIGHTS[kind])))
                    for n, (kind, arguments) in enumerate(described)
                )
            )


_WITHOUT_EFFECT = ("InputLayer", "Dropout", "SpatialDropout1D")
_POOLING = {"GlobalAveragePooling1D": model.MEAN, "GlobalMaxPooling1D": model.MAX}


def convert_keras(head: keras.Model) -> NumpyHead:
    """The same head without Keras.

    Raises:
        BadInput: it has a layer, an activation or an argument that is not known here.
    """
    found = [_layer(one) for one in head.layers if type(one).__name__ not in _WITHOUT_EFFECT]
    layers = tuple(found)
    reads = any(one.kind in OF_SEQUENCES for one in layers)
    if not reads or layers[-1].arguments.get("activation") != "softmax":
        raise BadInput("the head has no LSTM or pooling, or its last activation is no softmax; neither can be served")
    return NumpyHead(layers)


def _layer(layer: keras.Layer) -> Layer:
    kind, config = type(layer).__name__, layer.get_config()
    weights = [np.asarray(one, np.float32) for one in layer.get_weights()]
    if layer.name in (model.CHANGES, model.BOTH, model.ATTENTION):
        return Layer(layer.name, {}, tuple(weights))
    arguments = {
        name: config[name] for name in ("activation", "recurrent_activation") if isinstance(config.get(name), str)
    }
    if any(one not in ACTIVATIONS for one in arguments.values()):
        raise BadInput(f"layer {layer.name!r} has an activation that cannot be served; {', '.join(ACTIVATIONS)} can")
    if kind == "Normalization":
        # Keras divides by no less than its epsilon.
        mean, deviation = (np.asarray(one, np.float32).reshape(-1) for one in (layer.mean, layer.variance**0.5))
        return Layer("standardise", {}, (mean, np.maximum(deviation, 1e-7)))
    if kind == "LSTM" and not config["go_backwards"] and not config["stateful"]:
        bias = weights[2] if config["use_bias"] else np.zeros(weights[0].shape[1], np.float32)
        return Layer("lstm", arguments | {"sequences": config["return_sequences"]}, (weights[0], weights[1], bias))
    if kind == "Dense":
        bias = weights[1] if config["use_bias"] else np.zeros(weights[0].shape[1], np.float32)
        return Layer("dense", arguments, (weights[0], bias))
    if kind in _POOLING and config["data_format"] == "channels_last" and not config["keepdims"]:
        return Layer(_POOLING[kind], {})
    if kind == "Activation":
        return Layer("activation", arguments)
    raise BadInput(
        f"layer {layer.name!r} ({kind}) cannot be served; a head of LSTM or pooling, and dense layers, is expected"
    )
