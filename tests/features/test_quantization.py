"""The engine in 8 bits: quantised the same each time, calibrated on no cohort, and telling nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lus import phantom
from lus.checks import survey
from lus.clips import sampling
from lus.common import hashing, params_file
from lus.features import backbones, openvino, parity, quantization, weights
from lus.phantom import examples
from tests.conftest import ROOT, draw_frames


def _quantized_kinds(graph: Any) -> list[tuple[str, bool]]:
    """The convolutions of a graph, each with whether its weights are in 8 bits."""
    found = []
    for one in graph.get_ordered_ops():
        if one.get_type_name() in ("Convolution", "GroupConvolution"):
            behind, eight = [one.input_value(1).get_node()], False
            while behind:
                node = behind.pop()
                eight |= node.get_element_type().to_string() in ("i8", "u8")
                eight |= node.get_type_name() == "FakeQuantize"
                behind += [value.get_node() for value in node.input_values()]
            found.append((one.get_type_name(), eight))
    return found


def small_cnn(seed: int = 1) -> Any:
    """A small CNN with ordinary, pointwise and depthwise convolutions: (n, 32, 32, 3) uint8 -> (n, 24)."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(seed)
    frames = keras.Input((32, 32, 3), dtype="uint8")
    maps = layers.Rescaling(1 / 127.5, -1)(frames)
    for strides in (2, 1, 2, 1):
        maps = layers.Conv2D(16, 3, strides=strides, activation="relu")(maps)
        maps = layers.DepthwiseConv2D(3, padding="same")(maps)
        maps = layers.Conv2D(24, 1, activation="relu")(maps)
    return keras.Model(frames, layers.GlobalAveragePooling2D()(maps))


def test_a_backbone_in_8_bits_has_nearly_the_features_of_keras(tmp_path: Path) -> None:
    model = small_cnn()
    file = quantization.load_or_quantize(model, tmp_path)
    run = openvino.load_compiled(file, openvino.resolve_engine("openvino-int8"))
    frames = np.concatenate([draw_frames(6, 32, 32, seed, stripes=3 * (seed % 2)) for seed in range(4)])
    reference, other = backbones.trace(model)(frames), run(frames)[0]
    found = parity.compare_features(reference, other, np.repeat([0, 1, 0, 1], 6), np.repeat(np.arange(4), 6))
    assert 0.9 < found.cosine < 0.99999


def test_first_and_depthwise_convolutions_stay_as_they_are() -> None:
    model = small_cnn()
    graph = quantization.quantize(openvino.convert(model), quantization.draw_calibration_frames(model))
    kinds = _quantized_kinds(graph)
    assert len(kinds) == 12
    assert not any(eight for _, eight in kinds[: quantization.FIRST])
    assert not any(eight for kind, eight in kinds if kind == "GroupConvolution")
    assert all(eight for kind, eight in kinds[quantization.FIRST :] if kind == "Convolution")


QUANTIZE = (
    f"import sys; sys.path[:0] = [{str(ROOT)!r}]\n"
    "import logging; from pathlib import Path; from lus.features import quantization\n"
    "from tests.features.test_quantization import small_cnn\n"
    "for number in range(int(sys.argv[1])): small_cnn(number + 5)\n"
    "print(quantization.load_or_quantize(small_cnn(), Path(sys.argv[1])))\n"
    "print(logging.getLoggerClass().__module__)\n"
)


def _quantize_elsewhere(tmp_path: Path, others: int) -> tuple[Path, str]:
    """Quantise the small CNN in a process that made so many others before: the graph, and the rest that it printed.

    Its home must be left empty: telemetry makes a folder there before it sends anything.
    """
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", QUANTIZE, str(others)],
        cwd=tmp_path,
        env=kept | {"HOME": str(home), "MPLCONFIGDIR": str(tmp_path / "matplotlib")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {one.name for one in home.rglob("*") if "keras" not in str(one)} == set()
    graph, rest = done.stdout.split("\n", 1)
    return tmp_path / graph, rest


@pytest.mark.slow
def test_the_same_model_is_quantised_to_the_same_bytes_and_nobody_is_told(tmp_path: Path) -> None:
    one, said = _quantize_elsewhere(tmp_path, 0)
    two, _ = _quantize_elsewhere(tmp_path, 2)
    assert one.parent.name == two.parent.name
    assert hashing.sha256(one.with_suffix(".bin")) == hashing.sha256(two.with_suffix(".bin"))
    assert said == "logging\n"  # neither notices and bars of NNCF's own, nor its kind of logger


def test_a_graph_is_made_once_and_known_by_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(openvino, "convert", lambda model: model)
    monkeypatch.setattr(quantization, "quantize", lambda model, _frames: made.append(1) or model)
    monkeypatch.setattr(openvino, "save_graph", lambda _graph, path: path.write_text("graph"))
    first, other = (small_cnn(seed) for seed in (1, 2))
    assert weights.hash_weights(first) != weights.hash_weights(other)
    files = [quantization.load_or_quantize(model, tmp_path) for model in (first, other, first)]
    assert len(made) == 2
    assert files[0] == files[2] != files[1]
    with_maps = keras.Model(first.input, [first.layers[-2].output, first.output])
    assert quantization.load_or_quantize(with_maps, tmp_path) not in files


def test_calibration_frames_are_sixty_different_ones_of_no_cohort() -> None:
    frames = phantom.draw_examples(96, phantom.CALIBRATION_TIMES)
    assert frames.shape == (60, 96, 96, 3)
    assert len({one.tobytes() for one in frames}) == 60
    few = phantom.draw_examples(96)
    assert [(frames == one).all(axis=(1, 2, 3)).any() for one in few[::3]] == [True] * (len(few) // 3)
    assert (few == phantom.draw_examples(96, examples.TIMES)).all()


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.network
def test_xception_with_imagenet_weights_holds_in_8_bits_on_real_frames(upstream: Path, tmp_path: Path) -> None:
    limits = params_file.load_params(ROOT / "params.yaml").limits
    clips = survey.find_clips([upstream / "jannisborn/covid19_ultrasound/data/pocus_videos"])[::5][:20]
    frames = np.concatenate([sampling.sample(clip, [2], 299, limits).frames for clip in clips])
    model = backbones.build("xception", 299, "imagenet")
    exact = openvino.resolve_engine("openvino-int8")
    run = openvino.load_compiled(quantization.load_or_quantize(model, tmp_path), exact)
    numbers = np.repeat(np.arange(len(clips)), 2)
    found = parity.compare_features(backbones.trace(model)(frames), run(frames)[0], numbers % 2, numbers)
    assert found.cosine >= parity.LEAST_COSINE, found
    assert found.low >= parity.LEAST_LOW, found
