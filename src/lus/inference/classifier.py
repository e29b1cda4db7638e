"""The classifier: clips -> answers, whatever engine gives the probabilities."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from lus.checks.rules import ExaminedClip
from lus.common.arrays import FloatArray, Frames
from lus.common.errors import Finding, Unusable
from lus.inference.metadata import ModelMetadata
from lus.inference.reader import ClipReader


@dataclass(frozen=True)
class Prediction:
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
        self._reader = ClipReader(metadata, readers)

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

    def read(self, path: Path) -> ExaminedClip:
        """Decode a clip and check it; what was waited for is among its seconds, as `read`.

        Raises:
            Unusable: the clip cannot be decoded or breaks a limit.
        """
        started = time.perf_counter()
        examined = self._reader.read(path)
        return replace(examined, seconds=examined.seconds | {"read": time.perf_counter() - started})

    def classify(self, path: Path) -> Prediction:
        """Decode a clip, check it and classify it.

        Raises:
            Unusable: the clip cannot be decoded or breaks a limit.
        """
        return self._classify_examined(self.read(path))

    def classify_all(self, paths: Iterable[Path]) -> Iterator[Prediction | Unusable]:
        """Classify clips, each in its turn; the next ones are decoded meanwhile.

        Args:
            paths: of the clips.

        Yields:
            An answer, whose time for reading is what was waited for, or the refusal of a clip that is not usable.
        """
        started = time.perf_counter()
        for found in self._reader.read_all(paths):
            waited = {"read": time.perf_counter() - started}
            if isinstance(found, Unusable):
                yield found
            else:
                yield self._classify_examined(replace(found, seconds=found.seconds | waited))
            started = time.perf_counter()

    def _classify_examined(self, examined: ExaminedClip) -> Prediction:
        started = time.perf_counter()
        probabilities = self.probabilities(examined.sample.frames[None])[0]
        return make_prediction(self.metadata, examined, probabilities, {"classify": time.perf_counter() - started})


def make_prediction(
    metadata: ModelMetadata, examined: ExaminedClip, probabilities: FloatArray, seconds: dict[str, float]
) -> Prediction:
    """What is answered to a clip.

    Args:
        metadata: of the model.
        examined: the clip.
        probabilities: (labels,).
        seconds: spent after the clip was read.
    """
    return Prediction(
        label=metadata.labels[int(probabilities.argmax())],
        probabilities={name: float(p) for name, p in zip(metadata.labels, probabilities, strict=True)},
        frames=examined.sample.indices.tolist(),
        seconds=examined.seconds | seconds,
        model={"name": metadata.name, "version": metadata.version, "lineage": metadata.lineage.get("id", "")},
        findings=examined.reported,
    )
