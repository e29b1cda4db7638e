"""What is served: the registered model without Keras, and what explains its answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from lus.common import params_file
from lus.common.arrays import Frames
from lus.common.errors import BadInput
from lus.features import backbones, openvino
from lus.heads.model import LINEAR, HeadParams, build_head, inputs_dim
from lus.inference import compiled, explain, keras_model
from lus.inference.compiled import CnnOutput, CompiledClassifier, Parity
from lus.inference.metadata import METADATA_FILE, ModelMetadata
from lus.registry import download, models
from tests.conftest import ROOT, draw_frames
from tests.versions import LABELS, LENGTH, NAME, SIZE, add, backbone, model

FRAMES = np.stack([draw_frames(LENGTH, SIZE, SIZE, seed) for seed in range(2)])


@pytest.fixture
def served(project: Path) -> Path:
    """The folder that a version was compiled into."""
    add()
    download.compile_into(models.get_version(NAME, "1"), "openvino-f32", project / "served")
    return project / "served"


def test_it_answers_as_the_registered_model_and_holds_nothing_of_keras(served: Path) -> None:
    made = CompiledClassifier.load_checked(served)
    assert np.abs(made.probabilities(FRAMES) - backbones.trace(model())(FRAMES)).max() < 1e-4
    assert made.parity().clips == 2
    assert {one.name for one in served.iterdir()} == {
        "card.md",
        "classifier.json",
        "cnn.bin",
        "cnn.xml",
        "engine.json",
        "head.json",
        "head.npz",
        "input_example.npy",
        "output_example.npy",
    }


def test_another_answer_than_the_registered_model_gave_is_an_error_with_figures(served: Path) -> None:
    answers = np.load(served / compiled.ANSWER_FILE)
    np.save(served / compiled.ANSWER_FILE, answers + np.array([[0.02, -0.02]], np.float32))
    with pytest.raises(BadInput, match=r"version 1 does not answer on openvino-f32 .* largest difference 0.02"):
        CompiledClassifier.load_checked(served)


def test_a_start_looks_at_one_stored_clip_and_packaging_at_all(served: Path) -> None:
    answers = np.load(served / compiled.ANSWER_FILE)
    answers[1:] += np.array([0.02, -0.02], np.float32)
    np.save(served / compiled.ANSWER_FILE, answers)
    made = CompiledClassifier.load_checked(served)
    with pytest.raises(BadInput, match=r"0 of 2 clips labelled otherwise, largest difference 0.02"):
        made.require_parity()


def test_parity_sees_what_an_engine_answers_otherwise() -> None:
    stored = np.array([[0.9, 0.1], [0.4, 0.6]], np.float32)
    frames = np.zeros((2, 2, 32, 32, 3), np.uint8)
    assert compiled.compare_answers(lambda _: stored, frames, stored) == Parity(2, 0.0, 0)
    found = compiled.compare_answers(lambda _: stored[::-1], frames, stored)
    assert (found.clips, found.other_labels) == (2, 2)
    assert found.difference == pytest.approx(0.5)


def test_a_version_without_stored_clips_is_not_served(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    monkeypatch.setattr(download, "_download_beside", lambda *_: None)
    with pytest.raises(BadInput, match="no clips are stored with it"):
        download.compile_into(models.get_version(NAME, "1"), "openvino-f32", project / "served")


@pytest.mark.parametrize(("name", "size"), [("mobilenetv2", 32), ("vgg16", 32), ("densenet121", 32)])
def test_a_backbone_shows_its_maps_and_the_same_features(name: str, size: int, tmp_path: Path) -> None:
    backbone = backbones.build(name, size, "random")
    openvino.save_model(backbones.add_maps(backbone), tmp_path / "cnn.xml")
    frames = draw_frames(3, size, size, 1)
    maps, features = openvino.load_compiled(tmp_path / "cnn.xml", "openvino-f32")(frames)
    expected = backbones.trace(backbone)(frames)
    assert np.abs(features - expected).max() < 1e-3 * np.abs(expected).max()
    assert maps.shape[0] == 3
    if maps.shape[-1] == features.shape[-1]:
        assert np.allclose(maps.mean(axis=(1, 2)), features, atol=1e-4)
    else:
        assert np.array_equal(maps.reshape(3, -1), features)


def _grad_cam(whole: keras.Model, parts: keras.Model, head: keras.Model, clip: Frames, label: int) -> np.ndarray:
    """As the paper says it, with TensorFlow's own gradient."""
    maps, _ = parts(clip)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        features = tf.reduce_mean(maps, axis=(1, 2))
        scores = tf.math.log(head(features[None])[0])
        score = scores[label] - tf.reduce_mean(scores)
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2))
    found = tf.nn.relu(tf.einsum("lhwc,lc->lhw", maps, weights)).numpy()
    return np.asarray(found / found.max())


