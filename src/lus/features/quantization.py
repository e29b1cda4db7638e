"""A backbone in 8 bits: a graph of OpenVINO, quantised after training by NNCF, calibrated on frames of no cohort.

Most convolutions get 8-bit weights and inputs. Those whose rounding costs the features most and the time least stay as
they are (`_left_out`): a property of the code, the same for every cohort, so that no test patient has a part in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from lus.common import hashing
from lus.common.arrays import Frames
from lus.features import openvino, weights

if TYPE_CHECKING:
    import keras

FOLDER = Path(".lus/quantized")
"""Graphs that were quantised once: it takes 22 s of processors for Xception."""
FIRST = 3
"""Convolutions at the beginning that stay as they are: what they round goes through all others."""
GRAPH_FILE = "graph.xml"


def load_or_quantize(model: keras.Model, root: Path = FOLDER) -> Path:
    """Quantise a backbone, or find what was made of the same one before.

    Args:
        model: (n, size, size, 3) uint8 -> features, or whatever outputs.
        root: of the graphs that are kept, addressed by all that they depend on.

    Returns:
        The graph's file, which `openvino.load_compiled` reads; its weights lie beside it.
    """
    frames = draw_calibration_frames(model)
    folder = root / hashlib.sha256(json.dumps(_key(model, frames), sort_keys=True).encode()).hexdigest()[:32]
    if not (folder / GRAPH_FILE).is_file():
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".partial-") as scratch:
            partial = Path(scratch) / folder.name
            partial.mkdir()
            openvino.save_graph(quantize(openvino.convert(model), frames), partial / GRAPH_FILE)
            # Another process may have been quicker: both made the same.
            with contextlib.suppress(OSError):
                partial.rename(folder)
    return folder / GRAPH_FILE


def save_quantized(model: keras.Model, path: Path, root: Path = FOLDER) -> None:
    """Write a backbone's quantised graph as `path` (`.xml`), with its weights beside it; the rest as above."""
    graph = load_or_quantize(model, root)
    for kept, wanted in ((graph, path), (graph.with_suffix(".bin"), path.with_suffix(".bin"))):
        shutil.copyfile(kept, wanted)


def draw_calibration_frames(model: keras.Model) -> Frames:
    """Frames of the phantom's fixed examples in the size that a model takes: (60, size, size, 3) uint8."""
    from lus import phantom  # not part of a Bento, which loads what has been quantised

    return phantom.draw_examples(model.input_shape[1], phantom.CALIBRATION_TIMES)


def quantize(graph: Any, frames: Frames) -> Any:
    """Quantise a graph of `openvino.convert`: the same outputs, most convolutions in 8 bits.

    Args:
        graph: left as it is.
        frames: (n, size, size, 3) uint8; the ranges of activations are taken from them.
    """
    nncf = _load_nncf()
    with contextlib.redirect_stdout(io.StringIO()):  # bars of its own, beside those of this program
        return nncf.quantize(
            graph,
            nncf.Dataset([frame[None] for frame in frames]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(frames),
            # The features are the mean of the last maps: its input in 8 bits would save nothing.
            ignored_scope=nncf.IgnoredScope(names=_left_out(graph), types=["ReduceMean"], validate=False),
        )


def _left_out(graph: Any) -> list[str]:
    """The names of the convolutions that stay as they are: the first ones, and all depthwise ones.

    A depthwise convolution has few products for what it reads: in 8 bits it is hardly faster, and as inexact as others.
    """
    kinds = ("Convolution", "GroupConvolution")
    found = [(one.get_friendly_name(), one.get_type_name()) for one in graph.get_ordered_ops()]
    convolutions = [(name, kind) for name, kind in found if kind in kinds]
    return sorted(
        {name for number, (name, kind) in enumerate(convolutions) if number < FIRST or kind == "GroupConvolution"}
    )


def _key(model: keras.Model, frames: Frames) -> dict[str, object]:
    """All that a quantised graph depends on."""
    return describe_calibration(frames) | {
        "weights": weights.hash_weights(model),
        "shapes": [list(model.input_shape), [list(one.shape) for one in model.outputs]],
        "layers": _describe_layers(model),
        # Ranges are taken by running the graph, which this CPU does in its own precision.
        "engine": openvino.resolve_engine(openvino.INT8),
        **hashing.describe_code(openvino),
    }


def _describe_layers(model: keras.Model) -> list[object]:
    """What each layer is, but for its name, which Keras counts up within a process."""
    import keras

    return [
        _describe_layers(one)
        if isinstance(one, keras.Model)
        else [type(one).__name__, repr({key: value for key, value in one.get_config().items() if key != "name"})]
        for one in model.layers
    ]


def describe_calibration(frames: Frames) -> dict[str, object]:
    """What quantising depends on beside the model: its frames, this code, and the library."""
    code = hashing.hash_modules(__name__)
    return {"calibration": hashing.hash_arrays([frames]), "quantization": code, "nncf": version("nncf")}


def _load_nncf() -> ModuleType:
    """NNCF without its telemetry and its notices, and without its kind of logger for every logger made later."""
    openvino.load_openvino()
    kind = logging.getLoggerClass()
    import nncf

    logging.setLoggerClass(kind)
    nncf.set_log_level(logging.ERROR)
    return cast(ModuleType, nncf)
