"""A file of Keras weights read as data: arrays by position and shape, with h5py alone; nothing in it is run."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lus.common.arrays import FloatArray
from lus.common.errors import BadInput

if TYPE_CHECKING:
    import keras

MEMBER = "model.weights.h5"
"""The weights within a `.keras` file."""
MOST = 1 << 30
"""Bytes that a member of an archive may have: the largest CNN of `keras.applications` here has a third of it."""


@dataclass(frozen=True)
class Layer:
    """A layer that a file is to have arrays for.

    Attributes:
        kind: its class in snake case, by which Keras 3 names the groups of a file.
        shapes: of its arrays; none where it has none.
    """

    kind: str
    shapes: tuple[tuple[int, ...], ...]


class _Unfit(Exception):
    """What a file lacks, in words that follow its name."""


def layers_of(cnn: keras.Model) -> list[Layer]:
    """The layers of a CNN, in its order: that of `get_weights`."""
    from keras.src.utils.naming import to_snake_case

    return [
        Layer(to_snake_case(type(one).__name__), tuple(tuple(array.shape) for array in one.weights))
        for one in cnn.layers
    ]


def read(path: Path, layers: Sequence[Layer]) -> list[FloatArray]:
    """The arrays of a CNN's layers in a file: `.weights.h5`, the older `.h5`, or `.keras`; told by their content.

    Of a model that holds the CNN as a layer the CNN's part is taken. Sizes are looked at before anything is read.

    Args:
        path: of the file.
        layers: of the CNN, from `layers_of`.

    Returns:
        float32 arrays, in the order of the layers.

    Raises:
        BadInput: it is none of these, is damaged, or has not the arrays of this CNN.
    """
    import h5py

    if not path.is_file():
        raise BadInput(f"{path}: no such file; name a .h5, .weights.h5 or .keras file of Keras")
    if zipfile.is_zipfile(path):
        with member(path, MEMBER) as inside:
            return read(inside, layers)
    try:
        with h5py.File(path, "r") as file:
            return _arrays(file, layers)
    except _Unfit as error:
        raise BadInput(f"{path}: {error}; name a file with the weights of this CNN without its top") from None
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BadInput(f"{path}: no HDF5 file that can be read ({reason}); fetch it anew") from None


@contextmanager
def member(archive: Path, name: str, most: int = MOST) -> Iterator[Path]:
    """A member of a zip as a file of its own, while it is needed.

    Args:
        archive: the zip.
        name: of the member.
        most: bytes that it may have.

    Raises:
        BadInput: it is no zip, has no such member, or the member is larger or damaged.
    """
    with tempfile.TemporaryDirectory(prefix="lus-weights-") as folder:
        file = Path(folder) / Path(name).name
        try:
            with zipfile.ZipFile(archive) as opened:
                size = opened.getinfo(name).file_size  # of which the zip module reads no byte more
                if size > most:
                    raise BadInput(f"{archive}: {name} has {size} bytes, at most {most} are expected; fetch it anew")
                with opened.open(name) as source, file.open("wb") as target:
                    shutil.copyfileobj(source, target)
        except KeyError:
            raise BadInput(f"{archive}: has no {name}; name a .keras file, or a .h5 one, of Keras 3") from None
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise BadInput(f"{archive}: a damaged zip ({error}); fetch it anew") from None
        except Exception as error:
            if type(error).__module__ != "zlib":
                raise
            raise BadInput(f"{archive}: a damaged zip ({error}); fetch it anew") from None
        yield file


def _arrays(file: Any, layers: Sequence[Layer]) -> list[FloatArray]:
    legacy = _inside(file, "model_weights") if "model_weights" in file else file
    if _attribute(legacy, "layer_names"):
        return _older(legacy, layers)
    if "layers" not in file:
        raise _Unfit("has no layers of Keras")
    top = _inside(file, "layers")
    # The CNN itself, or a model that has it as a layer.
    places = [top] + [_inside(top, f"{name}/layers") for name in top if "layers" in _inside(top, name)]
    wanted = _wanted(layers)
    for place in places:
        if all(name in place for name, _ in wanted):
            return [
                _array(place, f"{name}/vars/{n}", shape) for name, shapes in wanted for n, shape in enumerate(shapes)
            ]
    lacking = next(name for name, _ in wanted if name not in top)
    raise _Unfit(f"has no layer {lacking}, as this CNN has")


def _wanted(layers: Sequence[Layer]) -> list[tuple[str, tuple[tuple[int, ...], ...]]]:
    """The layers with arrays under the names that Keras 3 gives them: the class, then a number from the second on."""
    seen: dict[str, int] = {}
    found = []
    for layer in layers:
        number = seen[layer.kind] = seen.get(layer.kind, -1) + 1
        if layer.shapes:
            found.append((f"{layer.kind}_{number}" if number else layer.kind, layer.shapes))
    return found


def _older(group: Any, layers: Sequence[Layer]) -> list[FloatArray]:
    """The arrays of a file as Keras 2 wrote it: by the position of the layers that have any."""
    named = [(name, _attribute(_inside(group, name), "weight_names")) for name in _attribute(group, "layer_names")]
    named = [(name, weights) for name, weights in named if weights]
    wanted = [layer.shapes for layer in layers if layer.shapes]
    if len(named) < len(wanted):
        raise _Unfit(f"has {len(named)} layers with weights, {len(wanted)} are expected")
    found = []
    for (name, weights), shapes in zip(named, wanted, strict=False):  # a top comes last, and is left
        if len(weights) != len(shapes):
            raise _Unfit(f"layer {name} has {len(weights)} arrays, {len(shapes)} are expected")
        found += [_array(_inside(group, name), one, shape) for one, shape in zip(weights, shapes, strict=True)]
    return found


def _attribute(group: Any, name: str) -> list[str]:
    """A list of names, which Keras 2 cuts into pieces where it is long."""
    pieces = [name] if name in group.attrs else []
    while f"{name}{len(pieces)}" in group.attrs and pieces != [name]:
        pieces.append(f"{name}{len(pieces)}")
    values = [value for piece in pieces for value in np.asarray(group.attrs[piece]).ravel()]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _inside(group: Any, path: str) -> Any:
    """What lies at a path, by links within the file alone: others may lead to any file of this machine."""
    import h5py

    for part in path.split("/"):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if link is None:
            raise _Unfit(f"has no {path}")
        if not isinstance(link, h5py.HardLink):
            raise _Unfit(f"{path} is a link, an array is expected")
        group = group[part]
    return group


def _array(group: Any, path: str, shape: tuple[int, ...]) -> FloatArray:
    import h5py

    found = _inside(group, path)
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise _Unfit(f"{group.name}/{path} is no array of the file's own")
    if found.shape != shape or found.dtype != np.float32:
        raise _Unfit(f"{group.name}/{path} is {found.shape} {found.dtype}, {shape} float32 is expected")
    array: FloatArray = found[()]
    return array
