"""Parity of engines: whether another engine's features may stand in for those of Keras, the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lus.clips import sampling
from lus.clips.frameset import FrameSet
from lus.common.arrays import FloatArray, Frames, IntArray
from lus.common.errors import BadInput
from lus.features import openvino
from lus.splits import folds

SAMPLE_CLIPS, SAMPLE_FRAMES = 24, 2
"""Clips, and frames of each, on which another engine is compared with the reference."""
LEAST_COSINE, LEAST_LOW = 0.98, 0.95
"""Of the features of a frame on two engines, after the reference's mean feature has been taken from both: the mean over
the frames, and what one frame in twenty falls below. Without the mean taken away the cosine says nothing: features
share a large mean, and 8-bit ones with a centred cosine of 0.61 have 0.998."""
MOST_CHANGED = 0.05
"""Share of the frames that a linear head which does not know their clips may call otherwise. It is unsure of some: one
clip less to learn from changes 1 to 5 of its 48 predictions by itself (docs/results.md). Of frames that it learnt from
none may change."""


@dataclass(frozen=True)
class FeatureParity:
    """How near one engine's features are to those of the reference.

    Attributes:
        cosine: the mean over the frames, after centring.
        low: its 5th percentile.
        forgotten: frames that a linear head calls otherwise, trained on the reference's features of all of them.
        changed: frames that one calls otherwise which was trained on the reference's features of other clips.
        frames: compared.
    """

    cosine: float
    low: float
    forgotten: int
    changed: int
    frames: int

    @property
    def holds(self) -> bool:
        """Whether the engine may stand in for the reference."""
        alike = self.cosine >= LEAST_COSINE and self.low >= LEAST_LOW
        return alike and self.forgotten == 0 and self.changed <= MOST_CHANGED * self.frames

    def __str__(self) -> str:
        return (
            f"a centred cosine of {self.cosine:.4f} on average and of {self.low:.4f} in the 5th percentile, "
            f"of {self.frames} predictions of a linear head {self.forgotten} changed where it knew the clips and "
            f"{self.changed} where it did not"
        )


@dataclass(frozen=True)
class ParitySample:
    """What two engines are compared on.

    Attributes:
        frames: (n, size, size, 3) uint8.
        labels: (n,) of the clips that they are from.
        clips: (n,) numbers of these clips.
    """

    frames: Frames
    labels: IntArray
    clips: IntArray


def choose_sample(sampled: FrameSet, length: int) -> ParitySample:
    """A few frames of a few clips, spread evenly over the cohort and over each clip."""
    clips = sampled.clips
    rows = np.unique(np.linspace(0, len(clips) - 1, SAMPLE_CLIPS).round().astype(int))
    places = sampling.sample_indices(length, min(SAMPLE_FRAMES, length))
    chosen = clips.iloc[rows]
    frames = [
        sampled.frames(clip_id, int(count), length)[places]
        for clip_id, count in zip(chosen["clip_id"], chosen["frames"], strict=True)
    ]
    return ParitySample(
        np.concatenate(frames), *(np.repeat(one, len(places)) for one in (folds.targets(clips)[rows], rows))
    )


def compare_features(reference: FloatArray, other: FloatArray, labels: IntArray, clips: IntArray) -> FeatureParity:
    """Compare two engines' features of the same frames.

    Args:
        reference, other: (n, dim).
        labels: (n,) of the clips that the frames are from.
        clips: (n,) numbers of these clips.

    Raises:
        BadInput: fewer than two labels have two clips or more.
    """
    parts = split_clips(labels, clips)
    mean = reference.mean(axis=0)
    one, two = (array.astype(np.float64) - mean for array in (reference, other))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosines = (one * two).sum(axis=1) / np.maximum(lengths, 1e-12)
    every = np.ones(len(labels), bool)
    return FeatureParity(
        cosine=float(cosines.mean()),
        low=float(np.percentile(cosines, 5)),
        forgotten=_changed(reference, other, labels, every, every),
        changed=sum(_changed(reference, other, labels, ~tested, tested) for tested in parts),
        frames=len(reference),
    )


def split_clips(labels: IntArray, clips: IntArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The frames of one half of each label's clips, and those of the other half: (n,) each.

    Args:
        labels, clips: as `compare_features` takes them.

    Raises:
        BadInput: fewer than two labels have two clips or more.
    """
    numbers, first = np.unique(clips, return_index=True)
    of_clips = labels[first]
    if (np.unique(of_clips, return_counts=True)[1] >= 2).sum() < 2:
        raise BadInput(
            "two engines are compared on two clips of each of two labels at least, and there are "
            f"{len(numbers)} clips of {len(set(of_clips))} labels; add clips, or set features.engine to keras in "
            "params.yaml"
        )
    one = np.isin(clips, numbers[np.argsort(of_clips, kind="stable")][::2])
    return one, ~one


def fit_linear_head(features: FloatArray, labels: IntArray) -> Callable[[FloatArray], IntArray]:
    """Fit a linear classifier of frames: (n, dim) and (n,) -> what calls the labels of other features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features, labels)
    return lambda others: np.asarray(head.predict(others), np.int64)


def _changed(
    reference: FloatArray, other: FloatArray, labels: IntArray, known: NDArray[np.bool_], tested: NDArray[np.bool_]
) -> int:
    """How many of the tested frames another engine's features let a linear head call otherwise.

    A head that knows the frames calls them as it was told to, nearly whatever the engine: both kinds are asked.
    """
    head = fit_linear_head(reference[known], labels[known])
    return int((head(reference[tested]) != head(other[tested])).sum())


def refuse_difference(found: FeatureParity, backbone: str, engine: str) -> None:
    """Refuse an engine that does not give the reference's features.

    Raises:
        BadInput: with the figures; nothing falls back to the reference by itself.
    """
    if not found.holds:
        slower = ("openvino",) if openvino.is_quantized(engine) else ()
        others = " or ".join((*slower, *(("openvino-f32",) if engine != "openvino-f32" else ()), "keras"))
        raise BadInput(
            f"{engine} gives other features for {backbone} than keras: {found}; expected are at least {LEAST_COSINE}, "
            f"at least {LEAST_LOW}, none and at most {MOST_CHANGED:.0%}; set features.engine to {others} in params.yaml"
        )
