"""One clip: the echoes of each moment, put together from tissue, motion and machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lus.phantom.patient import Floats, Motion, Patient, draw_motion, stream
from lus.phantom.scan import (
    Grid,
    PointSpread,
    blur,
    compress,
    draw_gain,
    draw_picture,
    envelope,
    make_grid,
    make_point_spread,
    make_sector,
)
from lus.phantom.tissue import PERIOD_MM, PITCH_MM, ROW_MM, Lung, Wall, build_lung, build_wall, soft_step


@dataclass(frozen=True)
class Scene:
    """All that a clip's frames have in common, and its motion."""

    patient: Patient
    clip: int
    beams: Grid
    psf: PointSpread
    gain: Floats  # (ROWS, BEAMS)
    wall: Wall
    lung: Lung
    motion: Motion
    noise: Floats  # (ROWS, 1) amplitude of the electronic noise


@dataclass(frozen=True)
class Moment:
    """Where things lie in one frame: places along the chest wall and depths, in mm."""

    wall_at: Floats  # (1, BEAMS)
    lung_at: Floats  # (1, BEAMS)
    pleura: Floats  # (1, BEAMS) depth of the parietal pleura
    surface: Floats  # (1, BEAMS) depth of the lung's own surface


def build_scene(patient: Patient, clip: int) -> Scene:
    """Draw one clip's tissue, motion and machine settings from the patient's stream."""
    beams = make_grid(patient)
    rng = stream(patient.key, clip, 4)
    # Time-gain compensation lifts the noise with depth.
    level = 10 ** ((rng.normal(-50, 4) + 0.16 * (beams.z - 40)) / 20)
    return Scene(
        patient=patient,
        clip=clip,
        beams=beams,
        psf=make_point_spread(patient, beams),
        gain=draw_gain(patient, beams, rng),
        wall=build_wall(patient, clip),
        lung=build_lung(patient, clip),
        motion=draw_motion(patient, clip),
        noise=np.asarray(np.minimum(level, 0.02), np.float32),
    )


def read_along(values: Floats, place: Floats) -> Floats:
    """A periodic map along the chest wall, read at places in mm: (COLUMNS,), (1, n) -> (1, n)."""
    ring = np.append(values, values[0])
    return np.asarray(np.interp(np.mod(place, PERIOD_MM) / PITCH_MM, np.arange(len(ring)), ring), np.float32)


def resample(chart: Floats, rows: Floats, place: Floats) -> Floats:
    """A map read at fractional rows and at places in mm, periodic along the chest wall: (n, m, channels)."""
    ring = np.concatenate([chart, chart[:, :2]], axis=1)
    columns = np.broadcast_to(np.mod(place, PERIOD_MM) / PITCH_MM, rows.shape)
    deep = np.clip(rows, 0, len(chart) - 1)
    out = cv2.remap(ring, np.ascontiguousarray(columns, np.float32), deep, cv2.INTER_LINEAR)
    return np.asarray(out, np.float32)


def locate_structures(scene: Scene, t: int) -> Moment:
    """Where things lie in frame `t`: breathing lifts the chest wall a little, the lung slides along it."""
    p, wall, motion = scene.patient, scene.wall, scene.motion
    reach = scene.beams.angle * (p.device.radius_mm + p.pleura_mm)
    wall_at = reach + motion.along_mm[t]
    lung_at = wall_at + scene.lung.start_mm + scene.lung.follow * motion.slide_mm[t]
    rise = motion.press_mm[t] + 1.2 * motion.breath[t]
    pleura = p.pleura_mm + rise + wall.tilt * wall_at + wall.bow * wall_at**2
    fluid = read_along(wall.effusion, wall_at) * (1 + 0.15 * motion.breath[t])
    surface = pleura + fluid + read_along(scene.lung.relief, lung_at)
    return Moment(*(np.asarray(v, np.float32) for v in (wall_at, lung_at, pleura, surface)))


