"""A backbone on OpenVINO, and the gate that lets it stand in for Keras, the reference."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lus.arrays import FloatArray, Frames, IntArray
from lus.errors import BadInput

if TYPE_CHECKING:
    import keras

Run = Callable[[Frames], FloatArray]
"""A backbone as a function: (n, size, size, 3) uint8 -> (n, dim) float32."""
LEAST_COSINE = 0.98
"""Of the features of a frame on two engines, after the reference's mean feature has been taken from both. Without that
the cosine says nothing: features share a large mean, and 8-bit ones with a centred cosine of 0.61 have 0.998."""


@dataclass(frozen=True)
class Parity:
    """How near one engine's features are to those of the reference.

    Attributes:
        cosine: the mean over the frames, after centring.
        changed: frames that a linear head, trained on the reference's features, calls otherwise.
        frames: compared.
    """

    cosine: float
    changed: int
    frames: int

    @property
    def holds(self) -> bool:
        """Whether the engine may stand in for the reference."""
        return self.cosine >= LEAST_COSINE and self.changed == 0


def _openvino() -> ModuleType:
    """OpenVINO without its telemetry.

    Its converter tells its makers of every conversion, and puts an identifier into the home folder, unless the
    package that does so is missing; no setting of ours turns that off.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return cast(ModuleType, openvino)


def exact(engine: str) -> str:
    """An engine's name with what it computes in; where the name leaves it open, the fastest that the CPU has.

    Args:
        engine: as in `params.yaml`.
    """
    if engine != "openvino":
        return engine
    able = _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return f"openvino-{'bf16' if 'BF16' in able else 'f32'}"


def openvino(model: keras.Model, precision: str) -> Run:
    """Compile a backbone for this machine's CPU.

    Args:
        model: a backbone.
        precision: to compute in, "bf16" or "f32".
    """
    compiled = _compile(_convert(model), precision)
    return lambda frames: np.array(compiled(frames)[0], np.float32)


def save(model: keras.Model, path: Path) -> None:
    """Write a model of uint8 frames for OpenVINO, as `path` (`.xml`) and its weights beside it, in full precision."""
    _openvino().save_model(_convert(model), path, compress_to_fp16=False)


def load(path: Path, precision: str) -> Callable[[Frames], tuple[FloatArray, ...]]:
    """Compile what `save` wrote for this machine's CPU: frames (n, size, size, 3) uint8 -> what the model gives."""
    compiled = _compile(_openvino().Core().read_model(path), precision)
    return lambda frames: tuple(np.array(one, np.float32) for one in compiled(frames).values())


def _convert(model: keras.Model) -> Any:
    import keras
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)]
    with tempfile.TemporaryDirectory() as folder:
        # `model.export` would keep the random numbers of EfficientNet's dropout, for which OpenVINO has no operation.
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", lambda frames: model(frames, training=False), input_signature=signature)
        archive.write_out(folder, verbose=False)
        return _openvino().convert_model(folder)


def _compile(model: Any, precision: str) -> Any:
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    return _openvino().Core().compile_model(model, "CPU", settings)


def parity(reference: FloatArray, other: FloatArray, labels: IntArray) -> Parity:
    """Compare two engines' features of the same frames.

    Args:
        reference, other: (n, dim).
        labels: (n,) of the clips that the frames are from; a linear head learns them from the reference.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    mean = reference.mean(axis=0)
    one, two = (array.astype(np.float64) - mean for array in (reference, other))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosine = float(((one * two).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(reference, labels)
    changed = int((head.predict(reference) != head.predict(other)).sum())
    return Parity(cosine, changed, len(reference))


def refuse_difference(found: Parity, backbone: str, engine: str) -> None:
    """Refuse an engine that does not give the reference's features.

    Raises:
        BadInput: with the figures; nothing falls back to the reference by itself.
    """
    if not found.holds:
        raise BadInput(
            f"{engine} gives other features for {backbone} than keras: a centred cosine of {found.cosine:.4f} over "
            f"{found.frames} frames, at least {LEAST_COSINE} is expected, and {found.changed} predictions of a linear "
            "head change, none may; set features.engine to openvino-f32 or keras in params.yaml"
        )
