"""The classifier: backbone and head in one model, frames -> probabilities; what is registered and served."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lus import backbones, checks, clip
from lus.arrays import FloatArray, Frames
from lus.errors import BadInput
from lus.params import Limits

if TYPE_CHECKING:
    import keras

MODEL_FILE = "classifier.keras"
CARD_FILE = "classifier.json"


@dataclass(frozen=True)
class Card:
    """What must be known of a classifier to use it and to say where it comes from.

    Attributes:
        labels: in the order of the probabilities.
        length, size: frames it takes, and their pixels a side.
        limits: of a usable clip, as they were when the classifier was made.
        feature_set: backbone and length, as in `xception-20`.
        lineage: git commit, hashes of cohort and parameters and the like; text only.
        name, version: in the registry; empty before it is registered.
    """

    labels: tuple[str, ...]
    length: int
    size: int
    limits: Limits
    feature_set: str
    lineage: dict[str, str]
    name: str = ""
    version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self) | {"limits": self.limits.model_dump(), "labels": list(self.labels)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Card:
        """The inverse of `to_json`."""
        return cls(**(values | {"limits": Limits(**values["limits"]), "labels": tuple(values["labels"])}))


@dataclass(frozen=True)
class Answer:
    """What the classifier says of a clip.

    Attributes:
        label: the most probable one.
        probabilities: of each label.
        frames: numbers of the frames that were looked at.
        seconds: spent on decoding, checks and classification.
        model: name and version.
    """

    label: str
    probabilities: dict[str, float]
    frames: list[int]
    seconds: dict[str, float]
    model: dict[str, str]


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


class Classifier:
    """A classifier ready to answer."""

    def __init__(self, model: keras.Model, card: Card) -> None:
        self.card = card
        shape = (None, card.length, card.size, card.size, 3)
        if tuple(model.input_shape) != shape or model.output_shape[-1] != len(card.labels):
            raise BadInput(
                f"the model takes {model.input_shape} and gives {model.output_shape[-1]} probabilities, its card says "
                f"{shape} and {len(card.labels)}; register it again"
            )
        self._run = backbones.traced(model)

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Load a folder that holds a model and its card."""
        card = Card.from_json(json.loads((folder / CARD_FILE).read_text()))
        return cls(load_model(folder / MODEL_FILE), card)

    def warm_up(self) -> None:
        """Build the graph by classifying black frames."""
        self.probabilities(np.zeros((1, self.card.length, self.card.size, self.card.size, 3), np.uint8))

    def probabilities(self, frames: Frames) -> FloatArray:
        """Classify clips' frames: (n, length, size, size, 3) uint8 -> (n, labels) float32."""
        return self._run(frames)

    def classify(self, path: Path) -> Answer:
        """Decode a clip, check it and classify it.

        Raises:
            BadInput: the clip cannot be decoded or breaks a limit.
        """
        started = time.perf_counter()
        frames, info = clip.sample(
            path, self.card.length, self.card.size, self.card.limits.max_frames, self.card.limits.max_pixels
        )
        decoded = time.perf_counter()
        statistics = checks.clip_statistics(info, checks.frame_statistics(frames))
        found = checks.findings(statistics, checks.rules(self.card.limits, self.card.length))
        if found:
            raise BadInput(f"{path.name}: {'; '.join(map(str, found))}; send an ultrasound clip within the limits")
        checked = time.perf_counter()
        probabilities = self.probabilities(frames[None])[0]
        done = time.perf_counter()
        return Answer(
            label=self.card.labels[int(probabilities.argmax())],
            probabilities={name: float(p) for name, p in zip(self.card.labels, probabilities, strict=True)},
            frames=clip.sample_indices(info.frames, self.card.length).tolist(),
            seconds={"decode": decoded - started, "check": checked - decoded, "classify": done - checked},
            model={"name": self.card.name, "version": self.card.version},
        )
