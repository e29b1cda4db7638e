"""Numbers measured on a clip's frames, by which the checks tell an ultrasound clip from anything else.

Whole arrays at a time, in OpenCV or NumPy: all of it costs less than 15 % of decoding the clip.
"""

from __future__ import annotations

from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from lus.clips.decode import ClipInfo
from lus.clips.lead_in import DARK, PLAIN
from lus.clips.sampling import Sample
from lus.common.arrays import FloatArray, Frames, Thumbnails

FrameMeasures = dict[str, FloatArray]
"""A number a frame for each name: (length,) float32."""
Grey = NDArray[np.uint8]
BLACK = 8
"""Grey levels (of 255) below this are black."""
STILL = 0.25
"""Neighbours whose mean difference in grey levels is below this show the same picture; a codec's noise stays below."""
MOVES = 8
"""A pixel that changes by more grey levels than this in the course of a clip belongs to the picture."""
COLOURED = 24
"""Grey levels (red less green and blue less green together) by which a pixel's colour differs from the usual."""
NEAR = 4
"""Frames on either side that say how fast a clip moves."""
CUT, FLASH = 3.0, 2.0
"""A change this many times the greatest one near it is no movement. On 119 public clips, seen by eye, all changes above
3 are cuts or blank frames and all others are below 2.6; spliced clips of different patients have 3.7 or more in 19 of
20 cases. For flashes the greatest is 1.4, and planted foreign frames have 2 or more in 19 of 20 cases."""
LONGEST_FLASH = 3
"""Frames."""


def measure_frames(frames: Frames) -> FrameMeasures:
    """Measure each frame.

    Args:
        frames: (length, height, width, 3) uint8 RGB.

    Returns:
        Each (length,) float32, from 0 to 1 but for sharpness:

        brightness: mean grey; contrast: standard deviation of grey; black_share: pixels darker than 8 of 255;
        sharpness: standard deviation of the Laplacian at half size over that of grey; saturation: HSV, weighted by
        brightness, so that the noise of black pixels does not count; colour: pixels whose colour differs from
        that which is usual for their grey level, as a machine may tint each grey level its own way; change:
        mean absolute difference to the frame before (0 for the first).
    """
    length, height, width, _ = frames.shape
    grey = cv2.cvtColor(frames.reshape(length * height, width, 3), cv2.COLOR_RGB2GRAY).reshape(length, height, width)
    spread = np.array([[float(x[0, 0]) for x in cv2.meanStdDev(one)] for one in grey])
    laplacian = [_laplacian(one) for one in grey]
    change = [0.0] + [cv2.norm(a, b, cv2.NORM_L1) / a.size for a, b in zip(grey[1:], grey[:-1], strict=True)]
    black = [cv2.countNonZero(cv2.compare(one, BLACK, cv2.CMP_LT)) / one.size for one in grey]
    # Colour changes slowly over a picture: few of its pixels tell it.
    saturation, colour = _colour(frames[:, ::6, ::6])
    columns = {
        "brightness": spread[:, 0] / 255,
        "contrast": spread[:, 1] / 255,
        "black_share": np.array(black),
        "sharpness": np.array(laplacian) / np.maximum(spread[:, 1], 1.0),
        "saturation": saturation,
        "colour": colour,
        "change": np.array(change) / 255,
    }
    return {name: np.asarray(values, np.float32) for name, values in columns.items()}


