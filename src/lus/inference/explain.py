"""Why the classifier says what it says: where the CNN looked, which frames mattered, how the answer came about."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lus.common.arrays import FloatArray, Frames
from lus.inference.compiled import CnnOutput, CompiledClassifier

OVERLAY_TYPE = "video/webm"
OVERLAY_SIDE = 480
"""Pixels of the longer side of an overlay."""
OVERLAY_RATE = 5
"""Frames a second of an overlay: its frames are samples of a longer clip, and are to be looked at."""
OVERLAY_SHARE = 0.45
"""Of the colour, where the heat is greatest."""


@dataclass(frozen=True)
class Attribution:
    """What explains an answer.

    Attributes:
        probabilities: (labels,).
        label: number of the label that is explained.
        heat: (length, height, width), 0 to 1: where the CNN saw what speaks for the label (Grad-CAM).
        importance: (length,): by how much the label's probability falls when a frame is hidden; less than 0 where it
            rises.
        course: (length, labels): the probabilities if the clip ended at each frame.
    """

    probabilities: FloatArray
    label: int
    heat: FloatArray
    importance: FloatArray
    course: FloatArray


def explain(compiled: CompiledClassifier, frames: Frames, label: int | None = None) -> Attribution:
    """Explain what a classifier says of a clip.

    Args:
        compiled: the classifier.
        frames: (length, size, size, 3) uint8 of the clip.
        label: number of the label to explain; by default the most probable one.
    """
    output = compiled.run_cnn(frames)
    head = compiled.head
    probabilities = head.probabilities(output.features[None])[0]
    chosen = int(probabilities.argmax()) if label is None else label
    return Attribution(
        probabilities,
        chosen,
        grad_cam(output, head.gradient(output.features, chosen)),
        probabilities[chosen] - head.probabilities(hide_frames(output.features))[:, chosen],
        head.probabilities_by_frame(output.features),
    )


def grad_cam(output: CnnOutput, gradient: FloatArray) -> FloatArray:
    """Grad-CAM of the last convolution (Selvaraju et al., 2017), on one scale for the whole clip.

    A channel's weight is the mean of the score's gradient over its map. Where the features are the means of the maps,
    that is the gradient of the features but for a factor that is the same for all channels.

    Args:
        output: maps (length, height, width, channels).
        gradient: (length, dim) of the score with respect to the features.

    Returns:
        (length, height, width), 0 to 1; all 0 where nothing speaks for the label.
    """
    maps = output.maps
    pooled = gradient.shape[-1] == maps.shape[-1]
    weights = gradient if pooled else gradient.reshape(maps.shape).mean(axis=(1, 2))
    found = np.maximum(np.einsum("lhwc,lc->lhw", maps, weights), 0)
    greatest = float(found.max())
    return np.asarray(found / greatest if greatest > 0 else found, np.float32)


def hide_frames(features: FloatArray) -> FloatArray:
    """The clip with each frame hidden in turn: (length, dim) -> (length, length, dim).

    A hidden frame shows what the other frames show on average: noise or black would be something new to the head.
    """
    length = len(features)
    clips = np.repeat(features[None], length, axis=0)
    others = (features.sum(axis=0) - features) / max(length - 1, 1)
    clips[np.arange(length), np.arange(length)] = others
    return clips


def encode_overlay(frames: Frames, heat: FloatArray, width: int, height: int) -> bytes:
    """The frames with the heat over them, as a WebM video.

    Args:
        frames: (length, size, size, 3) uint8 RGB.
        heat: (length, height, width), 0 to 1.
        width, height: of the clip, whose proportions the video has.
    """
    scale = OVERLAY_SIDE / max(width, height)
    # The encoder wants even sides.
    size = (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "overlay.webm"
        writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), OVERLAY_RATE, size)
        for frame, hot in zip(frames, heat, strict=True):
            picture = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), cv2.COLOR_RGB2BGR)
            smooth = np.clip(cv2.resize(hot, size, interpolation=cv2.INTER_CUBIC), 0, 1)
            colour = cv2.applyColorMap((smooth * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
            share = (OVERLAY_SHARE * smooth)[..., None]
            writer.write((picture * (1 - share) + colour * share).astype(np.uint8))
        writer.release()
        return file.read_bytes()
