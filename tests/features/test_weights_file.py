from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from lus.common.errors import BadInput
from lus.features import weights_file
from lus.features.weights_file import MEMBER
from tests.features.weight_files import LAYERS, arrays, write_h5, write_keras


def _cnn() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    found = keras.layers.Conv2D(4, 3, use_bias=False)(inputs)
    found = keras.layers.ReLU()(keras.layers.BatchNormalization()(found))
    found = keras.layers.SeparableConv2D(5, 3)(found)
    return keras.Model(inputs, keras.layers.Conv2D(2, 1)(found), name="cnn")


def _save_older(model: keras.Model, path: Path) -> None:
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def test_the_files_that_keras_writes_give_the_weights_of_the_cnn(tmp_path: Path) -> None:
    cnn = _cnn()
    cnn.set_weights([np.random.default_rng(1).random(one.shape) for one in cnn.get_weights()])
    cnn.save_weights(tmp_path / "cnn.weights.h5")
    _save_older(cnn, tmp_path / "cnn.h5")
    cnn.save(tmp_path / "cnn.keras")
    dense = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(cnn.output))
    _save_older(keras.Model(cnn.input, dense), tmp_path / "with-top.h5")
    whole = keras.Input((8, 8, 3))
    keras.Model(whole, keras.layers.Dense(3)(cnn(whole))).save(tmp_path / "classifier.keras")
    layers = weights_file.layers_of(_cnn())
    for name in ("cnn.weights.h5", "cnn.h5", "cnn.keras", "with-top.h5", "classifier.keras"):
        found = weights_file.read(tmp_path / name, layers)
        assert len(found) == len(cnn.get_weights())
        for mine, theirs in zip(found, cnn.get_weights(), strict=True):
            assert (mine == theirs).all(), name


@pytest.mark.parametrize("within", ["layers", "layers/functional/layers"])
def test_arrays_come_in_the_order_of_the_layers(tmp_path: Path, within: str) -> None:
    found = weights_file.read(write_h5(tmp_path / "cnn.h5", arrays(), within), LAYERS)
    assert all((mine == theirs).all() for mine, theirs in zip(found, arrays(), strict=True))


def _h5(path: Path, **changed: object) -> Path:
    write_h5(path, arrays())
    with h5py.File(path, "r+") as file:
        for name, value in changed.items():
            place = f"layers/conv2d_1/vars/{name.removeprefix('n')}"
            del file[place]
            if value is not None:
                file[place] = value
    return path


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros((1, 1, 4, 3), np.float32), r"conv2d_1/vars/0 is \(1, 1, 4, 3\) float32, \(1, 1, 4, 2\) float32 is"),
        (np.zeros((1, 1, 4, 2), np.float64), "float64, .* float32 is expected"),
        (np.zeros((1 << 20, 4), np.int8), r"is \(1048576, 4\) int8"),
        (None, "has no conv2d_1/vars/0"),
        (h5py.SoftLink("/layers/conv2d/vars/0"), "is a link"),
        (h5py.ExternalLink("other.h5", "/secret"), "is a link"),
    ],
    ids=["shape", "type", "large", "missing", "soft link", "external link"],
)
def test_an_array_that_is_not_as_expected_is_named(tmp_path: Path, value: object, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        weights_file.read(_h5(tmp_path / "cnn.h5", n0=value), LAYERS)


def test_an_array_whose_values_lie_in_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(1 << 10))
    write_h5(tmp_path / "cnn.h5", arrays())
    with h5py.File(tmp_path / "cnn.h5", "r+") as file:
        del file["layers/conv2d_1/vars/0"]
        group = file["layers/conv2d_1/vars"]
        group.create_dataset("0", (1, 1, 4, 2), np.float32, external=[(str(tmp_path / "other"), 0, 32)])
    with pytest.raises(BadInput, match="is no array of the file's own"):
        weights_file.read(tmp_path / "cnn.h5", LAYERS)


def test_files_that_are_damaged_or_something_else_are_refused(tmp_path: Path) -> None:
    whole = write_keras(tmp_path / "cnn.keras", arrays())
    h5 = write_h5(tmp_path / "cnn.h5", arrays())
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    cut = tmp_path / "cut.keras"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    short = tmp_path / "cut.h5"
    short.write_bytes(h5.read_bytes()[: h5.stat().st_size // 2])
    flipped = tmp_path / "flipped.keras"
    content = bytearray(whole.read_bytes())
    content[len(content) // 3] ^= 255
    flipped.write_bytes(content)
    empty = tmp_path / "empty.h5"
    with h5py.File(empty, "w") as file:
        file["x"] = [1]
    for path, said in [
        (other, f"has no {MEMBER}"),
        (cut, "no HDF5 file that can be read"),
        (short, "no HDF5 file that can be read"),
        (flipped, "a damaged zip"),
        (empty, "has no layers of Keras"),
        (tmp_path / "none.h5", "no such file"),
    ]:
        with pytest.raises(BadInput, match=said):
            weights_file.read(path, LAYERS)


def test_a_member_larger_than_it_may_be_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, bytes(1 << 20))
    with (
        pytest.raises(BadInput, match="has 1048576 bytes, at most 1000 are expected"),
        weights_file.member(path, MEMBER, 1000),
    ):
        pass
