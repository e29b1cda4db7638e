"""A few frames that are the same for ever: what is fitted to them depends on no cohort."""

from __future__ import annotations

import functools
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from lus.common.params import Profile
from lus.phantom.clip import simulate_clip
from lus.phantom.patient import DEVICES, draw_patient

PATIENTS = 10
"""Twice each profile, and every device at least twice."""
TIMES = (0, 8, 16)
"""Frames of each; the shortest clip has 24."""
CALIBRATION_TIMES = (0, 4, 8, 12, 16, 20)
"""Of each, for what asks for more frames: quantisation."""
SEED = 7321
"""Not that of a cohort: nobody meets these patients anywhere else."""


@functools.cache
def _drawn(times: tuple[int, ...]) -> tuple[NDArray[np.uint8], ...]:
    """Frames (times, height, width, 3) of each patient, in their device's size."""
    profiles = get_args(Profile)
    patients = [
        draw_patient(f"e{i}", "", profiles[i % len(profiles)], DEVICES[i % len(DEVICES)], (SEED, 0, i), frames=28)
        for i in range(PATIENTS)
    ]
    return tuple(simulate_clip(patient, 0, times) for patient in patients)


def draw_examples(size: int, times: tuple[int, ...] = TIMES) -> NDArray[np.uint8]:
    """Frames of simulated patients, of every profile and device: (10 times, size, size, 3) uint8 RGB.

    Args:
        size: pixels a side.
        times: numbers of the frames of each patient.
    """
    resized = [cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA) for clip in _drawn(times) for one in clip]
    return np.stack(resized).astype(np.uint8, copy=False)
