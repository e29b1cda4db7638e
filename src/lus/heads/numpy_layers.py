"""The layers of a head in NumPy: what each gives, and the way back through it.

The way back is the chain rule, written out; that of an LSTM goes back through time (Hochreiter and Schmidhuber, 1997;
the gates in Keras's order: input, forget, candidate, output). Tests hold all of it to Keras's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lus.common.arrays import FloatArray
from lus.heads import model

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


WEIGHTS = {
    "changes": 0,
    "both": 0,
    "standardise": 2,
    "lstm": 3,
    "mean": 0,
    "max": 0,
    "attention": 1,
    "dense": 2,
    "activation": 0,
}
"""Every kind of layer, and how many arrays it has."""
OF_SEQUENCES = ("lstm", model.MEAN, model.MAX, model.ATTENTION)
"""Those that make one vector of a clip's frames."""


@dataclass(frozen=True)
class Layer:
    """One layer of a head.

    Attributes:
        kind: one of `WEIGHTS`.
        arguments: `activation`; of an LSTM `recurrent_activation` and `sequences` too.
        weights: mean and deviation; kernel, recurrent kernel and bias; the kernel of attention's scores; or kernel and
            bias.
    """

    kind: str
    arguments: dict[str, Any]
    weights: tuple[FloatArray, ...] = ()

    def apply(self, x: FloatArray) -> tuple[FloatArray, Backward]:
        """What the layer gives, and the way back through it.

        Args:
            x: (n, length, dim), or (n, dim) after the last layer of `OF_SEQUENCES`.
        """
        if self.kind in _WITHOUT_WEIGHTS:
            return _WITHOUT_WEIGHTS[self.kind](x)
        if self.kind == "lstm":
            return self._lstm(x, self.arguments["sequences"])
        if self.kind == model.ATTENTION:
            return _attention(x, self.weights[0])
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

    def apply_by_frame(self, x: FloatArray) -> FloatArray:
        """What a layer of `OF_SEQUENCES` gives if clips end at each frame: (n, length, dim) -> (n, length, units)."""
        if self.kind == "lstm":
            return self._lstm(x, sequences=True)[0]
        return np.stack([self.apply(x[:, :end])[0] for end in range(1, x.shape[1] + 1)], axis=1)

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


def _both(x: FloatArray) -> tuple[FloatArray, Backward]:
    dim, through_changes = x.shape[2], _changes(x)[1]
    return model.append_changes(x), lambda dy: dy[..., :dim] + through_changes(dy[..., dim:])


def _mean(x: FloatArray) -> tuple[FloatArray, Backward]:
    return x.mean(axis=1), lambda dy: np.broadcast_to(dy[:, None] / x.shape[1], x.shape)


def _max(x: FloatArray) -> tuple[FloatArray, Backward]:
    y = x.max(axis=1)

    def back(dy: FloatArray) -> FloatArray:
        greatest = (x == y[:, None]).astype(x.dtype)  # frames that are equal share the gradient, as in Keras
        return np.asarray(dy[:, None] * greatest / greatest.sum(axis=1, keepdims=True))

    return y, back


def _attention(x: FloatArray, kernel: FloatArray) -> tuple[FloatArray, Backward]:
    """The mean over frames, weighted by a softmax of their scores."""
    scores = (x @ kernel)[..., 0]
    shares = _softmax(scores)

    def back(dy: FloatArray) -> FloatArray:
        dscores = _softmax_back(scores, shares, np.einsum("nld,nd->nl", x, dy))
        return np.asarray(shares[..., None] * dy[:, None] + dscores[..., None] * kernel[:, 0])

    return np.einsum("nl,nld->nd", shares, x), back


_WITHOUT_WEIGHTS: dict[str, Callable[[FloatArray], tuple[FloatArray, Backward]]] = {
    model.CHANGES: _changes,
    model.BOTH: _both,
    model.MEAN: _mean,
    model.MAX: _max,
}
