"""The damaged clips: whole ones of many containers, and for each number one way of damaging one of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.uid import JPEG2000Lossless

from lus.common import params_file, quiet
from lus.phantom.clip import simulate_clip
from lus.phantom.cohort import clip_name, plan_patients, write_video
from tests.clips import dicom_files
from tests.fuzz import mutations

ROOT = Path(__file__).parents[2]
CONTAINERS = {"mp4": "mp4v", "webm": "VP80", "mpeg": "PIM1", "mkv": "XVID", "wmv": "WMV2"}
"""Containers that the phantom does not write, with codecs that OpenCV's wheels hold everywhere."""
REAL = "jannisborn/covid19_ultrasound/data/pocus_videos/convex"


@dataclass(frozen=True)
class Case:
    """One damaged clip: `seed`, `number` and the bytes of the two whole clips are all it depends on."""

    seed: int
    number: int
    kind: str
    whole: Path
    other: Path

    @property
    def name(self) -> str:
        return f"{self.number:05d}-{self.kind.replace(' ', '-').replace(',', '')}{self.whole.suffix.lower()}"

    def write(self, folder: Path) -> Path:
        """Write the damaged clip."""
        rng = np.random.default_rng([self.seed, self.number, 1])
        path = folder / self.name
        path.write_bytes(mutations.damage(self.kind, self.whole.read_bytes(), rng, self.other.read_bytes()))
        return path


def make_cases(wholes: Sequence[Path], seed: int, count: int) -> list[Case]:
    """The first cases of a seed; a case is the same whatever their count."""
    kinds = list(mutations.KINDS)
    cases = []
    for number in range(count):
        drawn = np.random.default_rng([seed, number, 0]).choice(len(wholes), 2, replace=False)
        cases.append(Case(seed, number, kinds[number % len(kinds)], wholes[drawn[0]], wholes[drawn[1]]))
    return cases


def make_wholes(folder: Path, upstream: Path | None = None) -> list[Path]:
    """Whole clips of all containers: a phantom clip of each device, re-encoded ones, and the smallest real ones.

    Args:
        folder: where the phantom's clips are written.
        upstream: a mirror of the public repositories by owner/name, as `LUS_UPSTREAM` names it.
    """
    # More frames than the checks ask for, so that a clip with its end cut off may still be usable.
    simulate = params_file.load_params(ROOT / "params.yaml").simulate.model_copy(
        update={"patients": 4, "clips": 1, "frames": 36}
    )
    # The smallest picture comes last and is the one that is written in the other containers.
    patients = {patient.device.name: patient for patient in plan_patients(simulate)}.values()
    # OpenCV writes notices on codec tags.
    with quiet.silence_stderr():
        for patient in sorted(patients, key=lambda one: -one.device.width * one.device.height):
            frames, device = simulate_clip(patient, 0), patient.device
            write_video(frames, folder / clip_name(patient, 0), device.codec, device.fps)
        for suffix, codec in CONTAINERS.items():
            write_video(frames, folder / f"phantom.{suffix}", codec, 20)
    _write_gif(frames, folder / "phantom.gif")
    _write_dicom(frames, folder)
    return sorted(folder.iterdir()) + (_smallest(upstream / REAL) if upstream else [])


def _write_gif(frames: NDArray[np.uint8], path: Path) -> None:
    small = [Image.fromarray(cv2.resize(frame, None, fx=0.5, fy=0.5)) for frame in frames]
    small[0].save(path, save_all=True, append_images=small[1:], duration=50)


def _write_dicom(frames: NDArray[np.uint8], folder: Path) -> None:
    """Uncompressed, and in the codes that are used most; small, for these take the longest to decode."""
    small = np.stack([cv2.resize(frame, None, fx=0.5, fy=0.5) for frame in frames])
    height, width = small.shape[1:3]
    whole = [dicom_files.region(0, 0, width - 1, height - 1)]

    def made() -> Dataset:
        return dicom_files.dataset(small, SequenceOfUltrasoundRegions=whole)

    dicom_files.save(made(), folder / "phantom-plain.dcm")
    dicom_files.save(dicom_files.baseline(made(), small), folder / "phantom-jpeg.dcm")
    dicom_files.save(dicom_files.compressed(made(), JPEG2000Lossless), folder / "phantom-jpeg2000.dcm")


def _smallest(folder: Path, each: int = 2) -> list[Path]:
    """Of every container."""
    by_suffix: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        by_suffix[path.suffix.lower()].append(path)
    return [path for suffix in sorted(by_suffix) for path in by_suffix[suffix][:each]]
