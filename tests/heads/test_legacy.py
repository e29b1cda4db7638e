"""Heads that Keras 2 saved are read whole, answer as they did, or are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lus.common.errors import BadInput
from lus.heads import legacy
from tests.heads.keras2_files import (
    DIM,
    LENGTH,
    PUBLISHED,
    Layer,
    answers,
    dense,
    draw_weights,
    dropout,
    features,
    lstm,
    write,
)

HERE = Path(__file__).parent


def same(path: Path, layers: list[Layer], x: np.ndarray, **options: Any) -> None:
    """The converted model, saved and loaded in safe mode, answers as Keras 2 does."""
    weights = draw_weights(layers, x.shape[-1])
    model = legacy.read(write(path, layers, weights, **options)).build()
    model.save(path.with_suffix(".keras"))
    loaded = keras.saving.load_model(path.with_suffix(".keras"), compile=False, safe_mode=True)
    found = np.asarray(loaded(x))
    np.testing.assert_allclose(found, answers(layers, weights, x), atol=2e-6)
    assert np.ptp(found, axis=0).max() > 1e-3


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return write(tmp_path / "head.h5", PUBLISHED, draw_weights(PUBLISHED, DIM))


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("text", [str.encode, np.bytes_, str], ids=["bytes", "fixed", "text"])
def test_a_head_of_the_published_layers_answers_as_in_keras_2(
    tmp_path: Path, functional: bool, text: Callable[[str], Any]
) -> None:
    same(tmp_path / "head.h5", PUBLISHED, features(), functional=functional, text=text)


def test_a_file_that_keras_2_wrote_answers_as_it_did() -> None:
    # Written by tf_keras 2.21 on TensorFlow 2.21, trained for 40 epochs on noise: LSTM(4, hard_sigmoid, sequences),
    # LSTM(4), Dense(4, relu), Dropout, Dense(3, softmax); the answers are those of its own `predict`.
    known = json.loads((HERE / "keras2-head.json").read_text())
    head = legacy.read(HERE / "keras2-head.h5")
    assert (head.length, head.dim, head.labels, head.keras_version) == (5, 6, 3, "2.21.0")
    found = np.asarray(head.build()(np.asarray(known["features"], "f4")))
    np.testing.assert_allclose(found, known["probabilities"], atol=1e-6)


def test_the_hard_sigmoid_is_that_of_keras_2(tmp_path: Path) -> None:
    first = lstm("first", 4, recurrent_activation="hard_sigmoid", return_sequences=True)
    last = lstm("last", 3, recurrent_activation="hard_sigmoid", use_bias=False)
    same(tmp_path / "head.h5", [first, dropout("drop"), last, dense("out", 3, "softmax")], features())


@pytest.mark.parametrize("activation", ["elu", "linear", "relu", "selu", "sigmoid", "softmax", "softplus", "softsign"])
def test_an_activation_is_the_same_function_as_in_keras_2(tmp_path: Path, activation: str) -> None:
    alone = {"class_name": "Activation", "config": {"name": "alone", "trainable": True, "dtype": "float32"}}
    alone["config"] |= {"activation": "softmax"}
    policy = {"class_name": "Policy", "config": {"name": "float32"}}
    layers = [
        lstm("lstm", 4, activation=activation, recurrent_activation=activation, dtype=policy),
        dense("dense", 4, activation),
        dense("out", 3, "linear"),
        alone,
    ]
    # Two frames: unbounded gates grow without end over more.
    same(tmp_path / "head.h5", layers, features(length=2), shape=(None, 2, DIM))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    length=st.integers(1, 6),
    dim=st.integers(1, 9),
    units=st.lists(st.integers(1, 5), min_size=1, max_size=2),
    hidden=st.lists(st.integers(1, 5), max_size=2),
    labels=st.integers(2, 4),
    bias=st.booleans(),
)
def test_heads_of_any_size_keep_their_answers(
    tmp_path: Path, length: int, dim: int, units: list[int], hidden: list[int], labels: int, bias: bool
) -> None:
    layers = [lstm(f"lstm_{n}", one, return_sequences=n + 1 < len(units), use_bias=bias) for n, one in enumerate(units)]
    layers += [dense(f"dense_{n}", one, use_bias=bias) for n, one in enumerate(hidden)]
    layers += [dense("out", labels, "softmax")]
    weights, x = draw_weights(layers, dim), features(2, length, dim)
    head = legacy.read(write(tmp_path / "any.h5", layers, weights, shape=(None, length, dim)))
    assert (head.length, head.dim, head.labels) == (length, dim, labels)
    np.testing.assert_allclose(np.asarray(head.build()(x)), answers(layers, weights, x), atol=2e-6)


def changed(position: int, **arguments: Any) -> list[Layer]:
    layers = [*PUBLISHED]
    layers[position] = layers[position] | {"config": layers[position]["config"] | arguments}
    return layers


LAMBDA = {"class_name": "Lambda", "config": {"name": "lambda", "function": ["4wEAAAA=", None, None]}}


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (changed(0, time_major=True), r"layer 'lstm' \(LSTM\): time_major is true, expected: False"),
        (changed(0, stateful=True), "stateful is true, expected: False"),
        (changed(0, go_backwards=True), "go_backwards is true, expected: False"),
        (changed(0, return_state=True), "return_state is true, expected: False"),
        (changed(0, return_sequences=True), r"answer for a clip has the shape \(5, 3\)"),
        (changed(0, zoneout=0.1), "zoneout is 0.1, it is not known here"),
        (changed(0, activation="hard_sigmoid"), 'activation is "hard_sigmoid", expected: .*tanh'),
        (changed(0, activation={"class_name": "Mish"}), 'activation is {"class_name": "Mish"}'),
        (changed(0, units=-8), "units is -8"),
        (changed(0, units="8"), 'units is "8"'),
        (changed(0, dtype="float16"), 'dtype is "float16", expected: .float32'),
        (changed(3, activation="sigmoid"), "last activation is sigmoid, softmax is expected"),
        ([PUBLISHED[0], *PUBLISHED], r"layer 'lstm' \(LSTM\) is given an answer for the whole sequence"),
        ([PUBLISHED[0], LAMBDA, *PUBLISHED[1:]], "layer 'lambda' is a Lambda, which would run code from the file"),
        ([PUBLISHED[0], {"class_name": "os>system", "config": {"name": "x"}}], "layer 'x' is a os>system; LSTM, Dense"),
        ([{"class_name": "GRU", "config": {"name": "gru"}}, *PUBLISHED[1:]], "layer 'gru' is a GRU; LSTM, Dense"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_change_the_answers_or_is_not_known_is_refused(
    tmp_path: Path, layers: list[Layer], said: str
) -> None:
    path = write(tmp_path / "head.h5", layers, draw_weights(PUBLISHED, DIM))
    with pytest.raises(BadInput, match=rf"head\.h5: .*{said}"):
        legacy.read(path)


def _without_version(file: h5py.File) -> None:
    del file.attrs["keras_version"], file["model_weights"].attrs["keras_version"]


def _other_shape(file: h5py.File) -> None:
    group = file["model_weights/dense"]
    del group["dense/kernel:0"]
    group["dense/kernel:0"] = np.zeros((9, 7), "f4")


def _other_kind(file: h5py.File) -> None:
    group = file["model_weights/dense"]
    del group["dense/bias:0"]
    group["dense/bias:0"] = np.zeros(7, "f8")


def _not_finite(file: h5py.File) -> None:
    file["model_weights/lstm/lstm/lstm_cell/bias:0"][3] = np.nan


def _unwritten(file: h5py.File) -> None:
    group = file["model_weights/dense"]
    del group["dense/kernel:0"]
    group.create_dataset("dense/kernel:0", (8, 7), "f4")


def _linked(file: h5py.File) -> None:
    group = file["model_weights"]
    del group["dense"]
    group["dense"] = h5py.ExternalLink("other.h5", "/model_weights/dense")


def _weights_only(file: h5py.File) -> None:
    del file.attrs["model_config"]
    file.attrs["layer_names"] = np.asarray([b"lstm"])


DAMAGE: list[tuple[Callable[[h5py.File], None], str]] = [
    (_weights_only, "weights without their layers found"),
    (lambda file: file.attrs.__delitem__("model_config"), "no Keras model found"),
    (_without_version, "written by Keras unknown"),
    (lambda file: file.attrs.__setitem__("keras_version", b"3.1.0"), "written by Keras 3.1.0 on tensorflow, Keras 2"),
    (lambda file: file.attrs.__setitem__("backend", b"theano"), "Keras 2.4.0 on theano"),
    (lambda file: file.attrs.__setitem__("model_config", b'{"class_name": '), "model_config is no JSON"),
    (lambda file: file.attrs.__setitem__("model_config", b"[" * 60000), "model_config is no JSON|does not describe"),
    (lambda file: file.attrs.__setitem__("model_config", b'{"class_name": "Pipe"}'), "does not describe a model"),
    (lambda file: file.__delitem__("model_weights"), "/model_weights is missing"),
    (lambda file: file.__delitem__("model_weights/dense_1"), "dense_1 is missing"),
    (lambda file: file["model_weights/dense"].__delitem__("dense/bias:0"), "dense/bias:0 is missing"),
    (lambda file: file["model_weights/lstm"].attrs.__delitem__("weight_names"), "layer 'lstm' has the weights none"),
    (_other_shape, r"dense/kernel:0 is float32 \(9, 7\), float32 \(8, 7\) is expected"),
    (_other_kind, r"dense/bias:0 is float64 \(7,\), float32 \(7,\) is expected"),
    (_not_finite, "bias:0 holds numbers that are not finite"),
    (_unwritten, "does not hold its numbers"),
    (_linked, "model_weights/dense is missing or a link to elsewhere"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE, ids=[said for _, said in DAMAGE])
def test_a_file_that_lacks_something_is_refused_by_name(
    published: Path, damage: Callable[[h5py.File], None], said: str
) -> None:
    shutil.copy(published, published.with_name("other.h5"))
    with h5py.File(published, "r+") as file:
        damage(file)
    with pytest.raises(BadInput, match=said):
        legacy.read(published)


def test_a_model_that_branches_is_refused(published: Path) -> None:
    write(published, PUBLISHED, draw_weights(PUBLISHED, DIM), functional=True)
    with h5py.File(published, "r+") as file:
        described = json.loads(file.attrs["model_config"])
        described["config"]["layers"][3]["inbound_nodes"] = [[["lstm", 0, 0, {}]]]
        file.attrs["model_config"] = json.dumps(described)
    with pytest.raises(BadInput, match="the layers branch or are shared"):
        legacy.read(published)


def test_what_is_no_such_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.h5: no such file"):
        legacy.read(tmp_path / "gone.h5")
    (tmp_path / "page.h5").write_text("<html>Google Drive can't scan this file for viruses</html>")
    with pytest.raises(BadInput, match=r"page\.h5: no HDF5 file"):
        legacy.read(tmp_path / "page.h5")


def test_a_file_cut_short_or_damaged_anywhere_is_refused_or_read_never_more(published: Path, tmp_path: Path) -> None:
    whole, hurt = published.read_bytes(), tmp_path / "hurt.h5"
    for share in (0.02, 0.3, 0.6, 0.9, 0.999):
        hurt.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BadInput, match=r"hurt\.h5: damaged|hurt\.h5: no HDF5"):
            legacy.read(hurt)
    rng, refused = np.random.default_rng(4), 0
    for _ in range(150):
        bytes_ = bytearray(whole)
        for place in rng.integers(0, len(whole), 20):
            bytes_[place] = rng.integers(256)
        hurt.write_bytes(bytes_)
        try:
            legacy.read(hurt)
        except BadInput:
            refused += 1
    assert refused > 50


def test_the_length_comes_from_the_file_or_from_the_user(tmp_path: Path) -> None:
    weights = draw_weights(PUBLISHED, DIM)
    open_ = write(tmp_path / "open.h5", PUBLISHED, weights, shape=(None, None, DIM))
    with pytest.raises(BadInput, match="leaves the length of a sequence open; name it with --length"):
        legacy.read(open_)
    assert legacy.read(open_, 7).length == 7
    fixed = write(tmp_path / "fixed.h5", PUBLISHED, weights)
    assert legacy.read(fixed, LENGTH).length == LENGTH
    with pytest.raises(BadInput, match="sequences of 5 frames are taken, --length says 7"):
        legacy.read(fixed, 7)
