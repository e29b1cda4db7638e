"""Other engines than Keras: as near as they must be, or refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lus.common.errors import BadInput
from lus.features import backbones, openvino, parity
from lus.features.parity import FeatureParity
from tests.conftest import draw_frames

SIZE = 96


@pytest.mark.parametrize("name", ["mobilenetv2", "xception", "efficientnetb0"])
def test_openvino_gives_the_features_of_keras_in_single_precision(name: str) -> None:
    frames = np.concatenate([draw_frames(6, SIZE, SIZE, seed, stripes=3 * (seed % 2)) for seed in range(4)])
    model = backbones.build(name, SIZE, "random", seed=3)
    run = openvino.compile_backbone(model, "openvino-f32")
    reference, other = backbones.trace(model)(frames), run(frames)
    assert other.shape == reference.shape
    assert other.dtype == np.float32
    found = parity.compare_features(reference, other, np.repeat([0, 1, 0, 1], 6), np.repeat(np.arange(4), 6))
    assert found.holds, found
    # Any number of frames, as in the last call of a clip.
    assert np.abs(run(frames[:3]) - other[:3]).max() <= 1e-3 * np.abs(other).max()


@pytest.mark.parametrize(
    ("able", "name", "flags", "exact"),
    [
        (["FP32", "BF16"], "AMD EPYC", "avx512_bf16", "bf16"),
        (["FP32", "BF16"], "Intel(R) Xeon(R)", "avx512_bf16 amx_bf16", "bf16"),
        (["FP32", "BF16"], "Intel(R) Xeon(R)", "avx512_bf16", "f32"),
        (["FP32"], "Intel(R) Xeon(R)", "avx2", "f32"),
    ],
)
def test_openvino_computes_in_what_the_cpu_is_fastest_in(
    able: list[str], name: str, flags: str, exact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"OPTIMIZATION_CAPABILITIES": able, "FULL_DEVICE_NAME": name}

    class Core:
        def get_property(self, _device: str, which: str) -> object:
            return facts[which]

    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags}\n")
    monkeypatch.setattr(openvino, "CPU_FILE", tmp_path / "cpuinfo")
    monkeypatch.setattr(openvino.load_openvino(), "Core", Core)
    assert openvino.resolve_engine("openvino") == f"openvino-{exact}"
    assert openvino.resolve_engine("openvino-int8") == f"openvino-int8-{exact}"
    # A CPU without bf16 computes in f32 where bf16 is asked for, and that is what is said.
    assert openvino.resolve_engine("openvino-bf16") == f"openvino-{'bf16' if 'BF16' in able else 'f32'}"
    assert openvino.resolve_engine("openvino-f32") == "openvino-f32"
    assert openvino.resolve_engine("keras") == "keras"


def test_openvino_tells_nobody_of_a_conversion(tmp_path: Path) -> None:
    """Its telemetry makes a folder in the home before it sends anything."""
    code = (
        "import keras, sys; from lus.features import openvino\n"
        "model = keras.Sequential([keras.Input((4, 4, 3), dtype='uint8'), keras.layers.Rescaling(0.5)])\n"
        "openvino.compile_backbone(model, 'openvino-f32')\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert not (tmp_path / "intel").exists()


CLIPS = np.repeat(np.arange(12), 4)
LABELS = CLIPS % 2


def _apart(rng: np.random.Generator) -> np.ndarray:
    """Features of four frames of each of 12 clips: a large mean in common, then the label, the clip and the frame."""
    label, clip = rng.normal(0, 1, (2, 64)), rng.normal(0, 1, (12, 64))
    return (50 + label[LABELS] + clip[CLIPS] + rng.normal(0, 0.3, (48, 64))).astype(np.float32)


def test_the_same_features_are_at_parity() -> None:
    features = _apart(np.random.default_rng(0))
    found = parity.compare_features(features, features.copy(), LABELS, CLIPS)
    assert (found.cosine, found.low, found.changed, found.frames) == (pytest.approx(1), pytest.approx(1), 0, 48)
    parity.refuse_difference(found, "xception", "openvino-f32")


def test_a_shared_mean_hides_no_difference() -> None:
    rng = np.random.default_rng(1)
    features = _apart(rng)
    other = (features + rng.normal(0, 1, features.shape)).astype(np.float32)
    plain = (features * other).sum(axis=1) / np.linalg.norm(features, axis=1) / np.linalg.norm(other, axis=1)
    assert plain.min() > 0.999
    assert parity.compare_features(features, other, LABELS, CLIPS).cosine < 0.95


def test_a_few_frames_far_off_are_not_lost_in_the_mean() -> None:
    rng = np.random.default_rng(2)
    features = _apart(rng)
    other = features.copy()
    other[[5, 21, 33, 40]] += rng.normal(0, 0.7, (4, 64)).astype(np.float32)
    found = parity.compare_features(features, other, LABELS, CLIPS)
    assert found.cosine > parity.LEAST_COSINE
    assert found.low < parity.LEAST_LOW
    assert not found.holds


def test_a_difference_that_a_head_sees_in_new_clips_alone_counts() -> None:
    """Features nearer to those of the other label: a head that was fitted on these very frames calls none otherwise."""
    features = _apart(np.random.default_rng(3))
    apart = features[LABELS == 1].mean(axis=0) - features[LABELS == 0].mean(axis=0)
    other = features + 0.4 * np.where(LABELS == 1, -1, 1)[:, None].astype(np.float32) * apart
    found = parity.compare_features(features, other, LABELS, CLIPS)
    assert found.forgotten == 0
    assert found.changed > 2


def test_predictions_that_change_are_counted() -> None:
    features = _apart(np.random.default_rng(4))
    swapped = features[np.arange(48).reshape(6, 2, 4)[:, ::-1].ravel()]  # each clip for one of the other label
    known = parity.compare_features(features, features, LABELS, CLIPS)
    assert (known.forgotten, known.changed) == (0, 0)
    found = parity.compare_features(features, swapped, LABELS, CLIPS)
    assert (found.forgotten, found.changed) == (48, 48)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 0, 1]])
def test_clips_that_no_head_can_be_tried_on_are_refused(labels: list[int]) -> None:
    features = np.random.default_rng(5).random((8, 4), np.float32)
    with pytest.raises(BadInput, match=r"two clips of each of two labels.*set features\.engine to keras"):
        parity.compare_features(features, features, np.repeat(labels, 2), np.repeat(np.arange(4), 2))


@pytest.mark.parametrize(
    "found",
    [
        FeatureParity(0.979, 0.99, 0, 0, 48),
        FeatureParity(0.999, 0.949, 0, 0, 48),
        FeatureParity(0.999, 0.99, 1, 0, 48),
        FeatureParity(0.999, 0.99, 0, 3, 48),
    ],
)
def test_whatever_does_not_hold_is_refused_with_the_figures_and_what_to_do(found: FeatureParity) -> None:
    said = (
        rf"cosine of {found.cosine:.4f} on .* of {found.low:.4f} in .*, of 48 predictions .* "
        rf"{found.forgotten} changed .* and {found.changed} where"
    )
    with pytest.raises(BadInput, match=rf"openvino-bf16 gives other features for xception than keras: .*{said}"):
        parity.refuse_difference(found, "xception", "openvino-bf16")
    with pytest.raises(BadInput, match=r"set features\.engine to openvino-f32 or keras in params\.yaml"):
        parity.refuse_difference(found, "xception", "openvino-bf16")


def test_one_prediction_in_twenty_of_unknown_clips_may_change() -> None:
    parity.refuse_difference(FeatureParity(0.98, 0.95, 0, 2, 48), "xception", "openvino-bf16")


def test_an_engine_in_8_bits_that_is_refused_leaves_the_ones_in_floating_point() -> None:
    with pytest.raises(BadInput, match=r"openvino-int8-f32 gives .* to openvino or openvino-f32 or keras in"):
        parity.refuse_difference(FeatureParity(0.9, 0.5, 0, 3, 48), "xception", "openvino-int8-f32")


def test_an_engine_in_full_precision_that_is_refused_leaves_keras_alone() -> None:
    with pytest.raises(BadInput, match=r"set features\.engine to keras in params\.yaml"):
        parity.refuse_difference(FeatureParity(0.9, 0.5, 0, 3, 48), "xception", "openvino-f32")
