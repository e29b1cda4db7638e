"""Heads in the `.h5` files of Keras 2 (TensorFlow 2.0 to 2.15), as the paper's: read, checked, built anew for Keras 3.

Such a file names classes and arguments as JSON and holds weights as HDF5 datasets. Nothing of it is run: each layer
must be one of `keras2.KINDS`, each argument one that is known there, and each weight of the shape that they say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from lus.common.arrays import FloatArray
from lus.common.errors import BadInput
from lus.heads.keras2 import KINDS, ActivationLayer, Dense, Input, LayerConfig, Lstm, Shape

if TYPE_CHECKING:
    import h5py
    import keras

Kind = TypeVar("Kind", bound=LayerConfig)
_SAVE = "save the whole model with model.save('FILE.h5') in TensorFlow 2"


class _Entry(BaseModel):
    class_name: str
    config: dict[str, Any]
    name: str | None = None
    inbound_nodes: list[Any] = []


class _Layers(BaseModel):
    layers: Annotated[list[_Entry], Field(min_length=1)]
    input_layers: list[Any] = []
    output_layers: list[Any] = []


class _Model(BaseModel):
    class_name: Literal["Sequential", "Functional", "Model"]
    config: _Layers


@dataclass(frozen=True)
class Head:
    """A head as a file describes it.

    Attributes:
        length, dim: shape of the features of a clip.
        labels: probabilities of an answer; what they stand for is not in the file.
        keras_version: that wrote it.
        layers: with their weights, from the features to the probabilities.
    """

    length: int
    dim: int
    labels: int
    keras_version: str
    layers: tuple[tuple[LayerConfig, list[FloatArray]], ...]

    def build(self) -> keras.Model:
        """The same head for Keras 3: (n, length, dim) float32 -> (n, labels)."""
        import keras

        built = [layer.build() for layer, _ in self.layers]
        model = keras.Sequential([keras.Input((self.length, self.dim), name="features"), *built], name="head")
        for new, (layer, weights) in zip(built, self.layers, strict=True):
            new.set_weights(layer.fit(weights))
        return model


def read(path: Path, length: int | None = None) -> Head:
    """Read a head from a `.h5` file of Keras 2.

    Args:
        path: of the file.
        length: frames of a sequence, where the file leaves it open.

    Raises:
        BadInput: the file is not such a file, is damaged, or holds what could not be built with the same answers.
    """
    import h5py

    if not path.is_file():
        raise BadInput(f"{path}: no such file; the .h5 file of a Keras 2 model was expected")
    if not h5py.is_hdf5(path):
        raise BadInput(f"{path}: no HDF5 file; the .h5 file of a Keras 2 model is expected, fetch or save it again")
    try:
        with h5py.File(path, "r") as file:
            return _read(file, length)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # what h5py raises for what it cannot follow
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{path}: damaged ({reason}); a whole HDF5 file is expected, fetch it again and compare its size"
        ) from None


def _read(file: h5py.File, length: int | None) -> Head:
    version = _written_by(file)
    opening, entries = _opening(_chain(_description(file)))
    length, dim = _input_shape(opening, length)
    shape: Shape = (length, dim)
    held, layers = _child(file, "model_weights"), []
    for entry in entries:
        layer = _arguments(_kind(entry), entry)
        after = layer.output(shape)
        if after is None:
            raise BadInput(
                f"layer {layer.name!r} ({entry.class_name}) is given an answer for the whole sequence, one for each "
                "frame is expected; the LSTM before it needs return_sequences=True"
            )
        layers.append((layer, _weights(held, layer, shape[-1])))
        shape = after
    _refuse_other_answers(layers, shape)
    return Head(length, dim, shape[0], version, tuple(layers))


def _opening(entries: list[_Entry]) -> tuple[Any, list[_Entry]]:
    """The shape of what the first layer takes, as the file has it, and the layers without one that says only that."""
    first = entries[0]
    if first.class_name == "InputLayer":
        return _arguments(Input, first).batch_input_shape, entries[1:]
    return first.config.get("batch_input_shape"), entries


def _text(attributes: h5py.AttributeManager, name: str) -> str | None:
    """A text attribute; h5py 2 wrote bytes and h5py 3 reads some of them as text."""
    value = attributes.get(name)
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else None


def _written_by(file: h5py.File) -> str:
    if "model_config" not in file.attrs:
        what = "weights without their layers" if "layer_names" in file.attrs else "no Keras model"
        raise BadInput(f"{what} found, a whole model (attribute model_config) is expected; {_SAVE}")
    held = _child(file, "model_weights")
    version, backend = (_text(file.attrs, key) or _text(held.attrs, key) for key in ("keras_version", "backend"))
    if version is None or not version.startswith("2.") or backend != "tensorflow":
        raise BadInput(
            f"written by Keras {version or 'unknown'} on {backend or 'an unknown backend'}, Keras 2 on tensorflow is "
            f"expected; {_SAVE}"
        )
    return version


def _description(file: h5py.File) -> _Model:
    try:
        return _Model.model_validate(json.loads(_text(file.attrs, "model_config") or ""))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the whole of it"
        raise BadInput(
            f"model_config does not describe a model in {where} ({fault['msg']}); a Sequential or Functional model is "
            f"expected, {_SAVE}"
        ) from None
    except (ValueError, RecursionError):
        raise BadInput(f"model_config is no JSON that can be read; {_SAVE}") from None


def _chain(model: _Model) -> list[_Entry]:
    """The layers in their order.

    Raises:
        BadInput: a Functional model has more than one input or answer, or branches.
    """
    entries, names = model.config.layers, [_name(entry) for entry in model.config.layers]
    if model.class_name == "Sequential":
        return entries
    ends = [[names[0], 0, 0]], [[names[-1], 0, 0]]
    linear = entries[0].inbound_nodes == [] and (model.config.input_layers, model.config.output_layers) == ends
    for before, entry in zip(names[:-1], entries[1:], strict=True):
        linear = linear and entry.inbound_nodes == [[[before, 0, 0, {}]]]
    if not linear:
        raise BadInput(
            "the layers branch or are shared, one chain from features to probabilities is expected; rebuild the model "
            "as one"
        )
    return entries


def _name(entry: _Entry) -> str:
    return entry.name or str(entry.config.get("name", ""))


def _kind(entry: _Entry) -> type[LayerConfig]:
    if entry.class_name in KINDS:
        return KINDS[entry.class_name]
    why = ", which would run code from the file" if entry.class_name == "Lambda" else ""
    raise BadInput(
        f"layer {_name(entry)!r} is a {entry.class_name}{why}; {', '.join(KINDS)} are known; rebuild the model "
        "without it"
    )


def _arguments(kind: type[Kind], entry: _Entry) -> Kind:
    try:
        return kind.model_validate(entry.config)
    except ValidationError as error:
        fault = error.errors()[0]
        argument = ".".join(str(part) for part in fault["loc"][:1])
        found = "is missing" if fault["type"] == "missing" else f"is {json.dumps(fault['input'])[:100]}"
        expected = {"extra_forbidden": "it is not known here", "missing": "it is needed"}.get(
            fault["type"], fault["msg"].replace("Input should be", "expected:")
        )
        raise BadInput(
            f"layer {_name(entry)!r} ({entry.class_name}): {argument} {found}, {expected}; rebuild the model so that "
            "its answers do not depend on it"
        ) from None


def _input_shape(opening: Any, length: int | None) -> tuple[int, int]:
    if not (isinstance(opening, list) and len(opening) == 3 and isinstance(opening[2], int) and opening[2] > 0):
        raise BadInput(
            f"features of the shape {json.dumps(opening)} are taken, [null, length, dim] is expected; {_SAVE} that was "
            "given the shape of its input"
        )
    of_file, dim = opening[1:]
    if of_file is None and length is None:
        raise BadInput("the file leaves the length of a sequence open; name it with --length")
    if length is not None and of_file not in (None, length):
        raise BadInput(f"sequences of {of_file} frames are taken, --length says {length}; leave it out")
    frames = of_file if length is None else length
    if not isinstance(frames, int) or frames < 1:
        raise BadInput(f"sequences of {frames} frames are taken, at least one frame is expected; name it with --length")
    return frames, dim


def _refuse_other_answers(layers: list[tuple[LayerConfig, list[FloatArray]]], shape: Shape) -> None:
    if len(shape) != 1 or shape[0] < 2:
        raise BadInput(
            f"the answer for a clip has the shape {shape}, (labels,) with two labels or more is expected; the last "
            "LSTM needs return_sequences=False"
        )
    last = [layer.activation for layer, _ in layers if isinstance(layer, Lstm | Dense | ActivationLayer)][-1]
    if last != "softmax":
        raise BadInput(
            f"the last activation is {last}, softmax is expected, whose answers are probabilities of labels; rebuild "
            "the model with it"
        )


def _weights(held: h5py.Group, layer: LayerConfig, dim: int) -> list[FloatArray]:
    """The weights of a layer, once their names, shapes and kind are what its arguments say."""
    expected = layer.weights(dim)
    if not expected:
        return []
    group = _child(held, layer.name)
    names = [one.decode() if isinstance(one, bytes) else str(one) for one in group.attrs.get("weight_names", [])]
    found = [name.rpartition("/")[2].removesuffix(":0") for name in names]
    if found != list(expected):
        raise BadInput(
            f"layer {layer.name!r} has the weights {', '.join(found) or 'none'}, {', '.join(expected)} are expected; "
            f"{_SAVE}"
        )
    return [_array(group, name, shape) for name, shape in zip(names, expected.values(), strict=True)]


def _array(group: h5py.Group, name: str, shape: Shape) -> FloatArray:
    data = _child(group, name)
    if getattr(data, "shape", None) != shape or data.dtype != np.float32:
        what = f"{data.dtype} {data.shape}" if hasattr(data, "shape") else "a group"
        raise BadInput(f"{data.name} is {what}, float32 {shape} is expected; {_SAVE}")
    # A dataset may declare any size and hold nothing, or refer to another file.
    if data.is_virtual or data.external or data.id.get_storage_size() != data.size * data.dtype.itemsize:
        raise BadInput(f"{data.name} does not hold its numbers, plain, in this file, as Keras writes them; {_SAVE}")
    values = np.asarray(data[()], np.float32)
    if not np.isfinite(values).all():
        raise BadInput(
            f"{data.name} holds numbers that are not finite; take the file of a training that did not diverge"
        )
    return values


def _child(group: h5py.Group, path: str) -> Any:
    """What a group holds under a path, unless there is a link in it, which could lead to any file of this machine."""
    import h5py

    for part in path.split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise BadInput(f"{group.name.rstrip('/')}/{part} is missing or a link to elsewhere; {_SAVE}")
        group = group[part]
    return group