def simulate_echoes(scene: Scene, t: int) -> Floats:
    """The complex echo field of frame `t` before the machine: (ROWS, BEAMS, 2)."""
    now = locate_structures(scene, t)
    z = scene.beams.z
    depth = z - now.surface
    tissue = resample(scene.lung.field, np.abs(depth) / ROW_MM, now.lung_at)
    speckle, airless = tissue[..., :2], tissue[..., 3]
    below = soft_step(depth / 0.25)
    level = below * (airless * tissue[..., 2] + (1 - airless) * _aerated(scene, now, depth))
    field = speckle * (level + _fluid(now, z))[..., None]
    field += _chest(scene, now) * (1 - below * airless)[..., None]
    line = _pleural_line(scene, now, depth) + below * (1 - airless) * _a_lines(scene, now)
    field += line[..., None] * (np.float32(0.45) * speckle + np.array([0.6, 0], np.float32))
    return _behind_ribs(_under_diaphragm(field, speckle, scene, now, t), scene, now)


def _aerated(scene: Scene, now: Moment, depth: Floats) -> Floats:
    """Under air there is no tissue to see: a diffuse decaying haze, and B-lines that ring on undiminished.

    B-lines are taken to be the ringing of small traps of fluid between air (Soldati et al. 2016), so they
    start at the surface, keep to their beam and show a fine ladder along it.
    """
    lung = scene.lung
    deep = np.maximum(depth, 0)
    strength = read_along(lung.ringing, now.lung_at)
    ladder = 1 + 0.3 * np.sin(2 * np.pi * deep / 1.6 + read_along(lung.ring_phase, now.lung_at))
    haze = lung.haze * np.exp(-deep / lung.haze_mm)
    return np.asarray(haze + 0.42 * strength * ladder * np.exp(-deep / 140), np.float32)


def _a_lines(scene: Scene, now: Moment) -> Floats:
    """Echoes that run again and again between pleura and probe, at multiples of its depth: (ROWS, BEAMS).

    B-lines erase them (Lichtenstein & Meziere 2008).
    """
    lung = scene.lung
    order = scene.beams.z / now.pleura
    nearest = np.maximum(np.round(order), 1)
    width = 0.45 + 0.18 * nearest
    shape = np.exp(-(((order - nearest) * now.pleura / width) ** 2) / 2) * (nearest > 1)
    hidden = 1 / (1 + (read_along(lung.ringing, now.lung_at) / 0.25) ** 2)
    shine = np.minimum(read_along(lung.shine, now.lung_at) ** 3, 1.8)
    decay = 1.1 * lung.echo_a ** (nearest - 1)
    return np.asarray(shape * decay * hidden * shine * _facing(now), np.float32)


def _facing(now: Moment) -> Floats:
    """How squarely each beam meets the pleura, off which a specular echo fades: (1, BEAMS) 0..1."""
    slope = np.gradient(now.pleura[0]) / np.gradient(now.wall_at[0])
    return np.asarray(np.exp(-((slope / 0.12) ** 2) / 2)[None, :], np.float32)


def _pleural_line(scene: Scene, now: Moment, depth: Floats) -> Floats:
    """The bright surface of the lung, and the thin parietal line above an effusion: (ROWS, BEAMS)."""
    bright = read_along(scene.lung.shine, now.lung_at) * (0.35 + 0.65 * _facing(now))
    line = 2.6 * bright * np.exp(-((depth / 0.6) ** 2) / 2)
    apart = soft_step((now.surface - now.pleura - 2.0) / 0.7)
    parietal = 0.9 * apart * np.exp(-(((scene.beams.z - now.pleura) / 0.5) ** 2) / 2)
    return np.asarray(line + parietal, np.float32)


def _fluid(now: Moment, z: Floats) -> Floats:
    """Effusion is all but echo-free: (ROWS, BEAMS)."""
    return np.asarray(0.012 * soft_step((z - now.pleura) / 0.3) * soft_step((now.surface - z) / 0.3), np.float32)