def test_the_heat_is_grad_cam(served: Path) -> None:
    whole = model()
    backbone, head = (layer for layer in whole.layers if isinstance(layer, keras.Model))
    made, clip = CompiledClassifier(served), FRAMES[0]
    found = explain.explain(made, clip)
    output = made.run_cnn(clip)
    # A score is what the softmax takes; log-probabilities differ from it by what is the same for all labels, so that
    # differences between labels are compared.
    gradients = [made.head.gradient(output.features, label) for label in range(2)]
    difference = explain.grad_cam(output, gradients[found.label] - np.mean(gradients, axis=0))
    expected = _grad_cam(whole, backbones.add_maps(backbone), head, clip, found.label)
    assert expected.std() > 0.01
    assert np.abs(difference - expected).max() < 1e-3
    assert found.heat.shape == expected.shape
    assert 0 <= found.heat.min() <= found.heat.max() <= 1


def test_the_heat_of_flattened_maps_is_grad_cam_too() -> None:
    rng = np.random.default_rng(1)
    maps, gradient = rng.normal(size=(2, 3, 3, 4)).astype(np.float32), rng.normal(size=(2, 36)).astype(np.float32)
    weights = gradient.reshape(2, 9, 4).mean(axis=1)
    expected = np.maximum((maps * weights[:, None, None]).sum(axis=-1), 0)
    assert np.allclose(
        explain.grad_cam(CnnOutput(maps.reshape(2, -1), maps), gradient), expected / expected.max(), atol=1e-6
    )
    assert not explain.grad_cam(CnnOutput(maps.reshape(2, -1), maps * 0), gradient).any()


def test_a_frame_matters_by_what_hiding_it_changes(served: Path) -> None:
    made = CompiledClassifier(served)
    features = made.run_cnn(FRAMES[0]).features
    clips = explain.hide_frames(np.stack([features[0], features[1]]))
    # Of two frames, the one that is hidden shows what the other shows.
    assert np.allclose(clips[0], np.stack([features[1], features[1]]), atol=1e-6)
    assert np.allclose(clips[1], np.stack([features[0], features[0]]), atol=1e-6)
    found = explain.explain(made, FRAMES[0], label=1)
    expected = made.probabilities(FRAMES[:1])[0, 1] - made.head.probabilities(clips)[:, 1]
    assert np.allclose(found.importance, expected, atol=1e-6)
    assert np.allclose(found.course[-1], found.probabilities, atol=1e-6)


def test_the_overlay_is_a_video_of_the_clips_proportions_with_its_heat(tmp_path: Path) -> None:
    import cv2

    frames, heat = np.full((4, 32, 32, 3), 80, np.uint8), np.zeros((4, 2, 2), np.float32)
    heat[:, 0, 0] = 1
    (tmp_path / "overlay.webm").write_bytes(explain.encode_overlay(frames, heat, 600, 300))
    capture = cv2.VideoCapture(str(tmp_path / "overlay.webm"))
    read = [frame for ok, frame in (capture.read() for _ in range(5)) if ok]
    assert len(read) == 4
    assert read[0].shape == (240, 480, 3)
    hot, cold = read[2][30, 60].astype(int), read[2][200, 400].astype(int)
    assert np.ptp(hot) > 40
    assert np.ptp(cold) < 15


def test_a_model_that_is_no_backbone_and_head_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((2, 32, 32, 3), dtype="uint8")
    other = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(inputs)))
    with pytest.raises(BadInput, match="not made of a backbone and a head"):
        keras_model.export(other, ["openvino"], tmp_path)


SERVED = [
    HeadParams(units=4, dense=(16,)),
    LINEAR,
    replace(LINEAR, pooling="max", inputs="changes", dropout=0.2),
    replace(LINEAR, pooling="attention", inputs="both", dense=(16,)),
]


@pytest.mark.parametrize("params", SERVED, ids=str)
def test_a_head_of_the_search_is_served_and_explained_with_its_backbone(params: HeadParams, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    width = inputs_dim(params, 8)
    head = build_head(params, LENGTH, 8, len(LABELS), np.zeros(width), np.full(width, 0.01))
    keras_model.assemble(backbone(), head, LENGTH).save(tmp_path / keras_model.MODEL_FILE)
    loaded = keras_model.load_model(tmp_path / keras_model.MODEL_FILE)
    keras_model.export(loaded, ["openvino-f32"], tmp_path)
    limits = params_file.load_params(ROOT / "params.yaml").limits
    described = ModelMetadata(LABELS, LENGTH, SIZE, limits, "xception", {})
    (tmp_path / METADATA_FILE).write_text(json.dumps(described.to_json()))
    made, frames = CompiledClassifier(tmp_path), FRAMES[0]
    found = explain.explain(made, frames)
    np.testing.assert_allclose(found.probabilities, backbones.trace(loaded)(frames[None])[0], atol=1e-4)
    np.testing.assert_allclose(found.course[-1], found.probabilities, atol=1e-6)
    assert max(explain.explain(made, frames, label).heat.max() for label in range(2)) == 1
    assert np.abs(found.importance).max() > 0
