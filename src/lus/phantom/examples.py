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
CLIPS: tuple[Profile, ...] = ("a-lines", "b-lines", "consolidation")
"""Profiles of the example clips."""
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


@functools.cache
def _clip(number: int, times: tuple[int, ...]) -> NDArray[np.uint8]:
    """Frames (times, height, width, 3) of one more patient, whom `draw_examples` does not show."""
    device = DEVICES[number % len(DEVICES)]
    patient = draw_patient(f"c{number}", "", CLIPS[number], device, (SEED, 1, number), frames=28)
    return simulate_clip(patient, 0, times)


def draw_example_clips(length: int, size: int) -> NDArray[np.uint8]:
    """Clips of simulated patients, of three profiles and devices: (3, length, size, size, 3) uint8 RGB.

    A classifier is asked these when it is registered, and every engine that is to answer for it again: they show no
    person, and are the same for all cohorts.

    Args:
        length: frames of each, evenly spaced; where it is longer than the clip, frames come twice.
        size: pixels a side.
    """
    numbers = np.linspace(0, CALIBRATION_TIMES[-1], length).round().astype(int)
    drawn = [_clip(number, tuple(np.unique(numbers).tolist())) for number in range(len(CLIPS))]
    rows = np.searchsorted(np.unique(numbers), numbers)
    clips = [[cv2.resize(clip[row], (size, size), interpolation=cv2.INTER_AREA) for row in rows] for clip in drawn]
    return np.stack([np.stack(one) for one in clips]).astype(np.uint8, copy=False)


def draw_examples(size: int, times: tuple[int, ...] = TIMES) -> NDArray[np.uint8]:
    """Frames of simulated patients, of every profile and device: (10 times, size, size, 3) uint8 RGB.

    Args:
        size: pixels a side.
        times: numbers of the frames of each patient.
    """
    resized = [cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA) for clip in _drawn(times) for one in clip]
    return np.stack(resized).astype(np.uint8, copy=False)
