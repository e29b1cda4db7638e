"""A head from elsewhere becomes a version of the classifier."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from lus.cli import main
from lus.common import hashing, params_file
from lus.common.errors import BadInput
from lus.heads import legacy
from lus.inference.metadata import ModelMetadata
from lus.registry import aliases, download, import_head, models, promotion
from lus.tracking import client
from tests.conftest import draw_frames, write_video
from tests.heads.keras2_files import DIM, LENGTH, PUBLISHED, answers, draw_weights, write

LABELS = "covid-19,pneumonia,healthy"


def test_labels_are_the_users_in_the_order_of_the_probabilities(tmp_path: Path) -> None:
    head = legacy.read(write(tmp_path / "head.h5", PUBLISHED, draw_weights(PUBLISHED, DIM)))
    assert import_head.labels_of("covid-19, pneumonia,healthy", head) == ("covid-19", "pneumonia", "healthy")
    for wrong in (None, "", "a,b", "a,b,c,d", "a,b,b", "a,,b"):
        with pytest.raises(BadInput, match="3 probabilities and --labels names"):
            import_head.labels_of(wrong, head)


def _lus(*arguments: str) -> str:
    done = CliRunner().invoke(main.app, ["import-legacy", *arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.fixture
def small(project: Path) -> Path:
    """A project whose CNN is small: the head in `head.h5` takes its 1280 features."""
    text = (project / "params.yaml").read_text().replace("side: 299 ", "side: 96 ").replace("seen: null", "seen: 96  ")
    (project / "params.yaml").write_text(text)
    return write(project / "head.h5", PUBLISHED, draw_weights(PUBLISHED, 1280), shape=(None, LENGTH, 1280))


@pytest.mark.slow
def test_an_imported_head_becomes_a_version_without_figures_or_alias_that_answers(small: Path, tmp_path: Path) -> None:
    said = _lus("head.h5", "--backbone", "mobilenetv2", "--labels", LABELS, "--out", "new/head.keras")
    assert "lus-classifier version 1 registered from head.h5: (5, 1280) features -> 3 labels" in said
    version = models.get_version("lus-classifier", "1")
    assert version.aliases == []
    assert version.tags["protocol"] == "unknown"
    assert "accuracy" not in version.tags
    assert (version.tags["imported_from"], version.tags["imported_keras"]) == ("head.h5", "2.4.0")
    assert version.tags["imported_sha256"] == hashing.sha256(small)
    with pytest.raises(BadInput, match="no challenger"):
        aliases.get_version_by_alias("lus-classifier", aliases.CHALLENGER)

    found = promotion.conditions(version, None, params_file.load_params().promote, "openvino")
    assert {one.name: one.passed for one in found if one.name in ("audit", "protocol", "limits", "parity")} == {
        "audit": False,
        "protocol": False,
        "limits": True,
        "parity": True,
    }
    with pytest.raises(BadInput, match="protocol: the evaluation carries no figures"):
        promotion.promote(version, None, params_file.load_params().promote, "openvino")

    clip = write_video(tmp_path / "clip.avi", draw_frames(24, 120, 104, 3))
    with download.load_classifier(version) as classifier:
        assert classifier.metadata.feature_set == f"mobilenetv2-{LENGTH}"
        answer = classifier.classify(clip)
        frames = np.random.default_rng(0).integers(0, 255, (2, LENGTH, 96, 96, 3), np.uint8)
        given = classifier.probabilities(frames)
    assert list(answer.probabilities) == LABELS.split(",")
    section = params_file.load_params().features
    cnn = import_head.backbones.build("mobilenetv2", 96, "random", seen=96, seed=section.seed)
    seen = cnn.predict(frames.reshape(-1, 96, 96, 3), verbose=0).reshape(2, LENGTH, 1280)
    np.testing.assert_allclose(given, answers(PUBLISHED, draw_weights(PUBLISHED, 1280), seen), atol=1e-4)
    model = keras.saving.load_model("new/head.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(given, np.asarray(model(seen)), atol=1e-4)


@pytest.mark.slow
def test_one_head_gives_one_version_however_often_it_is_imported(small: Path) -> None:
    asked = ("head.h5", "--backbone", "mobilenetv2", "--labels")
    assert "version 1 registered from head.h5" in _lus(*asked, LABELS)
    said = _lus(*asked, LABELS)
    assert "version 1 is of the same head, backbone, labels, limits and code: nothing new was registered" in said
    # Other labels are another version; whoever wants another one all the same says so.
    assert "version 2 registered" in _lus(*asked, "pneumonia,covid-19,healthy")
    assert "version 3 registered" in _lus(*asked, LABELS, "--anew")
    assert "version 3 is of the same head" in _lus(*asked, LABELS)


def test_an_import_does_not_take_the_challenger_away(project: Path) -> None:
    layers = [keras.Input((2, 8, 8, 3), dtype="uint8"), keras.layers.Flatten(), keras.layers.Dense(2)]
    model, example = keras.Sequential(layers), np.zeros((1, 2, 8, 8, 3), np.uint8)
    metadata = ModelMetadata(("a", "b"), 2, 8, params_file.load_params().limits, "xception-2", {})
    client.connect()
    first = models.register("lus-classifier", model, metadata, {}, example)
    models.register("lus-classifier", model, metadata, {}, example, challenger=False)
    assert str(aliases.get_version_by_alias("lus-classifier", aliases.CHALLENGER).version) == str(first.version) == "1"


def test_a_head_that_does_not_fit_the_backbone_is_refused_with_those_that_do(small: Path) -> None:
    with pytest.raises(
        BadInput, match=r"takes 1280 features .* xception gives 2048; mobilenetv2 or efficientnetb0 fit"
    ):
        _lus("head.h5", "--labels", LABELS)
    write(small, PUBLISHED, draw_weights(PUBLISHED, DIM))
    with pytest.raises(BadInput, match=r"takes 6 features .* no backbone has as many"):
        _lus("head.h5", "--labels", LABELS)


def test_weights_trained_here_never_stand_in_for_those_of_an_imported_head(small: Path) -> None:
    params_file.change_params({"features.weights": "own"})
    with pytest.raises(BadInput, match=r"features\.weights is own: a head needs the very weights of mobilenetv2"):
        _lus("head.h5", "--labels", LABELS, "--backbone", "mobilenetv2")


def test_a_head_can_be_converted_without_registering_it(small: Path) -> None:
    assert _lus("head.h5", "--no-register", "--out", "head.keras").startswith("head.keras: (5, 1280) features -> 3")
    assert Path("head.keras").is_file()
    with pytest.raises(BadInput, match="--no-register leaves nothing to do"):
        _lus("head.h5", "--no-register")
    with pytest.raises(BadInput, match=r"ends in \.keras is expected"):
        _lus("head.h5", "--no-register", "--out", "head.h5")
