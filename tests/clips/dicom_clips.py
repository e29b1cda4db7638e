"""A clip to be made a DICOM file of, and what the checks' reader makes of such a file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lus.clips import decode
from lus.common import params_file
from lus.common.errors import Unusable
from tests.conftest import ROOT, draw_frames

PARAMS = params_file.load_params(ROOT / "params.yaml")
LIMITS = PARAMS.limits
WIDTH, HEIGHT, COUNT = 160, 120, 24


def _speckle() -> np.ndarray:
    frames = draw_frames(COUNT, WIDTH, HEIGHT, 0)
    frames[..., 2] //= 2
    frames[:, 10:20, 10:30] = (200, 40, 20)
    return frames


FRAMES = _speckle()
"""Grey speckle with a tint and a coloured mark: (count, height, width, 3) RGB."""


def smooth() -> np.ndarray:
    """The same frames without their noise, which no lossy code keeps."""
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in FRAMES])


def decoded(path: Path) -> np.ndarray:
    """All frames, (count, height, width, 3) RGB, as `clip` has them."""
    frames = []
    with decode.open_clip(path) as source:
        while (got := source.read())[0]:
            frames.append(got[1][..., ::-1])
    return np.stack(frames)


def refused(path: Path) -> str:
    """What is said of a clip that cannot be used."""
    with pytest.raises(Unusable) as caught:
        decode.inspect(path, LIMITS)
    return str(caught.value)
