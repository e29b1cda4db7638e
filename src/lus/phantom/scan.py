"""The machine: from echoes on the probe's beams to a picture.

Point-spread function, noise, envelope and log compression follow Szabo, *Diagnostic Ultrasound Imaging*
(2nd ed. 2014); speckle Burckhardt 1978 and Wagner et al. 1983.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lus.phantom.patient import Device, Floats, Patient
from lus.phantom.tissue import soft_step

ROWS, BEAMS = 416, 128
SOUND_MM_US = 1.54  # speed of sound in soft tissue


@dataclass(frozen=True)
class Grid:
    """The beams: depth of each row in mm (ROWS, 1), angle of each beam in radians (1, BEAMS)."""

    z: Floats
    angle: Floats

    @property
    def step_mm(self) -> float:
        """From one row to the next, in mm."""
        return float(self.z[1, 0] - self.z[0, 0])


def make_grid(patient: Patient) -> Grid:
    """The beams of a patient's device at the depth chosen for the patient."""
    z = (np.arange(ROWS) + 0.5) * patient.depth_mm / ROWS
    angle = np.linspace(-1, 1, BEAMS) * patient.device.half_angle
    return Grid(z.astype(np.float32)[:, None], angle.astype(np.float32)[None, :])


@dataclass(frozen=True)
class PointSpread:
    """The point-spread function: one axial kernel, and lateral kernels between which the rows are blended."""

    axial: Floats
    lateral: tuple[Floats, ...]
    weights: Floats  # (kernels, ROWS)


def _gauss(sigma: float) -> Floats:
    """A Gaussian kernel of unit energy, so that speckle keeps its power."""
    half = max(1, int(3 * sigma + 0.5))
    kernel = np.exp(-((np.arange(-half, half + 1) / sigma) ** 2) / 2)
    return np.asarray(kernel / np.sqrt((kernel**2).sum()), np.float32)


def make_point_spread(patient: Patient, beams: Grid) -> PointSpread:
    """The pulse's length along the beam and the beam's width at each depth.

    The pulse has some four cycles; the beam of an aperture D focused at F is about
    sqrt((lambda z / D)^2 + (D |1 - z / F| / 4)^2) wide (full width at half maximum), as Szabo's chapters on
    beams have it, narrowest near the focus.
    """
    wave = SOUND_MM_US / patient.mhz
    aperture, focus = 11.0, 0.45 * patient.depth_mm
    z = beams.z[:, 0]
    width = np.sqrt((1.2 * wave * z / aperture) ** 2 + (aperture * np.abs(1 - z / focus) / 4) ** 2)
    pitch = (patient.device.radius_mm + z) * 2 * patient.device.half_angle / BEAMS
    sigma = np.clip(width / 2.355 / pitch, 0.6, 6.0)
    knots = np.geomspace(sigma.min(), sigma.max() * 1.001, 5)
    place = np.interp(np.log(sigma), np.log(knots), np.arange(5))
    weights = np.clip(1 - np.abs(place[None, :] - np.arange(5)[:, None]), 0, 1)
    axial = max(0.7, 4 * wave / 2 / 2.355 / beams.step_mm)
    return PointSpread(_gauss(axial), tuple(_gauss(s) for s in knots), weights.astype(np.float32))


def blur(signal: Floats, psf: PointSpread) -> Floats:
    """Echoes as the probe receives them: (ROWS, BEAMS, 2) -> the same."""
    pulse = cv2.sepFilter2D(signal, -1, np.ones(1, np.float32), psf.axial, borderType=cv2.BORDER_REFLECT)
    out = np.zeros_like(signal)
    for kernel, weight in zip(psf.lateral, psf.weights, strict=True):
        rows = np.flatnonzero(weight)
        if len(rows):
            part = slice(rows[0], rows[-1] + 1)
            wide = cv2.sepFilter2D(
                np.ascontiguousarray(pulse[part]),
                -1,
                kernel,
                np.ones(1, np.float32),
                borderType=cv2.BORDER_REFLECT,
            )
            out[part] += weight[part, None, None] * wide
    return out


