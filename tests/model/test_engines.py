"""Other engines than Keras: as near as they must be, or refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lus import backbones, engines
from lus.engines import Parity
from lus.errors import BadInput
from tests.conftest import draw_frames

SIZE = 96


@pytest.mark.parametrize("name", ["mobilenetv2", "xception", "efficientnetb0"])
def test_openvino_gives_the_features_of_keras_in_single_precision(name: str) -> None:
    frames = np.concatenate([draw_frames(6, SIZE, SIZE, seed, stripes=3 * (seed % 2)) for seed in range(4)])
    model = backbones.build(name, SIZE, "random", seed=3)
    run = engines.openvino(model, "f32")
    reference, other = backbones.traced(model)(frames), run(frames)
    assert other.shape == reference.shape
    assert other.dtype == np.float32
    found = engines.parity(reference, other, np.repeat([0, 1, 0, 1], 6))
    assert found.holds, found
    # Any number of frames, as in the last call of a clip.
    assert np.abs(run(frames[:3]) - other[:3]).max() <= 1e-3 * np.abs(other).max()


def test_openvino_computes_in_what_the_cpu_is_fastest_in() -> None:
    bf16 = "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    assert engines.exact("openvino") == f"openvino-{'bf16' if bf16 else 'f32'}"
    assert engines.exact("openvino-f32") == "openvino-f32"
    assert engines.exact("keras") == "keras"


def test_openvino_tells_nobody_of_a_conversion(tmp_path: Path) -> None:
    """Its telemetry makes a folder in the home before it sends anything."""
    code = (
        "import keras, sys; from lus import engines\n"
        "model = keras.Sequential([keras.Input((4, 4, 3), dtype='uint8'), keras.layers.Rescaling(0.5)])\n"
        "engines.openvino(model, 'f32')\n"
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


def _apart(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features of two labels that share a large mean, and these labels."""
    labels = np.repeat([0, 1], 24)
    features = 50 + rng.normal(0, 1, (48, 64)) + labels[:, None] * rng.normal(0, 1, 64)
    return features.astype(np.float32), labels


def test_the_same_features_are_at_parity() -> None:
    features, labels = _apart(np.random.default_rng(0))
    found = engines.parity(features, features.copy(), labels)
    assert (found.cosine, found.changed, found.frames) == (pytest.approx(1), 0, 48)
    engines.refuse_difference(found, "xception", "openvino-f32")


def test_a_shared_mean_hides_no_difference() -> None:
    rng = np.random.default_rng(1)
    features, labels = _apart(rng)
    other = (features + rng.normal(0, 1, features.shape)).astype(np.float32)
    plain = (features * other).sum(axis=1) / np.linalg.norm(features, axis=1) / np.linalg.norm(other, axis=1)
    assert plain.min() > 0.999
    found = engines.parity(features, other, labels)
    assert found.cosine < 0.9
    with pytest.raises(BadInput, match=r"openvino-int8 gives other features for xception than keras: a centred cosine"):
        engines.refuse_difference(found, "xception", "openvino-int8")


def test_predictions_that_change_are_counted() -> None:
    features, labels = _apart(np.random.default_rng(2))
    assert engines.parity(features, features[::-1].copy(), labels).changed == 48


def test_a_shift_that_changes_predictions_is_refused_whatever_the_cosine() -> None:
    with pytest.raises(BadInput, match=r"cosine of 0\.9990 over 48 frames.* and 2 predictions of a linear head change"):
        engines.refuse_difference(Parity(0.999, 2, 48), "xception", "openvino-bf16")
