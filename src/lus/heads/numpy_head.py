"""A trained head in NumPy: its probabilities, those after each frame, and their gradient; serving needs no Keras.

The gradient is the chain rule of each layer, written out; that of an LSTM goes back through time (Hochreiter and
Schmidhuber, 1997; the gates in Keras's order: input, forget, candidate, output). Tests hold both to Keras's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lus.common.arrays import FloatArray
from lus.common.errors import BadInput
from lus.heads import model

if TYPE_CHECKING:
    import keras

LAYERS_FILE, WEIGHTS_FILE = "head.json", "head.npz"
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""Klambauer et al., 2017."""

Function = Callable[[FloatArray], FloatArray]
Backward = Callable[[FloatArray], FloatArray]
"""The gradient with respect to what a layer gave -> that with respect to what it took."""


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), x.dtype)


def _softmax(x: FloatArray) -> FloatArray:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), x.dtype)


def _softmax_back(_: FloatArray, y: FloatArray, dy: FloatArray) -> FloatArray:
    return np.asarray(y * (dy - (y * dy).sum(axis=-1, keepdims=True)), y.dtype)


ACTIVATIONS: dict[str, tuple[Function, Callable[[FloatArray, FloatArray, FloatArray], FloatArray]]] = {
    # name: (x -> y, (x, y, dy) -> dx)
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda x, y, dy: dy * np.where(x > 0, 1, y + 1)),
    "hard_sigmoid": (
        lambda x: np.clip(x / 6 + 0.5, 0, 1).astype(x.dtype),
        lambda _, y, dy: np.where((y > 0) & (y < 1), dy / 6, 0).astype(y.dtype),
    ),
    "linear": (lambda x: x, lambda _x, _y, dy: dy),
    "relu": (lambda x: np.maximum(x, 0), lambda x, _, dy: dy * (x > 0)),
    "selu": (
        lambda x: (SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))).astype(x.dtype),
        lambda x, y, dy: dy * np.where(x > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA),
    ),
    "sigmoid": (_sigmoid, lambda _, y, dy: dy * y * (1 - y)),
    "softmax": (_softmax, _softmax_back),
    "softplus": (lambda x: np.logaddexp(x, 0).astype(x.dtype), lambda x, _, dy: dy * _sigmoid(x)),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x, _, dy: dy / (1 + np.abs(x)) ** 2),
    "tanh": (np.tanh, lambda _, y, dy: dy * (1 - y * y)),
}
"""Those that a head may have, with their derivatives; `keras2.Activation` and Keras 3's `hard_sigmoid`."""


