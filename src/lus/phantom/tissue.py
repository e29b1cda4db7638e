"""What lies under the probe: chest wall, lung surface, lung, as maps along the chest wall.

Maps run over depth (rows) and over the way along the chest wall (columns, `PITCH_MM` apart). The columns are
periodic: the lung slides under the probe without an end, and what the probe sees at any one moment is a
window at a uniformly random place of a stationary pattern. That is what makes one frame of a sliding lung
statistically the same as one of a still lung.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lus.phantom.patient import Floats, Patient, stream

PITCH_MM = 0.75
COLUMNS = 256
PERIOD_MM = PITCH_MM * COLUMNS
ROW_MM = 0.3


@dataclass(frozen=True)
class Organ:
    """Liver or spleen beside the lung's base."""

    side: float  # -1 or 1
    edge_mm: float  # where the diaphragm meets the chest wall
    steep: float
    echo: float
    shine: Floats  # (COLUMNS,) brightness along the diaphragm


@dataclass(frozen=True)
class Wall:
    """The chest wall at rest; rows of `layers` run from the skin to the pleura."""

    layers: Floats  # (rows, COLUMNS, 2) complex scatterers times echogenicity
    ribs: tuple[tuple[float, float, float], ...]  # place mm, depth as a share of the pleura's, half width mm
    tilt: float  # pleura: mm of depth per mm along
    bow: float  # pleura: mm of depth per mm2
    effusion: Floats  # (COLUMNS,) mm of fluid between the chest wall and the lung
    organ: Organ | None


@dataclass(frozen=True)
class Lung:
    """The lung; all of it slides together. Rows run from the lung surface down."""

    field: Floats  # (rows, COLUMNS, 4): scatterers re, im; echogenicity of airless lung; share of airless lung
    start_mm: float  # where the window lies before anything moves
    relief: Floats  # (COLUMNS,) mm by which the surface is uneven
    shine: Floats  # (COLUMNS,) brightness of the pleural line
    ringing: Floats  # (COLUMNS,) strength of the B-lines
    ring_phase: Floats  # (COLUMNS,) radians
    haze: float  # of the diffuse echo under an air-filled lung
    haze_mm: float  # its decay
    echo_a: float  # one reverberation's loss, of the A-lines
    follow: float  # share of the slide that the lung takes part in


def noise(rng: np.random.Generator, rows: int, down: float, along: float) -> Floats:
    """Gaussian noise of unit variance, smooth over `down` x `along` cells, periodic: (rows, COLUMNS)."""
    spectrum = np.fft.rfft2(rng.standard_normal((rows, COLUMNS)))
    v, h = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(COLUMNS)[None, :]
    spectrum *= np.exp(-2 * np.pi**2 * ((down * v) ** 2 + (along * h) ** 2))
    smooth = np.fft.irfft2(spectrum, s=(rows, COLUMNS))
    return np.asarray(smooth / (smooth.std() + 1e-9), np.float32)


def ripple(rng: np.random.Generator, along_mm: float) -> Floats:
    """The same along the chest wall alone: (COLUMNS,)."""
    row: Floats = noise(rng, 1, 0.0, along_mm / PITCH_MM)[0]
    return row


def scatterers(rng: np.random.Generator, rows: int) -> NDArray[np.float32]:
    """Fully developed speckle before the point-spread function: circular complex noise of unit power.

    Many scatterers a resolution cell sum to a circular complex Gaussian (Burckhardt 1978, IEEE Trans. Sonics
    Ultrason. 25:1; Wagner et al. 1983, same journal 30:156). A little smoothing along the columns keeps the
    power constant when the map is resampled between them. Returns (rows, COLUMNS, 2).
    """
    return np.stack([noise(rng, rows, 0.5, 0.8), noise(rng, rows, 0.5, 0.8)], axis=-1) * np.float32(0.5**0.5)


