"""The classifier as it is served: its CNN compiled for the CPU by OpenVINO, its head in NumPy; no TensorFlow is needed.

It answers with the reference's answers or not at all: frames of stored clips and what the registered model answered to
them lie beside it, and it is held to them where it is made, and on every machine on which it starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np

from lus.common import workers
from lus.common.arrays import FloatArray, Frames
from lus.common.errors import BadInput
from lus.features import openvino
from lus.heads.numpy_head import NumpyHead
from lus.inference.metadata import METADATA_FILE, ModelMetadata

CNN_FILE, ENGINE_FILE, MODEL_CARD = "cnn.xml", "engine.json", "card.md"
QUANTIZED_FILE = "cnn-int8.xml"
"""The CNN for `openvino-int8`."""
EXAMPLE_FILE, ANSWER_FILE = "input_example.npy", "output_example.npy"
"""Beside a model: frames, and what it answered to them when it was registered."""
TOLERANCE = 0.01
"""By how much the probabilities of one clip may differ between engines, or from those that were registered."""


@dataclass(frozen=True)
class Parity:
    """The answers of an engine beside those that were stored with the version.

    Attributes:
        clips: how many.
        difference: the largest one between two probabilities.
        other_labels: clips that are given another label.
    """

    clips: int
    difference: float
    other_labels: int

    @property
    def holds(self) -> bool:
        """Whether the engine may answer for the model."""
        return self.clips > 0 and self.other_labels == 0 and self.difference <= TOLERANCE

    def __str__(self) -> str:
        return f"{self.other_labels} of {self.clips} clips labelled otherwise, largest difference {self.difference:.2g}"


def compare_answers(run: Callable[[Frames], FloatArray], frames: Frames, stored: FloatArray) -> Parity:
    """Ask an engine what a version answered when it was registered.

    Args:
        run: frames (n, length, size, size, 3) uint8 -> probabilities (n, labels).
        frames: stored with the version.
        stored: (n, labels), its answers.
    """
    given = run(frames)
    return Parity(
        len(frames),
        float(np.abs(given - stored).max()),
        int((given.argmax(axis=1) != stored.argmax(axis=1)).sum()),
    )


@dataclass(frozen=True)
class CnnOutput:
    """What the CNN makes of a clip.

    Attributes:
        features: (length, dim).
        maps: (length, height, width, channels), what its last convolution gives.
    """

    features: FloatArray
    maps: FloatArray


class CompiledClassifier:
    """A classifier without Keras: clips' frames -> probabilities, and what explains them; for several threads."""

    def __init__(self, folder: Path, engine: str | None = None) -> None:
        """Load what `keras_model.export` and the registry wrote, for this machine's CPU.

        Args:
            folder: that was written.
            engine: one of those that it was written for; by default the one that the folder names.
        """
        self.metadata = ModelMetadata.from_json(json.loads((folder / METADATA_FILE).read_text()))
        self.head = NumpyHead.load(folder)
        self.engine = openvino.resolve_engine(engine or json.loads((folder / ENGINE_FILE).read_text())["engine"])
        """With what it computes in on this machine."""
        file = QUANTIZED_FILE if openvino.is_quantized(self.engine) else CNN_FILE
        self._cnn = openvino.load_compiled(folder / file, self.engine)
        self._folder, self._lock = folder, Lock()

    @classmethod
    def load_checked(cls, folder: Path) -> CompiledClassifier:
        """Load it, and hold it to an answer that the registered model gave.

        One clip shows an engine that computes otherwise on this machine, and the service is ready the sooner; all of
        the stored ones are for the machine that makes it.

        Raises:
            BadInput: it answers otherwise on this machine.
        """
        made = cls(folder)
        made.require_parity(clips=1)
        return made

    def parity(self, clips: int | None = None, progress: workers.Progress | None = None) -> Parity:
        """Its answers to the first so many stored clips, or to all, beside those of the registered model.

        `progress` is called after each clip.
        """
        stored = [np.load(self._folder / name, allow_pickle=False) for name in (EXAMPLE_FILE, ANSWER_FILE)]
        frames, answers = (part[:clips] for part in stored)
        return compare_answers(partial(self.probabilities, progress=progress), frames, answers)

    def require_parity(self, clips: int | None = None, progress: workers.Progress | None = None) -> None:
        """Refuse an engine that does not answer as the registered model did.

        Args:
            clips: how many of the stored ones it is asked; by default all.
            progress: called after each clip.

        Raises:
            BadInput: with the figures; nothing falls back to another engine by itself.
        """
        found = self.parity(clips, progress)
        if not found.holds:
            exact = self.engine == "openvino-f32"
            advice = "register the model again" if exact else "set package.engine to auto in params.yaml"
            raise BadInput(
                f"{self.metadata.name} version {self.metadata.version} does not answer on {self.engine} as it was "
                f"registered: {found}; the same labels and probabilities within {TOLERANCE} are expected; {advice}"
            )

    def run_cnn(self, frames: Frames) -> CnnOutput:
        """Run the CNN over a clip's frames: (length, size, size, 3) uint8."""
        # One clip at a time: the CNN takes all cores, and two at once would each take twice as long.
        with self._lock:
            maps, features = self._cnn(frames)
        return CnnOutput(features, maps)

    def probabilities(self, frames: Frames, progress: workers.Progress | None = None) -> FloatArray:
        """Classify clips' frames: (n, length, size, size, 3) uint8 -> (n, labels) float32."""
        features = []
        for number, one in enumerate(frames, 1):
            features.append(self.run_cnn(one).features)
            if progress is not None:
                progress(number, len(frames))
        return self.head.probabilities(np.stack(features))
