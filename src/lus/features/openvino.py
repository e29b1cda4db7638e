"""A backbone on OpenVINO: compiled for this machine's CPU, in what it computes fastest in."""

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
INT8 = "openvino-int8"
"""The engine that runs a quantised graph (`lus.features.quantization`)."""
CPU_FILE = Path("/proc/cpuinfo")


def load_openvino() -> ModuleType:
    """OpenVINO without its telemetry.

    Its converter tells its makers of every conversion, and NNCF of every quantisation, and puts an identifier into the
    home folder, unless the package that does so is missing; no setting of ours turns that off.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return cast(ModuleType, openvino)


def resolve_engine(engine: str) -> str:
    """An engine's name with what it computes in on this CPU, as in `openvino-f32` or `openvino-int8-bf16`.

    Where the name leaves it open it is the fastest that the CPU has; of `openvino-int8` that is said of the layers that
    are not quantised. A CPU without bf16 computes in f32 where bf16 is asked for.

    Args:
        engine: as in `params.yaml`.
    """
    if engine in ("openvino", INT8):
        return f"{engine}-{'bf16' if _is_bf16_fastest() else 'f32'}"
    if engine == "openvino-bf16" and not has_bf16():
        return "openvino-f32"
    return engine


def is_quantized(engine: str) -> bool:
    """Whether an engine runs a quantised graph: `openvino-int8`, and what `resolve_engine` makes of it."""
    return engine.startswith(INT8)


def has_bf16() -> bool:
    """Whether this CPU computes in bf16."""
    return "BF16" in load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _is_bf16_fastest() -> bool:
    """Whether this CPU computes faster in bf16 than in f32.

    Intel's cores have a fast product of bf16 in their AMX unit alone: without it, as on many virtual machines, bf16
    takes 1.6 times as long as f32 (docs/results.md). OpenVINO does not say which CPUs have that unit; Linux does.
    """
    if not has_bf16():
        return False
    intel = "Intel" in load_openvino().Core().get_property("CPU", "FULL_DEVICE_NAME")
    return not intel or not CPU_FILE.is_file() or "amx_bf16" in CPU_FILE.read_text()


def compile_backbone(model: keras.Model, engine: str) -> FeatureFunction:
    """Compile a backbone for this machine's CPU.

    Args:
        model: a backbone.
        engine: `openvino-bf16` or `openvino-f32`, as `resolve_engine` gives it.
    """
    compiled = _compile(convert(model), engine)
    return lambda frames: np.array(compiled(frames)[0], np.float32)


def save_model(model: keras.Model, path: Path) -> None:
    """Write a model of uint8 frames for OpenVINO, as `path` (`.xml`) and its weights beside it, in full precision."""
    save_graph(convert(model), path)


def save_graph(graph: Any, path: Path) -> None:
    """Write a graph of `convert` as `save_model` does."""
    load_openvino().save_model(graph, path, compress_to_fp16=False)


def load_compiled(path: Path, engine: str) -> Callable[[Frames], tuple[FloatArray, ...]]:
    """Compile what `save_model` wrote for this machine's CPU: frames (n, size, size, 3) uint8 -> its outputs.

    Args:
        path: of the graph, quantised or not.
        engine: as `resolve_engine` gives it.
    """
    compiled = _compile(load_openvino().Core().read_model(path), engine)
    return lambda frames: tuple(np.array(one, np.float32) for one in compiled(frames).values())


def convert(model: keras.Model) -> Any:
    """A model of uint8 frames as a graph of OpenVINO, in full precision."""
    import keras
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)]
    with tempfile.TemporaryDirectory() as folder:
        # `model.export` would keep the random numbers of EfficientNet's dropout, for which OpenVINO has no operation.
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", lambda frames: model(frames, training=False), input_signature=signature)
        archive.write_out(folder, verbose=False)
        return load_openvino().convert_model(folder)


def _compile(model: Any, engine: str) -> Any:
    settings = {"INFERENCE_PRECISION_HINT": engine.rpartition("-")[2], "PERFORMANCE_HINT": "LATENCY"}
    return load_openvino().Core().compile_model(model, "CPU", settings)