def soft_step(x: NDArray[Any]) -> Floats:
    """A step from 0 to 1 around x = 0, as wide as one unit."""
    return np.asarray(0.5 + 0.5 * np.tanh(x), np.float32)


def signed_distance(place_mm: float) -> Floats:
    """Signed distance of each column from a place, over the periodic edge: (COLUMNS,) mm."""
    x = np.arange(COLUMNS) * PITCH_MM - place_mm
    return np.asarray((x + PERIOD_MM / 2) % PERIOD_MM - PERIOD_MM / 2, np.float32)


def build_wall(patient: Patient, clip: int) -> Wall:
    """Skin, fat, fascia, muscle and ribs. Layers are the patient's, scatterers and ribs the clip's."""
    rng = stream(patient.key, clip, 2)
    rows = max(24, round(patient.pleura_mm / ROW_MM))
    layers = scatterers(rng, rows) * _layers(patient, rows)[..., None]
    middle = rng.uniform(-24, 24)
    gap = rng.uniform(34, 52)
    places = [middle, middle - gap * np.sign(middle)][: rng.choice([0, 1, 2], p=[0.45, 0.35, 0.2])]
    return Wall(
        layers=layers,
        ribs=tuple((float(x), float(rng.uniform(0.5, 0.72)), float(rng.uniform(6, 11))) for x in places),
        tilt=float(rng.normal(0, 0.05)),
        bow=float(rng.uniform(0.0, 0.007)),
        effusion=_effusion(patient, rng),
        organ=_organ(patient, rng),
    )


def _layers(patient: Patient, rows: int) -> Floats:
    """Echogenicity between skin and pleura: (rows, COLUMNS)."""
    rng = stream(patient.key, 99)
    u = (np.arange(rows) / rows)[:, None]
    u = u + 0.10 * u * (1 - u) * ripple(rng, 14) + 0.05 * u * (1 - u) * ripple(rng, 5)
    fat, muscle = rng.uniform(0.25, 0.5), rng.uniform(0.5, 0.85)
    stops = [0, 0.07, 0.1, fat, fat + 0.02, 0.93, 1]
    tones = [1.0, 0.9, 0.30, 0.22, 0.6 * muscle, 0.4 * muscle, 0.6]
    echo = np.interp(u, stops, tones)
    fascias = [fat, rng.uniform(fat + 0.05, 0.85), 0.95, *rng.uniform(0.1, 0.9, rng.integers(2, 6))]
    for i, place in enumerate(fascias):
        strength = rng.uniform(0.7, 1.6) if i < 3 else rng.uniform(0.2, 0.9)
        broken = np.clip(0.7 + 0.6 * ripple(rng, 6), 0, 2)
        sway = 0.012 * ripple(rng, 10) + (0 if i < 3 else 0.03) * ripple(rng, 18)
        echo = echo + strength * broken * np.exp(-(((u - place - sway) / rng.uniform(0.008, 0.02)) ** 2) / 2)
    streaks = np.exp(0.6 * noise(rng, rows, 1.0, 10.0) + 0.25 * noise(rng, rows, 8.0, 20.0))
    return np.asarray(echo * streaks, np.float32)


def _effusion(patient: Patient, rng: np.random.Generator) -> Floats:
    """Fluid of some pneumonias, deeper to one side: (COLUMNS,) mm."""
    wet = patient.texture == "consolidation" and stream(patient.key, 98).uniform() < 0.55
    depth = rng.uniform(6, 28) * (0.4 + patient.severity)
    side, edge = rng.choice([-1, 1]), rng.uniform(-10, 25)
    profile = depth * soft_step((edge - side * signed_distance(0)) / 14) * np.clip(1 + 0.15 * ripple(rng, 12), 0, 2)
    return np.asarray(profile if wet else 0 * profile, np.float32)


