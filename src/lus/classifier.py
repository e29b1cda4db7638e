"""The classifier: backbone and head in one model, frames -> probabilities; what is registered and served."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lus import backbones, checks, clip, pool
from lus.arrays import FloatArray, Frames
from lus.checks import Examined
from lus.errors import BadInput, Finding, Unusable
from lus.metadata import ModelMetadata
from lus.params import Limits

if TYPE_CHECKING:
    import keras

MODEL_FILE = "classifier.keras"


@dataclass(frozen=True)
class Answer:
    """What the classifier says of a clip.

    Attributes:
        label: the most probable one.
        probabilities: of each label.
        frames: numbers of the frames that were looked at.
        seconds: spent on reading the clip, of which on decoding and on checks, and on classification.
        model: name, version, and its lineage id, which `lus show` traces back.
        findings: what the checks report of the clip, which does not make it unusable.
    """

    label: str
    probabilities: dict[str, float]
    frames: list[int]
    seconds: dict[str, float]
    model: dict[str, str]
    findings: list[Finding]


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


def look(path: Path, length: int, size: int, limits: Limits) -> Examined | Unusable:
    """Decode a clip and hold it to the limits; the refusal of one that is not usable comes back as a value."""
    try:
        examined = checks.examine(path, [length], size, limits)
    except Unusable as error:
        return error
    return Unusable(path.name, examined.findings) if examined.findings else examined


class Reader:
    """Decodes and checks clips in processes of its own: one that dies or hangs takes down one clip's answer alone.

    It may be asked by several threads at once; each process reads one clip at a time.
    """

    def __init__(self, metadata: ModelMetadata, workers: int = 1) -> None:
        self._metadata, self._workers = metadata, pool.Workers(workers)

    def read(self, path: Path) -> Examined:
        """Decode a clip and hold it to the limits.

        Raises:
            Unusable: the clip cannot be decoded or breaks a limit.
        """
        found = self._workers.do(self._look(), path, self._guard())
        if isinstance(found, Unusable):
            raise found
        return found

    def ahead(self, paths: Iterable[Path]) -> Iterator[Examined | Unusable]:
        """Read clips while the caller is busy with earlier ones: each in its turn, or its refusal."""
        return self._workers.ahead(self._look(), paths, self._guard())

    def _look(self) -> Callable[[Path], Examined | Unusable]:
        return partial(look, length=self._metadata.length, size=self._metadata.size, limits=self._metadata.limits)

    def _guard(self) -> pool.Guard[Path, Examined | Unusable]:
        return pool.Guard(self._metadata.limits.max_seconds, clip.undecodable)

    def warm_up(self) -> None:
        """Start the processes."""
        self._workers.warm_up()

    def close(self) -> None:
        """End the processes."""
        self._workers.close()


def reference(path: Path, metadata: ModelMetadata) -> Callable[[Frames], FloatArray]:
    """A registered model on Keras: frames (n, length, size, size, 3) uint8 -> probabilities (n, labels).

    Raises:
        BadInput: the model and its metadata say different things.
    """
    model = load_model(path)
    shape = (None, metadata.length, metadata.size, metadata.size, 3)
    if tuple(model.input_shape) != shape or model.output_shape[-1] != len(metadata.labels):
        raise BadInput(
            f"the model takes {model.input_shape} and gives {model.output_shape[-1]} probabilities, its metadata say "
            f"{shape} and {len(metadata.labels)}; register it again"
        )
    return backbones.traced(model)


class Classifier:
    """A classifier ready to answer; to be closed after use, or used in a `with` statement."""

    def __init__(
        self, probabilities: Callable[[Frames], FloatArray], metadata: ModelMetadata, readers: int = 1
    ) -> None:
        """Start nothing yet.

        Args:
            probabilities: frames (n, length, size, size, 3) uint8 -> (n, labels) float32, on any engine.
            metadata: of the model.
            readers: processes that decode clips.
        """
        self.probabilities, self.metadata = probabilities, metadata
        self._reader = Reader(metadata, readers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that decode."""
        self._reader.close()

    def warm_up(self) -> None:
        """Start the processes that decode."""
        self._reader.warm_up()

    def read(self, path: Path) -> Examined:
        """Decode a clip and check it; what was waited for is among its seconds, as `read`.

        Raises:
            Unusable: the clip cannot be decoded or breaks a limit.
        """
        started = time.perf_counter()
        examined = self._reader.read(path)
        return replace(examined, seconds=examined.seconds | {"read": time.perf_counter() - started})

    def classify(self, path: Path) -> Answer:
        """Decode a clip, check it and classify it.

        Raises:
            Unusable: the clip cannot be decoded or breaks a limit.
        """
        return self._classified(self.read(path))

    def classify_all(self, paths: Iterable[Path]) -> Iterator[Answer | Unusable]:
        """Classify clips, each in its turn; the next ones are decoded meanwhile.

        Args:
            paths: of the clips.

        Yields:
            An answer, whose time for reading is what was waited for, or the refusal of a clip that is not usable.
        """
        started = time.perf_counter()
        for found in self._reader.ahead(paths):
            waited = {"read": time.perf_counter() - started}
            if isinstance(found, Unusable):
                yield found
            else:
                yield self._classified(replace(found, seconds=found.seconds | waited))
            started = time.perf_counter()

    def _classified(self, examined: Examined) -> Answer:
        started = time.perf_counter()
        probabilities = self.probabilities(examined.sample.frames[None])[0]
        return answer(self.metadata, examined, probabilities, {"classify": time.perf_counter() - started})


def answer(metadata: ModelMetadata, examined: Examined, probabilities: FloatArray, seconds: dict[str, float]) -> Answer:
    """What is answered to a clip.

    Args:
        metadata: of the model.
        examined: the clip.
        probabilities: (labels,).
        seconds: spent after the clip was read.
    """
    return Answer(
        label=metadata.labels[int(probabilities.argmax())],
        probabilities={name: float(p) for name, p in zip(metadata.labels, probabilities, strict=True)},
        frames=examined.sample.indices.tolist(),
        seconds=examined.seconds | seconds,
        model={"name": metadata.name, "version": metadata.version, "lineage": metadata.lineage.get("id", "")},
        findings=examined.reported,
    )
