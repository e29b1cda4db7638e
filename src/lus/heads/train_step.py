"""Epochs of training: the arithmetic of Keras's layers, optimisers and losses, arranged for many short trainings.

Two things make a search slow with `model.fit`, and are left out here. Keras multiplies the inputs by the LSTM's
kernel anew at each time step; here all steps go into one matrix product, forwards and backwards, which is the same sum
(the dropout's mask is one for all steps of a clip in Keras too). And each new model is traced and compiled anew; here
one traced function serves all heads with the same layers and the same optimiser, whatever their sizes.
Tests hold losses, gradients and steps to Keras's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lus.common.arrays import FloatArray, IntArray
from lus.heads.model import ATTENTION, MEAN, POOL, HeadParams

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
"""Keras's defaults for Adam (Kingma and Ba, 2015); the last for RMSprop too."""
RHO, MOMENTUM = 0.9, 0.9
"""Keras's default for RMSprop; what the momentum of stochastic gradient descent is set to here."""
SLOTS = {"adam": 2, "rmsprop": 2, "sgd": 1}
"""Values that each optimiser keeps for each weight."""
CLIP_NORM = 1.0
"""Norm to which the gradient of all weights together is scaled down."""
PREDICTED_AT_ONCE = 256
"""Clips of which probabilities are computed at once, so that memory does not grow with their number."""


class Layers(NamedTuple):
    """What a traced function depends on: the layers of a head but not their sizes, and how it is trained.

    Attributes:
        pooling: None for an LSTM.
        dense: number of dense layers before the output.
        optimiser: its name.
        penalised: whether the loss has a penalty on the kernels.
    """

    pooling: str | None
    dense: int
    optimiser: str
    penalised: bool

    @classmethod
    def of(cls, params: HeadParams) -> Layers:
        """Those of a head."""
        return cls(params.pooling if params.kind == POOL else None, len(params.dense), params.optimiser, params.l2 > 0)

    @property
    def ranks(self) -> list[int]:
        """Of each weight, in the order of the model's `trainable_variables`."""
        return [2, 2, 1][: self._first] + [2, 1] * (self.dense + 1)

    @property
    def kernels(self) -> list[int]:
        """Places of the kernels that a penalty is on: all but an LSTM's."""
        scores = [0] if self.pooling == ATTENTION else []
        return scores + [self._first + 2 * layer for layer in range(self.dense + 1)]

    @property
    def _first(self) -> int:
        """Weights before those of the dense layers: an LSTM's three, or attention's kernel."""
        return 3 if self.pooling is None else int(self.pooling == ATTENTION)


def get_loop(params: HeadParams) -> Loop:
    """The loop for heads with these layers and this optimiser; made and traced once in a process."""
    return _make_loop(Layers.of(params))


@functools.cache
def _make_loop(layers: Layers) -> Loop:
    return Loop(layers)


