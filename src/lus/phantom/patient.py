"""Who is scanned and with what: patients, devices, their streams of random numbers and their motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lus.common.params import Profile

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Device:
    """A convex probe with its machine.

    Every codec codes each frame on its own: a codec that predicts one frame from the last would leave, in a
    single frame, a trace of whether the lung slides.
    """

    name: str
    mhz: float
    depth_mm: float
    radius_mm: float  # of the probe's curved face
    half_angle: float  # of the sector, in radians
    width: int
    height: int
    fps: float
    codec: str
    suffix: str
    crop: float  # share of the sector's width that the image keeps
    range_db: float  # dynamic range of the log compression
    gamma: float  # of the grey map; above 1 darkens the mid-tones
    smooth: float  # speckle reduction: sigma in grid cells
    tint: tuple[float, float, float]  # RGB


DEVICES = (
    Device("device-a", 3.5, 120, 60, 0.54, 480, 400, 25, "MJPG", "avi", 1.0, 66, 1.45, 1.2, (1, 1, 1)),
    Device("device-b", 5.0, 100, 50, 0.56, 400, 400, 30, "jpeg", "mov", 0.9, 64, 1.35, 1.6, (0.96, 0.98, 1)),
    Device("device-c", 2.8, 135, 45, 0.60, 320, 240, 20, "MJPG", "avi", 1.0, 68, 1.5, 0.9, (1, 1, 1)),
    Device("device-d", 4.2, 110, 60, 0.50, 420, 360, 18, "FFV1", "avi", 0.8, 65, 1.4, 1.4, (1, 1, 0.97)),
)


@dataclass(frozen=True)
class Patient:
    """A simulated patient: all of it that stays the same from clip to clip."""

    id: str
    label: str
    profile: Profile
    device: Device
    key: tuple[int, int, int]  # seed, index of the label, index among the label's patients
    severity: float  # 0.2..1
    frames: int  # of a clip, on average
    depth_mm: float
    mhz: float
    pleura_mm: float
    gain_db: float
    tgc_db_cm: float  # what the time-gain compensation leaves uncorrected
    breath_hz: float
    slide_mm: float  # peak to peak, where the lung slides

    @property
    def sliding(self) -> bool:
        """Whether the lung moves along the chest wall as the patient breathes."""
        return not self.profile.endswith("-still")

    @property
    def texture(self) -> str:
        """What a single frame shows; a profile and its "-still" twin share it."""
        return self.profile.removesuffix("-still")


def stream(key: tuple[int, int, int], *rest: int) -> np.random.Generator:
    """The generator of one patient (`rest` empty) or of one purpose within it, e.g. (clip, purpose)."""
    seed, *place = key
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, *place, *rest)))


def cohort_stream(seed: int, *rest: int) -> np.random.Generator:
    """The generator of what concerns the patients together."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, *rest)))


def draw_patient(
    ident: str, label: str, profile: Profile, device: Device, key: tuple[int, int, int], frames: int
) -> Patient:
    """A patient whose body and machine settings follow from `key` alone.

    Breathing rates are those of adults at rest to mildly dyspnoeic (12-30 a minute); the pleura lies 15 to
    30 mm under the skin.
    """
    rng = stream(key)
    return Patient(
        id=ident,
        label=label,
        profile=profile,
        device=device,
        key=key,
        severity=float(0.2 + 0.8 * rng.beta(1.8, 1.3)),
        frames=max(24, round(frames * rng.uniform(0.7, 1.3))),
        depth_mm=device.depth_mm * rng.uniform(0.92, 1.08),
        mhz=device.mhz * rng.uniform(0.9, 1.1),
        pleura_mm=float(rng.uniform(15, 30)),
        gain_db=float(rng.normal(0, 1.5)),
        tgc_db_cm=float(rng.normal(-1.1, 0.3)),
        breath_hz=float(rng.uniform(0.2, 0.5)),
        slide_mm=float(rng.uniform(9, 22)),
    )


@dataclass(frozen=True)
class Motion:
    """The course of a clip, one value a frame, all (frames,)."""

    breath: Floats  # -0.5..0.5
    slide_mm: Floats  # of the lung surface along the chest wall
    along_mm: Floats  # of the probe along the chest wall
    press_mm: Floats  # of the probe into the chest wall

    @property
    def frames(self) -> int:
        """How many frames the clip has."""
        return len(self.breath)


def draw_motion(patient: Patient, clip: int) -> Motion:
    """Breathing, heart, probe drift and probe jitter of one clip.

    Twins that differ in sliding alone draw the same numbers. A still lung keeps its lung pulse, the tremor of
    the heart (Lichtenstein et al. 2003, Chest 124:1468).
    """
    rng = stream(patient.key, clip, 1)
    count = max(24, round(patient.frames * rng.uniform(0.86, 1.14)))
    seconds = np.arange(count) / patient.device.fps
    phase = 2 * np.pi * (patient.breath_hz * rng.uniform(0.9, 1.1) * seconds + rng.uniform())
    breath = 0.5 * np.cos(phase - 0.35 * np.sin(phase))  # expiration takes longer than inspiration
    beat = 2 * np.pi * (rng.uniform(1.0, 1.8) * seconds + rng.uniform())
    pulse = rng.uniform(0.05, 0.35) * np.sin(beat) ** 3
    jitter = _wander(rng, count, 0.12)
    drift = rng.normal(0, 1.2) * (seconds - seconds.mean())
    slide = patient.slide_mm * breath if patient.sliding else np.zeros(count)
    return Motion(
        breath=breath.astype(np.float32),
        slide_mm=(slide + pulse).astype(np.float32),
        along_mm=(drift + jitter).astype(np.float32),
        press_mm=(_wander(rng, count, 0.1) + 0.3 * pulse).astype(np.float32),
    )


def _wander(rng: np.random.Generator, count: int, step_mm: float) -> NDArray[np.float64]:
    """A random walk that is drawn back to zero, so that a hand stays where it is: (count,) mm."""
    place = np.zeros(count)
    steps = rng.normal(0, step_mm, count)
    for i in range(1, count):
        place[i] = 0.93 * place[i - 1] + steps[i]
    return place
