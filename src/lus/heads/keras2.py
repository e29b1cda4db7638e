"""The layers that a head saved by Keras 2 may have: their arguments, weights, and what they are in Keras 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from lus.common.arrays import FloatArray

if TYPE_CHECKING:
    import keras

Shape = tuple[int, ...]
Activation = Literal["elu", "linear", "relu", "selu", "sigmoid", "softmax", "softplus", "softsign", "tanh"]
"""Those that are the same function in Keras 2 and Keras 3."""
Rate = Annotated[float, Field(ge=0, lt=1)]


def _policy_name(value: Any) -> Any:
    """Keras 2 writes a layer's dtype as a name, or as the policy of that name."""
    if isinstance(value, dict) and value.get("class_name") == "Policy" and isinstance(value.get("config"), dict):
        return value["config"].get("name")
    return value


class LayerConfig(BaseModel):
    """Arguments of a layer; `Any` marks those that play no part once it is trained."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str
    trainable: bool = True
    dtype: Annotated[Literal["float32"], BeforeValidator(_policy_name)] = "float32"
    batch_input_shape: list[int | None] | None = None

    def weights(self, dim: int) -> dict[str, Shape]:  # noqa: ARG002
        """Name and shape of each weight, in the file's order, for inputs of this many features."""
        return {}

    def output(self, shape: Shape) -> Shape | None:
        """Shape of one answer for one input of this shape; None where the layer cannot take it."""
        return shape

    def build(self) -> keras.Layer:
        """The layer of Keras 3, without weights."""
        raise NotImplementedError

    def fit(self, weights: list[FloatArray]) -> list[FloatArray]:
        """The weights with which the layer of Keras 3 does what that of Keras 2 did."""
        return weights


class Input(LayerConfig):
    """The shape of what a model takes."""

    batch_input_shape: Annotated[list[int | None], Field(min_length=3, max_length=3)]
    sparse: Literal[False] = False
    ragged: Literal[False] = False
    optional: Literal[False] = False


class Kernel(LayerConfig):
    """A layer with a kernel and, if it says so, a bias."""

    units: Annotated[int, Field(gt=0)]
    activation: Activation
    use_bias: bool
    kernel_initializer: Any = None
    bias_initializer: Any = None
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    activity_regularizer: Any = None
    kernel_constraint: Any = None
    bias_constraint: Any = None


class Lstm(Kernel):
    """An LSTM; its states start at 0 for each clip, and it reads the frames in their order."""

    recurrent_activation: Activation | Literal["hard_sigmoid"]
    return_sequences: bool
    return_state: Literal[False] = False
    go_backwards: Literal[False] = False
    stateful: Literal[False] = False
    time_major: Literal[False] = False
    unroll: bool = False
    implementation: Literal[1, 2] = 2
    dropout: Rate = 0.0
    recurrent_dropout: Rate = 0.0
    unit_forget_bias: Any = None
    recurrent_initializer: Any = None
    recurrent_regularizer: Any = None
    recurrent_constraint: Any = None

    def weights(self, dim: int) -> dict[str, Shape]:
        """Kernels, then the bias if there is one."""
        gates = 4 * self.units
        bias = {"bias": (gates,)} if self.use_bias else {}
        return {"kernel": (dim, gates), "recurrent_kernel": (self.units, gates), **bias}

    def output(self, shape: Shape) -> Shape | None:
        """(length, units), or (units,) of the last frame."""
        if len(shape) != 2:
            return None
        return (shape[0], self.units) if self.return_sequences else (self.units,)

    def build(self) -> keras.Layer:
        """The layer of Keras 3."""
        import keras

        return keras.layers.LSTM(
            self.units,
            activation=self.activation,
            recurrent_activation=self.recurrent_activation,
            use_bias=self.use_bias,
            return_sequences=self.return_sequences,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
        )

    def fit(self, weights: list[FloatArray]) -> list[FloatArray]:
        """The same weights, but for Keras 2's `hard_sigmoid`, which Keras 3 defines otherwise."""
        if self.recurrent_activation != "hard_sigmoid":
            return weights
        # Keras 2's is clip(x / 5 + 1 / 2), Keras 3's clip(x / 6 + 1 / 2): the same where x is 6 / 5 as large. The
        # gates are input, forget, candidate, output; the candidate has the other activation.
        gates = np.repeat(np.array([1.2, 1.2, 1.0, 1.2]), self.units)
        return [(one * gates).astype(np.float32) for one in weights]


class Dense(Kernel):
    """A dense layer, for one vector or each of a sequence."""

    def weights(self, dim: int) -> dict[str, Shape]:
        """Kernels, then the bias if there is one."""
        return {"kernel": (dim, self.units)} | ({"bias": (self.units,)} if self.use_bias else {})

    def output(self, shape: Shape) -> Shape | None:
        """The same with `units` features."""
        return (*shape[:-1], self.units)

    def build(self) -> keras.Layer:
        """The layer of Keras 3."""
        import keras

        return keras.layers.Dense(self.units, activation=self.activation, use_bias=self.use_bias)


class ActivationLayer(LayerConfig):
    """An activation alone."""

    activation: Activation

    def build(self) -> keras.Layer:
        """The layer of Keras 3."""
        import keras

        return keras.layers.Activation(self.activation)


class Dropout(LayerConfig):
    """Dropout; it does nothing once trained."""

    rate: Rate
    noise_shape: None = None
    seed: Any = None

    def build(self) -> keras.Layer:
        """The layer of Keras 3."""
        import keras

        return keras.layers.Dropout(self.rate)


KINDS: dict[str, type[LayerConfig]] = {"LSTM": Lstm, "Dense": Dense, "Dropout": Dropout, "Activation": ActivationLayer}
"""The layers that a head may have; no other class is ever looked up."""