class Loop:
    """Epochs of training for all heads with the same layers and the same optimiser.

    Its variables have no fixed shape, so that the traced functions take heads of every size.
    """

    def __init__(self, layers: Layers) -> None:
        import tensorflow as tf

        def variables() -> list[tf.Variable]:
            return [tf.Variable(tf.zeros([1] * rank), shape=[None] * rank, trainable=False) for rank in layers.ranks]

        self._weights, self._slots = variables(), [variables() for _ in range(SLOTS[layers.optimiser])]
        self._layers, self._step = layers, 0
        numbers, scalar = tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.float32)
        whole = tf.TensorSpec([], tf.int64)
        inputs = tf.TensorSpec([None, None, None], tf.float32)
        self._epoch = tf.function(
            self._train_epoch, input_signature=[inputs, numbers, numbers, whole, scalar, scalar, scalar, whole, whole]
        )
        self._predict = tf.function(
            lambda rows: tf.nn.softmax(forward(layers, rows, [one.value() for one in self._weights])),
            input_signature=[inputs],
        )

    def start(self, weights: Sequence[FloatArray]) -> None:
        """Begin a training with these weights and an optimiser without a past."""
        self._step = 0
        for place, value in enumerate(weights):
            self._weights[place].assign(value)
            for slot in self._slots:
                slot[place].assign(np.zeros_like(value))

    def epoch(
        self, params: HeadParams, inputs: FloatArray, targets: IntArray, order: IntArray, seed: int
    ) -> tuple[float, float]:
        """Train on all clips once, in the order given.

        Returns:
            The mean loss, without penalty, and the accuracy on the way.
        """
        step = self._step
        self._step += -(-len(order) // params.batch)
        loss, right = self._epoch(
            inputs, targets, order, params.batch, params.learning_rate, params.dropout, params.l2, step, seed
        )
        return float(loss) / len(order), float(right) / len(order)

    def weights(self) -> list[FloatArray]:
        """The weights as they are now."""
        return [one.numpy() for one in self._weights]

    def probabilities(self, inputs: FloatArray) -> FloatArray:
        """Probabilities: standardised (n, length, dim) -> (n, labels)."""
        parts = [
            self._predict(inputs[start : start + PREDICTED_AT_ONCE]).numpy()
            for start in range(0, len(inputs), PREDICTED_AT_ONCE)
        ]
        return np.concatenate(parts)

    def _train_epoch(
        self, inputs: Any, targets: Any, order: Any, batch: Any, rate: Any, dropout: Any, l2: Any, step: Any, seed: Any
    ) -> tuple[Any, Any]:
        import tensorflow as tf

        count = tf.size(order, out_type=tf.int64)
        loss, right = tf.constant(0.0), tf.constant(0.0)
        for start in tf.range(0, count, batch):
            step += 1
            rows = order[start : start + batch]
            taken, truth = tf.gather(inputs, rows), tf.gather(targets, rows)
            mask = dropout_mask(tf.shape(taken), dropout, tf.stack([seed, step]))
            one, logits, gradients = self._gradients(taken * mask[:, None, :], truth, l2)
            self._apply(gradients, rate, tf.cast(step, tf.float32))
            loss += one * tf.cast(tf.size(rows), tf.float32)
            right += tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, axis=1), truth), tf.float32))
        return loss, right

    def _gradients(self, taken: Any, truth: Any, l2: Any) -> tuple[Any, Any, list[Any]]:
        """The loss without penalty, the logits, and the gradients with the penalty's."""
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            weights = [one.value() for one in self._weights]
            tape.watch(weights)
            logits = forward(self._layers, taken, weights)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits))
        gradients = tape.gradient(loss, weights)
        if self._layers.penalised:
            for place in self._layers.kernels:
                gradients[place] += 2 * l2 * weights[place]
        return loss, logits, gradients

    def _apply(self, gradients: list[Any], rate: Any, step: Any) -> None:
        """One step of the optimiser, by TensorFlow's kernels that do it in one pass over the weights."""
        import tensorflow as tf

        norm = tf.sqrt(2 * tf.add_n([tf.nn.l2_loss(one) for one in gradients]))
        scale = CLIP_NORM / tf.maximum(norm, CLIP_NORM)
        for place, gradient in enumerate(gradients):
            variable, slots = self._weights[place].handle, [slot[place].handle for slot in self._slots]
            _update(self._layers.optimiser, variable, slots, gradient * scale, rate, step)


def _update(optimiser: str, variable: Any, slots: list[Any], gradient: Any, rate: Any, step: Any) -> None:
    import tensorflow as tf

    ops = tf.raw_ops
    if optimiser == "adam":
        ops.ResourceApplyAdam(
            var=variable,
            m=slots[0],
            v=slots[1],
            beta1_power=tf.pow(BETA_1, step),
            beta2_power=tf.pow(BETA_2, step),
            lr=rate,
            beta1=BETA_1,
            beta2=BETA_2,
            epsilon=EPSILON,
            grad=gradient,
        )
    elif optimiser == "rmsprop":
        ops.ResourceApplyRMSProp(
            var=variable, ms=slots[0], mom=slots[1], lr=rate, rho=RHO, momentum=0.0, epsilon=EPSILON, grad=gradient
        )
    else:
        ops.ResourceApplyKerasMomentum(var=variable, accum=slots[0], lr=rate, momentum=MOMENTUM, grad=gradient)


def dropout_mask(shape: Any, rate: Any, seed: Any) -> Any:
    """What a clip's inputs are multiplied by at all its time steps: (n, length, dim) -> (n, dim)."""
    import tensorflow as tf

    kept = tf.random.stateless_uniform([shape[0], shape[2]], seed) >= rate
    return tf.cast(kept, tf.float32) / (1 - rate)