def _chest(scene: Scene, now: Moment) -> Floats:
    """The chest wall, and its fainter repeats by reverberation below the pleura: (ROWS, BEAMS, 2).

    Near the probe's face its own ringing adds bright parallel bands.
    """
    z = scene.beams.z
    order = z / now.pleura
    layers = scene.wall.layers
    repeat = np.floor(order)
    loss = np.where(repeat == 0, 1.0, 0.10 * 0.45 ** (repeat - 1)).astype(np.float32)
    signal = resample(layers, (order - repeat) * len(layers), now.wall_at) * loss[..., None]
    face = 1.6 * np.exp(-z / 1.8) * (0.6 + 0.4 * np.cos(2 * np.pi * z / 1.5))
    signal[..., 0] += face
    fluid = soft_step((z - now.pleura) / 0.3) * soft_step((now.surface - z) / 0.3)
    return np.asarray(signal * (1 - fluid)[..., None], np.float32)


def _under_diaphragm(field: Floats, speckle: Floats, scene: Scene, now: Moment, t: int) -> Floats:
    """At the lung's base, liver or spleen behind the bright diaphragm, which moves with the breath."""
    organ, z = scene.wall.organ, scene.beams.z
    if organ is None:
        return field
    sideways = organ.side * scene.beams.angle * (scene.patient.device.radius_mm + z)
    deep = np.maximum(z - now.pleura, 0)
    edge = organ.edge_mm + 8 * scene.motion.breath[t] + organ.steep * deep**1.6 / 20
    within = soft_step((sideways - edge) / 0.8) * soft_step((z - now.pleura) / 0.4)
    dome = np.exp(-(((sideways - edge) / 1.0) ** 2) / 2) * soft_step((deep - 4) / 2) * np.exp(-deep / 70)
    bright = dome * read_along(organ.shine, 2 * deep)
    signal = field * (1 - within)[..., None] + speckle * (organ.echo * within + 0.8 * bright)[..., None]
    signal[..., 0] += 0.8 * bright
    return np.asarray(signal, np.float32)


def _behind_ribs(field: Floats, scene: Scene, now: Moment) -> Floats:
    """Bone: a bright convex surface, next to nothing behind it (with the pleura between: the bat sign)."""
    z = scene.beams.z
    for place, share, half in scene.wall.ribs:
        x = now.wall_at - place
        top = share * now.pleura + 0.35 * half * (x / half) ** 2
        over = soft_step((half - np.abs(x)) / 2.2)
        behind = soft_step((z - top) / 0.4) * over
        field = field * (1 - 0.985 * behind)[..., None]
        field[..., 0] += 2.2 * over * np.exp(-(((z - top) / 0.7) ** 2) / 2) * np.exp(-((x / half) ** 2))
    return np.asarray(field, np.float32)


def receive_frames(scene: Scene, times: Iterable[int] | None = None) -> Iterator[Floats]:
    """The envelope of each of these frames, or of all, on the probe's grid: (ROWS, BEAMS), 1 = a typical chest wall.

    There is no averaging over frames (persistence): it smooths what moves, so that one frame would tell
    whether the lung slides.
    """
    rng = stream(scene.patient.key, scene.clip, 5)
    for t in range(scene.motion.frames) if times is None else times:
        signal = blur(simulate_echoes(scene, t) * scene.gain[..., None], scene.psf)
        hiss = rng.standard_normal(signal.shape, np.float32)
        yield envelope(signal + hiss * scene.noise[..., None])


def simulate_clip(patient: Patient, clip: int, times: Iterable[int] | None = None) -> NDArray[np.uint8]:
    """A patient's clip number `clip`: (frames, height, width, 3) uint8 RGB, from its arguments alone.

    `times` are numbers of the frames to make; by default all of the clip. Noise is drawn in the order of making: with
    some frames only, it is not that of the whole clip.
    """
    scene = build_scene(patient, clip)
    place = make_sector(patient)
    frames = [draw_picture(compress(a, patient.device), place, patient.device) for a in receive_frames(scene, times)]
    return np.stack(frames)
