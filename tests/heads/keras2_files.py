"""Heads as Keras 2 saves them: a writer of the format of TensorFlow 2.4, and its layers in NumPy to compare with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

LENGTH, DIM = 5, 6
Layer = dict[str, Any]


def lstm(name: str, units: int, **changed: Any) -> Layer:
    """The arguments that TensorFlow 2.4 writes for an LSTM."""
    config = {
        "name": name,
        "trainable": True,
        "dtype": "float32",
        "return_sequences": False,
        "return_state": False,
        "go_backwards": False,
        "stateful": False,
        "unroll": False,
        "time_major": False,
        "units": units,
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "use_bias": True,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
        "recurrent_initializer": {"class_name": "Orthogonal", "config": {"gain": 1.0, "seed": None}},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "unit_forget_bias": True,
        "kernel_regularizer": None,
        "recurrent_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "recurrent_constraint": None,
        "bias_constraint": None,
        "dropout": 0.4,
        "recurrent_dropout": 0.0,
        "implementation": 2,
    }
    return {"class_name": "LSTM", "config": config | changed}


def dense(name: str, units: int, activation: str = "relu", **changed: Any) -> Layer:
    config = {
        "name": name,
        "trainable": True,
        "dtype": "float32",
        "units": units,
        "activation": activation,
        "use_bias": True,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    }
    return {"class_name": "Dense", "config": config | changed}


def dropout(name: str) -> Layer:
    config = {"name": name, "trainable": True, "dtype": "float32", "rate": 0.3, "noise_shape": None, "seed": None}
    return {"class_name": "Dropout", "config": config}


PUBLISHED = [lstm("lstm", 8), dense("dense", 7), dense("dense_1", 7), dense("dense_2", 3, "softmax")]
"""The published layers, small."""


def draw_weights(layers: list[Layer], dim: int, seed: int = 1) -> dict[str, dict[str, np.ndarray]]:
    """Weights of each layer by their names in the file."""
    rng, drawn = np.random.default_rng(seed), {}
    for layer in layers:
        name, units = layer["config"]["name"], layer["config"].get("units")
        shapes: dict[str, tuple[int, ...]] = {}
        if layer["class_name"] == "LSTM":
            shapes = {"lstm_cell/kernel": (dim, 4 * units), "lstm_cell/recurrent_kernel": (units, 4 * units)}
            shapes |= {"lstm_cell/bias": (4 * units,)}
        elif layer["class_name"] == "Dense":
            shapes = {"kernel": (dim, units), "bias": (units,)}
        if not layer["config"].get("use_bias", True):
            shapes = {key: shape for key, shape in shapes.items() if not key.endswith("bias")}
        drawn[name] = {f"{name}/{key}:0": rng.normal(0, 0.6, shape).astype("f4") for key, shape in shapes.items()}
        dim = units or dim
    return drawn


def write(
    path: Path,
    layers: list[Layer],
    weights: dict[str, dict[str, np.ndarray]],
    *,
    shape: tuple[int | None, ...] = (None, LENGTH, DIM),
    functional: bool = False,
    version: str = "2.4.0",
    text: Callable[[str], Any] = str.encode,
) -> Path:
    """Write a model as `model.save(path)` of TensorFlow 2.4 does; `text` makes the attributes."""
    start = {
        "class_name": "InputLayer",
        "config": {"batch_input_shape": shape, "dtype": "float32", "sparse": False, "ragged": False, "name": "start"},
    }
    entries = [start, *layers]
    config: dict[str, Any] = {"name": "model", "layers": entries}
    if functional:
        names = [entry["config"]["name"] for entry in entries]
        nodes = [[], *([[[before, 0, 0, {}]]] for before in names[:-1])]
        config["layers"] = [
            entry | {"name": name, "inbound_nodes": node}
            for entry, name, node in zip(entries, names, nodes, strict=True)
        ]
        config |= {"input_layers": [[names[0], 0, 0]], "output_layers": [[names[-1], 0, 0]]}
    with h5py.File(path, "w") as file:
        file.attrs["backend"], file.attrs["keras_version"] = text("tensorflow"), text(version)
        described = {"class_name": "Functional" if functional else "Sequential", "config": config}
        file.attrs["model_config"] = text(json.dumps(described))
        held = file.create_group("model_weights")
        held.attrs["layer_names"] = np.asarray([name.encode() for name in weights])
        held.attrs["backend"], held.attrs["keras_version"] = text("tensorflow"), text(version)
        for name, arrays in weights.items():
            group = held.create_group(name)
            group.attrs["weight_names"] = np.asarray([key.encode() for key in arrays])
            for key, array in arrays.items():
                group.create_dataset(key, data=array)
    return path


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
}
"""As Keras 2 defines them."""


def answers(layers: list[Layer], weights: dict[str, dict[str, np.ndarray]], x: np.ndarray) -> np.ndarray:
    """What Keras 2 answers, in float64: (n, length, dim) -> (n, labels)."""
    x = x.astype(float)
    for layer in layers:
        config, arrays = layer["config"], [one.astype(float) for one in weights[layer["config"]["name"]].values()]
        act = FUNCTIONS[config.get("activation", "linear")]
        if layer["class_name"] == "LSTM":
            gate, (kernel, recurrent, *bias) = FUNCTIONS[config["recurrent_activation"]], arrays
            h = c = np.zeros((len(x), config["units"]))
            steps = []
            for t in range(x.shape[1]):
                i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + sum(bias), 4, axis=1)
                c = gate(f) * c + gate(i) * act(g)
                h = gate(o) * act(c)
                steps.append(h)
            x = np.stack(steps, axis=1) if config["return_sequences"] else h
        elif layer["class_name"] == "Dense":
            x = act(x @ arrays[0] + sum(arrays[1:]))
        else:
            x = act(x)
    return x


def features(clips: int = 4, length: int = LENGTH, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(9).normal(0, 1.5, (clips, length, dim)).astype("f4")
