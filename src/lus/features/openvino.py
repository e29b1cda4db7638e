"""A backbone on OpenVINO: compiled for this machine's CPU, in bf16 where it has that."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lus.common.arrays import FloatArray, Frames

if TYPE_CHECKING:
    import keras

FeatureFunction = Callable[[Frames], FloatArray]
"""A backbone as a function: (n, size, size, 3) uint8 -> (n, dim) float32."""


def _openvino() -> ModuleType:
    """OpenVINO without its telemetry.

    Its converter tells its makers of every conversion, and puts an identifier into the home folder, unless the
    package that does so is missing; no setting of ours turns that off.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return cast(ModuleType, openvino)


def resolve_engine(engine: str) -> str:
    """An engine's name with what it computes in; where the name leaves it open, the fastest that the CPU has.

    Args:
        engine: as in `params.yaml`.
    """
    if engine != "openvino":
        return engine
    able = _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return f"openvino-{'bf16' if 'BF16' in able else 'f32'}"


def compile_backbone(model: keras.Model, engine: str) -> FeatureFunction:
    """Compile a backbone for this machine's CPU.

    Args:
        model: a backbone.
        engine: `openvino-bf16` or `openvino-f32`, as `resolve_engine` gives it.
    """
    compiled = _compile(_convert(model), engine)
    return lambda frames: np.array(compiled(frames)[0], np.float32)


def save_model(model: keras.Model, path: Path) -> None:
    """Write a model of uint8 frames for OpenVINO, as `path` (`.xml`) and its weights beside it, in full precision."""
    _openvino().save_model(_convert(model), path, compress_to_fp16=False)


def load_compiled(path: Path, engine: str) -> Callable[[Frames], tuple[FloatArray, ...]]:
    """Compile what `save_model` wrote for this machine's CPU: frames (n, size, size, 3) uint8 -> its outputs."""
    compiled = _compile(_openvino().Core().read_model(path), engine)
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


def _compile(model: Any, engine: str) -> Any:
    settings = {"INFERENCE_PRECISION_HINT": engine.removeprefix("openvino-"), "PERFORMANCE_HINT": "LATENCY"}
    return _openvino().Core().compile_model(model, "CPU", settings)
