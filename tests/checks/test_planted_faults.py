"""Faults of more than thirty kinds, planted in a phantom cohort: all are caught, and nothing else is."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lus import phantom
from lus.common import params_file
from lus.common.params import Params
from lus.stages import cohort as cohort_stage
from lus.stages import frames as frames_stage
from tests.conftest import ROOT
from tests.phantoms import SIMULATE

ALL = params_file.load_params(ROOT / "params.yaml")
Array = np.ndarray


def _decoded(path: Path) -> Array:
    capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG)
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return np.stack(frames)


def _write(path: Path, frames: Array, codec: str = "MJPG", fps: float = 20.0) -> None:
    height, width = frames.shape[1:3]
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(os.fspath(path), cv2.CAP_FFMPEG, fourcc, fps, (width, height))
    assert writer.isOpened()
    for frame in np.clip(frames, 0, 255).astype(np.uint8):
        writer.write(frame)
    writer.release()


def _scaled(frames: Array, width: int, height: int) -> Array:
    return np.stack([cv2.resize(frame, (width, height)) for frame in frames])


def _coloured(frames: Array) -> Array:
    height, width = frames.shape[1:3]
    hue = cv2.resize(np.random.default_rng(1).integers(0, 180, (6, 6), np.uint8), (width, height))
    full = np.full((height, width), 140, np.uint8)
    return np.stack(
        [cv2.cvtColor(np.dstack([hue, full, 60 + frame[..., 1] // 2]), cv2.COLOR_HSV2BGR) for frame in frames]
    )


def _desktop(frames: Array, times: int, corner: bool) -> Array:
    n, height, width = frames.shape[:3]
    out = np.full((n, height * times // 2, width * times // 2, 3), 70, np.uint8)
    out[:, ::24] = 150
    top, left = (0, 0) if corner else ((out.shape[1] - height) // 2, (out.shape[2] - width) // 2)
    out[:, top : top + height, left : left + width] = frames
    return out


def _with(frames: Array, where: slice, what: Array | int) -> Array:
    out = frames.copy()
    out[where] = what
    return out


def _letters(frames: Array) -> Array:
    out = frames.copy()
    height, width = frames.shape[1:3]
    for frame in out:
        for line, text in enumerate(("HOSPITAL X  12:30:11", "MI 0.9  TIS 0.2  14 cm")):
            place = (4, int(height * (0.95 - 0.08 * line)))
            cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, width / 640, (255, 255, 255), 1)
    return out


def _marks(frames: Array) -> Array:
    out = frames.copy()
    for frame in out:
        cv2.rectangle(frame, (10, 10), (60, 50), (0, 255, 0), 3)
    return out


Change = Callable[[Array, Array], Array]
PICTURES: dict[str, tuple[str, Change]] = {
    "too few frames": ("frames", lambda f, _: f[:12]),
    "too small": ("side", lambda f, _: _scaled(f, 96, 72)),
    "too large": ("pixels", lambda f, _: _scaled(f[:3], 2600, 2000)),
    "a still image": ("still_share", lambda f, _: np.repeat(f[:1], len(f), axis=0)),
    "frozen after a third": ("still_share", lambda f, _: _with(f, slice(len(f) // 3, None), f[len(f) // 3])),
    "black": ("brightness", lambda f, _: f // 40),
    "white": ("brightness", lambda f, _: 255 - f // 20),
    "flat": ("contrast", lambda f, _: np.full_like(f, 90)),
    "faint": ("contrast", lambda f, _: 60 + f // 16),
    "overexposed": ("brightness", lambda f, _: 200 + f // 5),
    "out of focus": ("sharpness", lambda f, _: np.stack([cv2.GaussianBlur(x, (0, 0), x.shape[1] / 50) for x in f])),
    "a colour film": ("colour", lambda f, _: _coloured(f)),
    "all red": ("saturation", lambda f, _: f * np.array([0.2, 0.2, 1])),
    "wide borders": ("extent", lambda f, _: _desktop(f, 4, corner=False)),
    "a picture in a corner": ("extent", lambda f, _: _desktop(f, 5, corner=True)),
    "spliced from two patients": ("cuts", lambda f, g: np.concatenate([f[:14], g[:14]])),
    "spliced from three parts": ("cuts", lambda f, g: np.concatenate([f[:10], g[:9], f[10:19]])),
    "a white flash": ("flashes", lambda f, _: _with(f, slice(11, 12), 255)),
    "a foreign frame": ("flashes", lambda f, g: _with(f, slice(13, 14), g[:1])),
    "dropouts": ("flashes", lambda f, _: _with(f, slice(9, 11), 0)),
    "a blank middle": ("blank_share", lambda f, _: _with(f, slice(len(f) // 4, len(f) // 2), 0)),
    "a blank end but for its last": ("blank_share", lambda f, _: _with(f, slice(-len(f) // 4, -1), 0)),
}
"""Kind of fault -> the check that must find it, and what it does to a clip's frames (with another patient's)."""

BYTES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "text": ("decode", lambda b: b"a report, not a clip\n" * 99),
    "empty": ("decode", lambda b: b""),
    "a header alone": ("decode", lambda b: b[:300]),
    "noise behind a header": ("decode", lambda b: b[:64] + np.random.default_rng(0).bytes(len(b) - 64)),
    "cut off after a third": ("frames", lambda b: b[: len(b) // 3]),
    "zeros from the middle on": ("frames", lambda b: b[: len(b) // 2] + bytes(len(b) - len(b) // 2)),
}


@dataclass
class Planted:
    """A cohort with faults in it, and what has been planted: path -> check that must find it."""

    folder: Path
    rows: list[dict[str, str]]
    quarantined: dict[str, str]
    reported: dict[str, str]
    pairs: set[frozenset[str]]

    def take(self) -> dict[str, str]:
        """A clip of an .avi device that nothing has been done to; its patient keeps another one."""
        free = (row for row in self.rows if row["path"].endswith("c1.avi") and row["path"] not in self.used)
        row = next(free)
        self.used.add(row["path"])
        return row

    used: set[str]

    def add(self, name: str, of: dict[str, str], frames: Array, codec: str, **changes: str) -> None:
        """A further clip: frames of another one, filed anew."""
        _write(self.folder / name, frames, codec)
        self.rows.append(of | {"path": name} | changes)


def _plant(folder: Path) -> Planted:
    with (folder / "clips.csv").open() as file:
        planted = Planted(folder, list(csv.DictReader(file)), {}, {}, set(), set())
    foreign = _decoded(folder / planted.take()["path"])
    for check, change in PICTURES.values():
        path = planted.take()["path"]
        frames = _decoded(folder / path)
        _write(folder / path, change(frames, _scaled(foreign, frames.shape[2], frames.shape[1])))
        planted.quarantined[path] = check
    for check, damage in BYTES.values():
        path = planted.take()["path"]
        (folder / path).write_bytes(damage((folder / path).read_bytes()))
        planted.quarantined[path] = check
    for name, change in {"overlay_text": _letters, "overlay_colour": _marks}.items():
        path = planted.take()["path"]
        _write(folder / path, change(_decoded(folder / path)))
        planted.reported[path] = name
    _plant_files(planted)
    _plant_copies(planted)
    with (folder / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(planted.rows[0]))
        writer.writeheader()
        writer.writerows(planted.rows)
    return planted


def _plant_files(planted: Planted) -> None:
    gone, dangling, fast = (planted.take()["path"] for _ in range(3))
    (planted.folder / gone).unlink()
    (planted.folder / dangling).unlink()
    (planted.folder / dangling).symlink_to(planted.folder / "nowhere.avi")
    _write(planted.folder / fast, _decoded(planted.folder / fast), fps=1000)
    still = planted.take()
    frames = _decoded(planted.folder / still["path"])
    planted.add("still.mp4", still, np.repeat(frames[:1], len(frames), axis=0), "mp4v")
    planted.quarantined |= {gone: "decode", dangling: "decode", fast: "fps", "still.mp4": "still_share"}


def _plant_copies(planted: Planted) -> None:
    rows = [row for row in planted.rows if row["path"].endswith("c2.avi")]
    one, other = rows[0], next(row for row in rows if row["label"] != rows[0]["label"])
    shutil.copy(planted.folder / one["path"], planted.folder / "contradiction.avi")
    planted.rows.append(other | {"path": "contradiction.avi"})
    planted.quarantined |= {one["path"]: "content", "contradiction.avi": "content"}
    planted.pairs.add(frozenset({one["path"], "contradiction.avi"}))
    again, trimmed = rows[5], rows[6]
    stranger = next(row for row in rows[7:] if row["label"] == again["label"] and row["patient"] != again["patient"])
    planted.add("recoded.mp4", stranger, _decoded(planted.folder / again["path"]), "mp4v")
    frames = _decoded(planted.folder / trimmed["path"])
    small = _scaled(frames[2:-2], frames.shape[2] // 2 * 2 * 2 // 3, frames.shape[1] * 2 // 3)
    relabelled = next(row for row in rows[7:] if row["label"] != trimmed["label"])
    planted.add("trimmed.avi", relabelled, small, "MJPG")
    planted.pairs |= {frozenset({"recoded.mp4", again["path"]}), frozenset({"trimmed.avi", trimmed["path"]})}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Planted, Path, str]:
    """The planted cohort, the folder of what the stages say of it, and their sentence."""
    scratch = tmp_path_factory.mktemp("planted")
    wanted = _loose()
    phantom.simulate_cohort(SIMULATE, scratch / "phantom")
    planted = _plant(scratch / "phantom")
    cohort_stage.run(scratch / "phantom", scratch / "cohort.csv", wanted.cohort, wanted.limits)
    said = frames_stage.run(scratch / "cohort.csv", scratch / "frames", scratch / "checks", wanted)
    return planted, scratch / "checks", said


def _loose() -> Params:
    """The project's parameters, with room for many losses."""
    changes = {
        "cohort": {"max_unusable": 1.0},
        "frames": {"max_quarantined": 1.0},
    }
    return ALL.model_copy(update={name: getattr(ALL, name).model_copy(update=new) for name, new in changes.items()})