def envelope(signal: Floats) -> Floats:
    """(rows, beams, 2) -> (rows, beams)."""
    return np.asarray(cv2.magnitude(signal[..., 0], signal[..., 1]), np.float32)


def draw_gain(patient: Patient, beams: Grid, rng: np.random.Generator) -> Floats:
    """What the machine's gain and the probe's contact with the skin make of an echo: (ROWS, BEAMS) factor."""
    share = beams.angle / patient.device.half_angle
    left, right = rng.uniform(0.6, 1.2, 2)
    lost = rng.uniform(6, 24) * (2 - soft_step((share + left) / 0.2) - soft_step((right - share) / 0.2))
    unlevel = rng.normal(0, 2) * share
    decibel = patient.gain_db + patient.tgc_db_cm * (beams.z - 30) / 10 - lost + unlevel
    return np.asarray(10 ** (decibel / 20), np.float32)


def compress(amplitude: Floats, device: Device) -> Floats:
    """Log compression and grey map: (rows, beams) amplitude, 1 = typical chest wall -> 0..1.

    A typical chest wall comes to lie 23 dB under white.
    """
    decibel = 20 * np.log10(amplitude + np.float32(1e-6))
    grey = np.clip((decibel - 23) / np.float32(device.range_db) + 1, 0, 1) ** np.float32(device.gamma)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), device.smooth), np.float32)


@dataclass(frozen=True)
class Sector:
    """The scan conversion of a device: where on the grid each pixel lies, and what is burnt in."""

    rows: Floats  # (height, width)
    beams: Floats
    inside: Floats  # 0..1
    burnt: Floats  # (height, width) 0..1, the furniture


def make_sector(patient: Patient) -> Sector:
    """Pixels of the picture: beams fan out from the centre of the probe's curvature."""
    device, depth = patient.device, patient.depth_mm
    radius, half = device.radius_mm, device.half_angle
    top, low = radius * np.cos(half), radius + depth
    wide = 2 * low * np.sin(half) * device.crop
    top = top if device.crop == 1 else radius - 0.02 * depth
    scale = max((low - top) / (0.97 * device.height), wide / (0.99 * device.width))
    y = np.arange(device.height)[:, None] * scale + top - 0.01 * device.height * scale
    x = (np.arange(device.width)[None, :] - (device.width - 1) / 2) * scale
    r, angle = np.hypot(x, y), np.arctan2(x, y)
    edge = (
        soft_step((half - np.abs(angle)) * r / scale) * soft_step((r - radius) / scale) * soft_step((low - r) / scale)
    )
    return Sector(
        rows=np.asarray((r - radius) / depth * ROWS - 0.5, np.float32),
        beams=np.asarray((angle / half + 1) / 2 * (BEAMS - 1), np.float32),
        inside=edge * (np.abs(angle) <= half * 1.02),
        burnt=_furniture(device, (radius - top) / scale, depth / scale),
    )


def _furniture(device: Device, first: float, length: float) -> Floats:
    """Depth marks, a focus mark and the device's letter: (height, width) 0..1."""
    chart = np.zeros((device.height, device.width), np.uint8)
    kind = device.name[-1]
    right, top = device.width - 5, max(first, 0)
    count = 5 if kind in "ac" else 10
    for i in range(count + 1):
        y = round(top + i * length / count)
        cv2.line(chart, (right - (6 if i % 5 == 0 else 3), y), (right, y), 150)
    if kind in "ad":
        y = round(top + 0.45 * length)
        cv2.fillPoly(chart, [np.array([[right, y - 4], [right, y + 4], [right - 6, y]], np.int32)], 190)
    if kind in "bc":
        cv2.putText(chart, kind.upper(), (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 170, 1, cv2.LINE_AA)
    return np.asarray(chart / 255, np.float32)


def draw_picture(grey: Floats, place: Sector, device: Device) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Scan conversion: (ROWS, BEAMS) 0..1 -> (height, width, 3) uint8 RGB."""
    fan = cv2.remap(grey, place.beams, place.rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    flat = np.maximum(fan * place.inside, place.burnt)
    return np.asarray(flat[..., None] * np.asarray(device.tint, np.float32) * 255 + 0.5, np.uint8)