def _organ(patient: Patient, rng: np.random.Generator) -> Organ | None:
    """Seen where the probe lies low on the chest, as it more often does where the bases are ill."""
    low = rng.uniform() < {"a-lines": 0.1, "b-lines": 0.05, "consolidation": 0.5}[patient.texture]
    organ = Organ(
        side=float(rng.choice([-1, 1])),
        edge_mm=float(rng.uniform(2, 30)),
        steep=float(rng.uniform(-0.4, 1.0)),
        echo=float(rng.uniform(0.08, 0.25)),
        shine=np.asarray(np.clip(1 + 0.6 * ripple(rng, 8), 0.1, 3), np.float32),
    )
    return organ if low else None


def build_lung(patient: Patient, clip: int) -> Lung:
    """The lung of one clip: what ails it follows from the patient's texture and severity."""
    rng = stream(patient.key, clip, 3)
    severity = float(np.clip(patient.severity + rng.normal(0, 0.1), 0.02, 1))
    rows = round(patient.depth_mm / ROW_MM)
    sick = patient.texture != "a-lines"
    rough = (0.25 + severity) if sick else 0.12
    # A consolidation is what the probe was held on; everything else lies anywhere.
    aimed = patient.texture == "consolidation"
    start = PERIOD_MM / 2 + rng.normal(0, 8) if aimed else rng.uniform(0, PERIOD_MM)
    depth, lesion = _lesions(patient, severity, rng)
    shine = np.exp((0.15 + 0.5 * rough) * ripple(rng, 4) + 0.2 * ripple(rng, 15))
    ringing = _b_lines(patient, severity, lesion, rng)
    echo = _airless(depth, rows, patient, rng)
    share = np.broadcast_to(lesion, (rows, COLUMNS))[..., None]
    return Lung(
        field=np.asarray(np.concatenate([scatterers(rng, rows), echo[..., None], share], -1), np.float32),
        start_mm=float(start),
        relief=np.asarray(0.5 * rough * ripple(rng, 3) + 0.5 * rough * ripple(rng, 9), np.float32),
        shine=np.asarray(shine * (1 - 0.75 * lesion), np.float32),
        ringing=ringing,
        ring_phase=np.asarray(4 * ripple(rng, 5), np.float32),
        haze=float(10 ** (rng.normal(-19, 2.5) / 20)),
        haze_mm=float(rng.uniform(7, 20)),
        echo_a=float(rng.uniform(0.28, 0.65) * (0.55 if sick else 1.0)),
        follow=float(rng.uniform(0.3, 0.9)) if aimed else 1.0,
    )


def _b_lines(patient: Patient, severity: float, lesion: Floats, rng: np.random.Generator) -> Floats:
    """Strength of the ring-down under each place of the lung surface: (COLUMNS,).

    A few, up to two a view, are normal; more show interstitial disease, and grow together as it grows worse
    (Volpicelli et al. 2012, Intensive Care Med. 38:577; Soldati et al. 2016, J. Ultrasound Med. 35:1975).
    """
    views = PERIOD_MM / 85
    expected = {
        "a-lines": 1.0 * severity**2,
        "b-lines": 2.0 + 9.0 * severity,
        "consolidation": 0.5 + 2 * severity,
    }
    strength = np.zeros(COLUMNS)
    for _ in range(int(rng.poisson(views * expected[patient.texture]))):
        width = rng.uniform(0.8, 2.0) * (1 + 2.0 * severity * rng.uniform())
        x = signed_distance(rng.uniform(0, PERIOD_MM)) / width
        strength = strength + rng.lognormal(-0.35, 0.45) * np.exp(-(x**2) / 2)
    white = max(0.0, severity - 0.3) if patient.texture == "b-lines" else 0.0
    strength = strength + 0.7 * white * np.clip(1 + 0.6 * ripple(rng, 10), 0, 3) + 0.35 * lesion
    return np.asarray(strength, np.float32)