@dataclass(frozen=True)
class Layer:
    """One layer of a head.

    Attributes:
        kind: `changes`, `standardise`, `lstm`, `dense` or `activation`.
        arguments: `activation`; of an LSTM `recurrent_activation` and `sequences` too.
        weights: mean and deviation; kernel, recurrent kernel and bias; or kernel and bias.
    """

    kind: str
    arguments: dict[str, Any]
    weights: tuple[FloatArray, ...] = ()

    def apply(self, x: FloatArray, sequences: bool = False) -> tuple[FloatArray, Backward]:
        """What the layer gives, and the way back through it.

        Args:
            x: (n, length, dim), or (n, dim) after the last LSTM.
            sequences: let an LSTM answer after each frame, whatever its arguments say.
        """
        if self.kind == "changes":
            return _changes(x)
        if self.kind == "lstm":
            return self._lstm(x, sequences or self.arguments["sequences"])
        function, back = ACTIVATIONS[self.arguments.get("activation", "linear")]
        if self.kind == "standardise":
            mean, deviation = self.weights
            return (x - mean) / deviation, lambda dy: dy / deviation
        if self.kind == "activation":
            y = function(x)
            return y, lambda dy: back(x, y, dy)
        kernel, bias = self.weights
        z = x @ kernel + bias
        y = function(z)
        return y, lambda dy: np.asarray(back(z, y, dy) @ kernel.T)

    def _lstm(self, x: FloatArray, sequences: bool) -> tuple[FloatArray, Backward]:
        kernel, recurrent, bias = self.weights
        units, steps = recurrent.shape[0], x.shape[1]
        (act, act_back), (gate, gate_back) = (
            ACTIVATIONS[self.arguments[name]] for name in ("activation", "recurrent_activation")
        )
        taken = x @ kernel + bias
        h = c = np.zeros((len(x), units), x.dtype)
        kept = []
        for step in range(steps):
            z = np.split(taken[:, step] + h @ recurrent, 4, axis=1)
            i, f, g, o = gate(z[0]), gate(z[1]), act(z[2]), gate(z[3])
            before, c = c, f * c + i * g
            squashed = act(c)
            h = o * squashed
            kept.append((z, i, f, g, o, before, c, squashed, h))
        hidden = np.stack([one[-1] for one in kept], axis=1)

        def back(dy: FloatArray) -> FloatArray:
            each = dy if sequences else np.zeros_like(hidden)
            if not sequences:
                each[:, -1] = dy
            dh = dc = np.zeros((len(x), units), x.dtype)
            dtaken = np.zeros_like(taken)
            for step in reversed(range(steps)):
                z, i, f, g, o, before, state, squashed, _ = kept[step]
                dh = dh + each[:, step]
                dc = dc + act_back(state, squashed, dh * o)
                parts = (dc * g, dc * before, dc * i, dh * squashed)
                ways = ((z[0], i), (z[1], f), (z[2], g), (z[3], o))
                backs = (gate_back, gate_back, act_back, gate_back)
                dz = [one(*way, part) for one, way, part in zip(backs, ways, parts, strict=True)]
                dtaken[:, step] = np.concatenate(dz, axis=1)
                dh, dc = dtaken[:, step] @ recurrent.T, dc * f
            return np.asarray(dtaken @ kernel.T)

        return (hidden if sequences else hidden[:, -1]), back


def _changes(x: FloatArray) -> tuple[FloatArray, Backward]:
    def back(dy: FloatArray) -> FloatArray:
        signed, dx = dy[:, 1:] * np.sign(np.diff(x, axis=1)), np.zeros_like(x)
        dx[:, 1:] += signed
        dx[:, :-1] -= signed
        return dx

    return model.compute_changes(x), back


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
        last = max(number for number, one in enumerate(self.layers) if one.kind == "lstm")
        x = features[None]
        for number, layer in enumerate(self.layers):
            x, _ = layer.apply(x, sequences=number == last)
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
                    Layer(kind, arguments, tuple(arrays[f"{n}.{m}"] for m in range(_WEIGHTS[kind])))
                    for n, (kind, arguments) in enumerate(described)
                )
            )


_WEIGHTS = {"changes": 0, "standardise": 2, "lstm": 3, "dense": 2, "activation": 0}


def convert_keras(head: keras.Model) -> NumpyHead:
    """The same head without Keras.

    Raises:
        BadInput: it has a layer, an activation or an argument that is not known here.
    """
    found = [_layer(one) for one in head.layers if type(one).__name__ not in ("InputLayer", "Dropout")]
    layers = tuple(found)
    if not any(one.kind == "lstm" for one in layers) or layers[-1].arguments.get("activation") != "softmax":
        raise BadInput("the head has no LSTM, or its last activation is no softmax; neither can be served")
    return NumpyHead(layers)


def _layer(layer: keras.Layer) -> Layer:
    if layer.name == model.CHANGES:
        return Layer("changes", {})
    kind, config = type(layer).__name__, layer.get_config()
    weights = [np.asarray(one, np.float32) for one in layer.get_weights()]
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
    if kind == "Activation":
        return Layer("activation", arguments)
    raise BadInput(f"layer {layer.name!r} ({kind}) cannot be served; a head of LSTM and dense layers is expected")
