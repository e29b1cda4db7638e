"""The phantom cohort as a folder: its patients, their clips as video files, and `clips.csv`."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lus.common.errors import BadInput
from lus.common.params import Profile, Simulate
from lus.common.workers import Progress, run_jobs
from lus.phantom.clip import simulate_clip
from lus.phantom.patient import DEVICES, Patient, cohort_stream, draw_patient

COLUMNS = ("path", "label", "patient", "source", "probe")
OURS = re.compile(r"p\d+-c\d+\.(avi|mov)|clips\.csv")
Job = tuple[Patient, int, Path]


def apportion(weights: Sequence[float], count: int) -> list[int]:
    """How many of `count` each weight is due, by largest remainder; the first of equals is served first."""
    exact = np.asarray(weights, float) / sum(weights) * count
    due = np.floor(exact).astype(int)
    for i in np.argsort(due - exact, kind="stable")[: count - due.sum()]:
        due[i] += 1
    return [int(n) for n in due]


def plan_patients(params: Simulate) -> list[Patient]:
    """The cohort's patients, in the order of their neutral identifiers.

    Profiles and devices are dealt out by quota and then shuffled, so that a small cohort keeps its
    proportions and no device goes with a label.
    """
    total = params.patients * len(params.labels)
    names = cohort_stream(params.seed).permutation(total) + 1
    digits = max(2, len(str(total)))
    patients = []
    for i, (label, weights) in enumerate(params.labels.items()):
        rng = cohort_stream(params.seed, i)
        kinds: list[Profile] = list(weights)
        counts = apportion(list(weights.values()), params.patients)
        profiles = rng.permutation(np.repeat(np.arange(len(kinds)), counts))
        devices = rng.permutation(np.arange(params.patients) % len(DEVICES))
        for j in range(params.patients):
            ident = f"p{names[i * params.patients + j]:0{digits}d}"
            profile, device = kinds[profiles[j]], DEVICES[devices[j]]
            key = (params.seed, i, j)
            patients.append(draw_patient(ident, label, profile, device, key, params.frames))
    return sorted(patients, key=lambda p: p.id)


def simulate_cohort(
    params: Simulate,
    folder: Path,
    progress: Progress | None = None,
    workers: int | None = None,
) -> None:
    """Write the phantom cohort into `folder`: video files and `clips.csv`, one row a clip (`COLUMNS`).

    The folder appears whole or not at all, in place of an earlier phantom. The bytes depend on `params`
    alone, not on `workers` (default: the processors this process may use). `progress` is called with the
    number of clips done and their total.

    Raises BadInput where `folder` holds anything but an earlier phantom.
    """
    _refuse_foreign(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        jobs = [(patient, clip, partial) for patient in plan_patients(params) for clip in range(params.clips)]
        run_jobs(write_clip, jobs, progress, workers)
        _write_table([(patient, clip) for patient, clip, _ in jobs], partial / "clips.csv")
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def clip_name(patient: Patient, clip: int) -> str:
    """A file name that does not tell the label."""
    return f"{patient.id}-c{clip + 1}.{patient.device.suffix}"


def write_clip(job: Job) -> None:
    """Simulate one clip and write it as a video file: a function of its arguments alone."""
    patient, clip, folder = job
    device = patient.device
    write_video(simulate_clip(patient, clip), folder / clip_name(patient, clip), device.codec, device.fps)


def write_video(frames: NDArray[np.uint8], path: Path, codec: str, fps: float) -> None:
    """(frames, height, width, 3) uint8 RGB -> a video file. Raises OSError where the codec cannot be used."""
    height, width = frames.shape[1:3]
    fourcc = cv2.VideoWriter.fourcc(codec[0], codec[1], codec[2], codec[3])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, (width, height))
    if not writer.isOpened():
        raise OSError(f"{path.name}: OpenCV cannot write {codec} here; install opencv-python-headless with FFmpeg")
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def _write_table(clips: list[tuple[Patient, int]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows((clip_name(p, clip), p.label, p.id, p.device.name, "convex") for p, clip in clips)


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BadInput(f"{folder} is a file, a folder for the phantom cohort is expected; name another place")
    strange = sorted(p.name for p in folder.iterdir() if not OURS.fullmatch(p.name))
    if strange:
        raise BadInput(
            f"{folder} holds {strange[0]!r}, which is no part of a phantom cohort and would be lost; "
            "name an empty or new folder"
        )


def _put_in_place(partial: Path, folder: Path) -> None:
    """Two renames, so that a kill at any moment leaves a whole cohort or none under the folder's name."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