def _laplacian(grey: Grey) -> float:
    """Standard deviation of the Laplacian at half size: at full size it is that of a codec's noise."""
    height, width = grey.shape[0] // 2, grey.shape[1] // 2
    # An odd last row or column is left out: halving exactly is twenty times faster.
    half = cv2.resize(grey[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return float(cv2.meanStdDev(cv2.Laplacian(half, cv2.CV_16S))[1][0, 0])


def _colour(frames: Frames) -> tuple[FloatArray, FloatArray]:
    """Saturation, and the colour that grey does not explain, of each frame: (n, height, width, 3) -> 2 x (n,)."""
    length = len(frames)
    red, green, blue = (frames[..., channel].reshape(length, -1).astype(np.int16) for channel in range(3))
    peak = np.maximum(np.maximum(red, green), blue)
    light = np.maximum(peak.sum(axis=1), 1)
    saturation = (peak - np.minimum(np.minimum(red, green), blue)).sum(axis=1) / light
    level = (red + green + blue) // 48 + 16 * np.arange(length, dtype=np.int16)[:, None]
    count = np.maximum(np.bincount(level.ravel(), minlength=16 * length), 1)
    apart = np.zeros(red.shape, np.float32)
    for tint in (red - green, blue - green):
        usual = np.bincount(level.ravel(), tint.ravel(), 16 * length) / count
        apart += np.abs(tint - usual.astype(np.float32)[level])
    return np.asarray(saturation, np.float32), np.asarray((apart > COLOURED).mean(axis=1), np.float32)


def measure_shape(info: ClipInfo) -> dict[str, float]:
    """The numbers of a clip that are known before any frame is looked at."""
    return {
        "frames": info.frames,
        "side": min(info.width, info.height),
        "pixels": info.width * info.height,
        "clip_pixels": info.width * info.height * info.frames,
        "fps": info.fps,
    }


def measure_clip(sample: Sample, frames: FrameMeasures, blank: NDArray[np.bool_]) -> dict[str, float]:
    """The numbers that the rules look at.

    Args:
        sample: of the clip.
        frames: `measure_frames` of its frames.
        blank: (n,) frames that show nothing.

    Returns:
        What the clip is (`measure_shape`), the means over its frames, and

        blank_share: of the sampled frames; still_share: of neighbouring sampled frames, those that show the
        same picture; coverage: pixels that change in the course of the clip; extent: the box around them,
        as a share of the picture; cuts, flashes: `find_jumps` in all frames; overlay_text, overlay_colour:
        pixels of what a machine or a person wrote into the picture; interlaced, trimmed, damaged: as `Notes` has them;
        damaged_share: of all frames.
    """
    neighbours = frames["change"][1:]
    averaged = ("brightness", "contrast", "black_share", "sharpness", "saturation", "colour")
    cuts, flashes = find_jumps(sample.thumbnails)
    return (
        measure_shape(sample.info)
        | {name: float(frames[name].mean()) for name in averaged}
        | {
            "blank_share": float(blank.mean()),
            "still_share": float((neighbours * 255 < STILL).mean()) if len(neighbours) else 0.0,
            "cuts": len(cuts),
            "flashes": len(flashes),
            "interlaced": sample.notes.interlaced,
            "trimmed": sample.notes.blank,
            "damaged": sample.notes.damaged,
            "damaged_share": sample.notes.damaged / sample.info.frames,
        }
        | _picture(sample.frames)
    )


def _picture(frames: Frames) -> dict[str, float]:
    """Where the picture is and what is written over it."""
    low, high = (cv2.split(extreme) for extreme in (frames.min(axis=0), frames.max(axis=0)))
    # A channel at a time: along the last axis of three NumPy is ten times slower.
    span = reduce(cv2.max, [cv2.subtract(above, below) for above, below in zip(high, low, strict=True)])
    moves = cv2.compare(span, MOVES, cv2.CMP_GT) > 0
    rows, columns = (np.flatnonzero(moves.mean(axis=axis) > 0.05) for axis in (1, 0))
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) if len(rows) and len(columns) else 0
    # Letters: thin, bright, and as still as what is around them.
    thin = cv2.morphologyEx(low[1], cv2.MORPH_TOPHAT, np.ones((7, 7), np.uint8)) > 60
    still = (span <= 2 * MOVES) & (cv2.blur(span, (15, 15)) < MOVES)
    vivid = cv2.subtract(reduce(cv2.max, low), reduce(cv2.min, low)) > 80
    return {
        "coverage": float(moves.mean()),
        "extent": float(box / moves.size),
        "overlay_text": float((thin & still).mean()),
        "overlay_colour": float(vivid.mean()),
    }


def find_jumps(thumbnails: Thumbnails) -> tuple[list[int], list[int]]:
    """Changes between frames that are no movement.

    A cut is a change between two frames that is `CUT` times the greatest one near it, or more; a flash is one
    to three frames that differ from those around them `FLASH` times as much as these do among themselves. One
    grey level is added to what they are compared with, so that a still clip's noise makes none.

    Args:
        thumbnails: of all frames, (n, height, width) uint8.

    Returns:
        Numbers of the first frames after a cut, and of the first frames of a flash. Blank frames make no cut.
    """
    n = len(thumbnails)
    if n < 3:
        return [], []
    flat = thumbnails.reshape(n, -1)
    change = _difference(flat, 1)
    flashes: list[int] = []
    in_flash: set[int] = set()
    for width in range(1, min(LONGEST_FLASH, n - 2) + 1):
        out, back = change[:-width], change[width:]
        around = np.maximum(_near(change, width + 1), _difference(flat, width + 1))
        for first in np.flatnonzero(np.minimum(out, back) > FLASH * (around + 1)) + 1:
            if not in_flash & set(range(first, first + width)):
                flashes.append(int(first))
                in_flash |= set(range(first, first + width + 1))
    # A logo may shine on a blank frame.
    blank = (flat.max(axis=1) < 2 * BLACK) | ((flat.mean(axis=1) < DARK) & (flat.std(axis=1) < PLAIN))
    cut = change > CUT * (_near(change, 1) + 1)
    cuts = [int(i) + 1 for i in np.flatnonzero(cut & ~blank[1:] & ~blank[:-1]) if i + 1 not in in_flash]
    return cuts, sorted(flashes)


def _difference(flat: NDArray[np.uint8], gap: int) -> FloatArray:
    """Mean absolute difference of frames `gap` apart: (n, pixels) -> (n - gap,)."""
    return np.array(
        [cv2.norm(a, b, cv2.NORM_L1) / a.size for a, b in zip(flat[gap:], flat[:-gap], strict=True)], np.float32
    )


def _near(change: FloatArray, width: int) -> FloatArray:
    """The greatest of the changes around each group of `width` successive ones: (n,) -> (n - width + 1,)."""
    pad = np.concatenate([np.zeros(NEAR, np.float32), change, np.zeros(NEAR, np.float32)])
    windows = np.lib.stride_tricks.sliding_window_view(pad, width + 2 * NEAR)
    return np.asarray(np.maximum(windows[:, :NEAR].max(axis=1), windows[:, NEAR + width :].max(axis=1)), np.float32)
