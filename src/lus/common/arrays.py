"""The kinds of arrays that pass between modules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""Frames of a clip: (length, height, width, 3), uint8, RGB."""
Thumbnails = NDArray[np.uint8]
"""Every frame of a clip, tiny: (frames, 32, 32), uint8, grey."""
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