def _lesions(patient: Patient, severity: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Depth in mm of the airless lung, and whether there is any (0..1): (COLUMNS,) each."""
    depth = np.zeros(COLUMNS, np.float32)
    if patient.texture == "b-lines":
        for _ in range(int(rng.poisson(0.3 + 3.5 * severity))):
            bump = _bump(rng.uniform(0, PERIOD_MM), rng.uniform(3, 9), rng.uniform(3, 10))
            depth = np.maximum(depth, bump)
    if patient.texture == "consolidation":
        for _ in range(1 + int(severity > 0.35) + int(rng.poisson(0.6))):
            place = PERIOD_MM / 2 + rng.normal(0, 14)
            width = 16 + 40 * severity * rng.uniform(0.6, 1.2)
            reach = 16 + 50 * severity * rng.uniform(0.5, 1.2)
            depth = np.maximum(depth, _bump(place, width, reach))
    lesion = np.asarray(1 - np.exp(-((depth / 2.0) ** 2)), np.float32)
    ragged = 1 + 0.22 * ripple(rng, 6) + 0.12 * ripple(rng, 2)
    return np.asarray(depth * np.clip(ragged, 0.3, 2), np.float32), lesion


def _bump(place: float, half_width: float, depth: float) -> Floats:
    """A lens of airless lung: (COLUMNS,) mm."""
    return np.asarray(depth * np.sqrt(np.clip(1 - (signed_distance(place) / half_width) ** 2, 0, None)), np.float32)


def _airless(depth: Floats, rows: int, patient: Patient, rng: np.random.Generator) -> Floats:
    """Echogenicity in and under airless lung: (rows, COLUMNS).

    Airless lung looks like liver; its border with the aerated lung is ragged and bright (shred sign), air in
    its bronchi stays bright (Lichtenstein & Meziere 2008, Chest 134:117).
    """
    d = (np.arange(rows) * ROW_MM)[:, None] - depth - 0.10 * depth * noise(rng, rows, 8, 3)
    inside = soft_step(-d / 0.7)
    tissue = rng.uniform(0.03, 0.1) * np.exp(0.3 * noise(rng, rows, 6, 4))
    if patient.texture == "consolidation":
        tissue = tissue + _bronchograms(depth, rows, patient.severity, rng)
    shred = rng.uniform(0.7, 1.8) * np.clip(0.6 + 0.7 * noise(rng, rows, 6, 4), 0, 3)
    border = shred * np.exp(-((d / rng.uniform(0.8, 2.0)) ** 2) / 2)
    beyond = rng.uniform(0.18, 0.5) * np.exp(-np.clip(d, 0, None) / rng.uniform(14, 40))
    beyond = beyond * np.exp(0.35 * ripple(rng, 4))
    return np.asarray(inside * tissue + border + (1 - inside) * beyond, np.float32)


def _bronchograms(depth: Floats, rows: int, severity: float, rng: np.random.Generator) -> Floats:
    """Bright air in the bronchi, as dots and as branches: (rows, COLUMNS)."""
    chart = np.zeros((rows, COLUMNS), np.float32)
    places = np.flatnonzero(depth > 6)
    if not len(places):
        return chart
    for _ in range(int(rng.poisson(2 + 16 * severity))):
        x = float(rng.choice(places))
        y = rng.uniform(0.15, 0.95) * float(depth[int(x)]) / ROW_MM
        heading, tone = rng.normal(0, 1.0), float(rng.uniform(0.25, 1.2))
        for _ in range(int(rng.choice([1, 2, 8], p=[0.45, 0.3, 0.25]))):
            step = (x + 1.6 * np.sin(heading), y - 3.5 * np.cos(heading))
            cv2.line(chart, (round(x), round(y)), (round(step[0]), round(step[1])), tone, int(rng.integers(1, 3)))
            (x, y), heading = step, heading + rng.normal(0, 0.35)
    return np.asarray(cv2.GaussianBlur(chart, (0, 0), 0.8), np.float32)