def forward(layers: Layers, inputs: Any, weights: Sequence[Any]) -> Any:
    """Logits of a head: standardised (n, length, dim) -> (n, labels)."""
    import tensorflow as tf

    before = len(weights) - 2 * (layers.dense + 1)
    first, dense = weights[:before], weights[before:]
    hidden = _read_sequence(inputs, *first) if layers.pooling is None else pool(layers.pooling, inputs, first)
    for place in range(0, len(dense) - 2, 2):
        hidden = tf.nn.relu(tf.matmul(hidden, dense[place]) + dense[place + 1])
    return tf.matmul(hidden, dense[-2]) + dense[-1]


def pool(pooling: str, inputs: Any, weights: Sequence[Any]) -> Any:
    """One vector of all frames: (n, length, dim) -> (n, dim); the weights are those of attention."""
    import tensorflow as tf

    if pooling == ATTENTION:
        return tf.reduce_sum(inputs * tf.nn.softmax(inputs @ weights[0], axis=1), axis=1)
    return tf.reduce_mean(inputs, axis=1) if pooling == MEAN else tf.reduce_max(inputs, axis=1)


def _read_sequence(inputs: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
    """An LSTM's last output: (n, length, dim) -> (n, units)."""
    import tensorflow as tf

    shape, width = tf.shape(inputs), tf.shape(bias)[0]
    flat = tf.reshape(tf.transpose(inputs, [1, 0, 2]), [-1, shape[2]])
    projected = tf.reshape(tf.matmul(flat, kernel) + bias, [shape[1], shape[0], width])
    return lstm(projected, recurrent)


def lstm(projected: Any, recurrent: Any) -> Any:
    """The last output of an LSTM (Hochreiter and Schmidhuber, 1997; with Keras's gates and their order).

    Its gradient is written out, because the gradient of the recurrent weights is one matrix product over all steps
    then, not a sum of one for each.

    Args:
        projected: (length, n, 4 units), the inputs times the kernel, with the bias.
        recurrent: (units, 4 units).

    Returns:
        (n, units).
    """
    import tensorflow as tf

    length, units, anything = tf.shape(projected)[0], tf.shape(recurrent)[0], tf.TensorShape([None, None])

    def array() -> Any:
        return tf.TensorArray(tf.float32, length, element_shape=anything)

    def loop(first: int | Any, body: Callable[..., Any], one: Any, two: Any, *arrays: Any) -> Any:
        shapes = (tf.TensorShape([]), anything, anything, *(tf.TensorShape(None) for _ in arrays))
        inside = lambda step, *_: (step >= 0) & (step < length)  # noqa: E731
        return tf.while_loop(inside, body, (first, one, two, *arrays), shape_invariants=shapes)

    def run(projected: Any, recurrent: Any) -> Any:
        def forwards(step: Any, hidden: Any, cell: Any, gates: Any, kept: Any) -> Any:
            into, forget, new, out = tf.split(projected[step] + tf.matmul(hidden, recurrent), 4, axis=1)
            into, forget, new, out = tf.sigmoid(into), tf.sigmoid(forget), tf.tanh(new), tf.sigmoid(out)
            after = forget * cell + into * new
            squashed = tf.tanh(after)
            gates = gates.write(step, tf.concat([into, forget, new, out, squashed, cell], axis=1))
            return step + 1, out * squashed, after, gates, kept.write(step, hidden)

        nothing = tf.zeros([tf.shape(projected)[1], units])
        _, hidden, _, gates, kept = loop(0, forwards, nothing, nothing, array(), array())
        before = kept.concat()

        def gradient(upstream: Any) -> tuple[Any, Any]:
            def backwards(step: Any, by_hidden: Any, by_cell: Any, found: Any) -> Any:
                into, forget, new, out, squashed, cell = tf.split(gates.read(step), 6, axis=1)
                by_cell += by_hidden * out * (1 - squashed * squashed)
                parts = [
                    by_cell * new * into * (1 - into),
                    by_cell * cell * forget * (1 - forget),
                    by_cell * into * (1 - new * new),
                    by_hidden * squashed * out * (1 - out),
                ]
                by_gates = tf.concat(parts, axis=1)
                by_hidden = tf.matmul(by_gates, recurrent, transpose_b=True)
                return step - 1, by_hidden, by_cell * forget, found.write(step, by_gates)

            *_, found = loop(length - 1, backwards, upstream, tf.zeros_like(upstream), array())
            by_projected = found.stack()
            flat = tf.reshape(by_projected, [-1, 4 * units])
            return by_projected, tf.matmul(before, flat, transpose_a=True)

        return hidden, gradient

    return tf.custom_gradient(run)(projected, recurrent)