def _found(report: Path, name: str) -> dict[str, set[str]]:
    rows = pd.read_csv(report / name)
    return {Path(path).name: set(group["check"]) for path, group in rows.groupby("path")}


@pytest.mark.slow
def test_every_planted_fault_is_caught_by_its_check(checked: tuple[Planted, Path, str]) -> None:
    planted, report, _ = checked
    assert len(PICTURES) + len(BYTES) + 9 >= 30
    quarantine = _found(report, "quarantine.csv")
    missed = {path: check for path, check in planted.quarantined.items() if check not in quarantine.get(path, set())}
    assert missed == {}
    reported = _found(report, "reported.csv")
    assert {path for path in reported if path not in planted.quarantined} == set(planted.reported)
    assert all(check in reported[path] for path, check in planted.reported.items())


@pytest.mark.slow
def test_nothing_else_is_quarantined(checked: tuple[Planted, Path, str]) -> None:
    planted, report, _ = checked
    assert set(_found(report, "quarantine.csv")) == set(planted.quarantined)


@pytest.mark.slow
def test_the_planted_copies_and_no_others_are_near_duplicates(checked: tuple[Planted, Path, str]) -> None:
    planted, report, _ = checked
    pairs = pd.read_csv(report / "near-duplicates.csv")
    assert {
        frozenset({Path(a).name, Path(b).name}) for a, b in zip(pairs["path"], pairs["other_path"], strict=True)
    } == (planted.pairs)


@pytest.mark.slow
def test_no_property_of_the_phantoms_files_tells_the_label(checked: tuple[Planted, Path, str]) -> None:
    _, report, said = checked
    assert not pd.read_csv(report / "shortcuts.csv")["telling"].any()
    assert "alone guesses" not in said
