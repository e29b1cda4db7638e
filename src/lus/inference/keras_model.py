"""The classifier on Keras: backbone and head joined, loaded as registered, exported to what is served without Keras."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lus.common.arrays import FloatArray, Frames
from lus.common.errors import BadInput
from lus.features import backbones, openvino, quantization
from lus.heads import numpy_head
from lus.inference.compiled import CNN_FILE, ENGINE_FILE, QUANTIZED_FILE
from lus.inference.metadata import ModelMetadata

if TYPE_CHECKING:
    import keras

MODEL_FILE = "classifier.keras"


def assemble(backbone: keras.Model, head: keras.Model, length: int) -> keras.Model:
    """Join a backbone and a head: (n, length, size, size, 3) uint8 -> (n, labels) float32."""
    import keras

    size, dim = backbone.input_shape[1], backbone.output_shape[-1]
    frames = keras.Input((length, size, size, 3), dtype="uint8", name="frames")
    # All frames of all clips go through the CNN as one batch. TimeDistributed gives the same numbers, but
    # traces the CNN once for each frame: 11 s against 2 s until the first answer.
    features = backbone(keras.ops.reshape(frames, (-1, size, size, 3)))
    return keras.Model(frames, head(keras.ops.reshape(features, (-1, length, dim))), name="classifier")


def load_model(path: Path) -> keras.Model:
    """Load a `.keras` file in safe mode: a Lambda, or anything else that would run code of the file, is refused."""
    import keras

    return keras.saving.load_model(path, compile=False, safe_mode=True)


def load_reference(path: Path, metadata: ModelMetadata) -> Callable[[Frames], FloatArray]:
    """A registered model on Keras: frames (n, length, size, size, 3) uint8 -> probabilities (n, labels).

    Raises:
        BadInput: the model and its metadata say different things.
    """
    model = load_model(path)
    shape = (None, metadata.length, metadata.size, metadata.size, 3)
    if tuple(model.input_shape) != shape or model.output_shape[-1] != len(metadata.labels):
        raise BadInput(
            f"the model takes {model.input_shape} and gives {model.output_shape[-1]} probabilities, its metadata say "
            f"{shape} and {len(metadata.labels)}; `lus register --anew` registers another"
        )
    return backbones.trace(model)


def export(model: keras.Model, engines: Sequence[str], folder: Path) -> None:
    """Write what `CompiledClassifier` reads, but for the metadata and the stored answers.

    Args:
        model: a classifier of `assemble`.
        engines: that the CNN is to run on, as in `openvino-f32`; the first is the one that the folder names.
        folder: made if missing.

    Raises:
        BadInput: the model is not a backbone and a head, or its head cannot be served.
    """
    import keras

    parts = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if len(parts) != 2 or not parts[0].name.endswith("_backbone"):
        raise BadInput("the classifier is not made of a backbone and a head; `lus register --anew` registers another")
    backbone, head = parts
    folder.mkdir(parents=True, exist_ok=True)
    numpy_head.convert_keras(head).save(folder)
    with_maps = backbones.add_maps(backbone)
    if any(openvino.is_quantized(one) for one in engines):
        quantization.save_quantized(with_maps, folder / QUANTIZED_FILE)
    if not all(openvino.is_quantized(one) for one in engines):
        openvino.save_model(with_maps, folder / CNN_FILE)
    (folder / ENGINE_FILE).write_text(json.dumps({"engine": engines[0]}) + "\n")
