"""Seconds that the checks take, against those of decoding the same clips; both on one core, in one run.

    python benchmarks/checks.py [--folder CLIPS] [--rounds 3]

Decoding is `read` for every frame of a clip, and resizing those of the sequence. The checks need every frame as
pixels; a road without checks would skip the conversion of the frames between, so that its share is shown too.
Fingerprints are for the search for near-duplicates, which the pipeline and `lus check` do and the service does not.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from lus import phantom
from lus.checks import measures, near_duplicates, rules, survey
from lus.clips import decode, sampling
from lus.common import params, params_file

LENGTH, SIZE = 20, 299
PARTS = (
    "skipping the frames between",
    "decoding",
    "thumbnails of all frames",
    "measures and rules",
    "fingerprints",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="clips; default: phantom clips made for the run")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "phantom"
        if arguments.folder is None:
            simulate = params_file.load_params().simulate
            phantom.simulate_cohort(simulate.model_copy(update={"patients": 8, "clips": 1}), folder)
        paths = survey.find_clips([folder])
        compare(paths, arguments.rounds)


def compare(paths: list[Path], rounds: int) -> None:
    """Time the parts over all clips, in turn, and print medians over the rounds and their share of decoding."""
    limits = params_file.load_params().limits
    counts = {path: decode.inspect(path, limits) for path in paths}
    totals = [
        [sum(column) for column in zip(*(one(path, info, limits) for path, info in counts.items()), strict=True)]
        for _ in range(rounds)
    ]
    medians = dict(zip(PARTS, (statistics.median(column) for column in zip(*totals, strict=True)), strict=True))
    checked = medians[PARTS[2]] + medians[PARTS[3]]
    frames = sum(info.frames for info in counts.values())
    print(f"{len(paths)} clips, {frames} frames, {LENGTH} of each clip kept; seconds, medians of {rounds} rounds")
    medians = {**medians, "statistics": checked, "all of it": checked + medians["fingerprints"]}
    for name, seconds in medians.items():
        print(f"{name:30} {seconds:8.2f}  {seconds / medians['decoding']:6.1%}")


def one(path: Path, info: decode.ClipInfo, limits: params.Limits) -> tuple[float, float, float, float, float]:
    """Seconds for one clip of each of the parts."""
    indices = sampling.sample_indices(info.frames, LENGTH)
    times = [time.perf_counter()]
    _read(path, indices, info.frames, skip=True)
    times.append(time.perf_counter())
    everything = _read(path, indices, info.frames, skip=False)
    times.append(time.perf_counter())
    thumbnails = np.stack([sampling.make_thumbnail(frame) for frame in everything])
    times.append(time.perf_counter())
    sample = sampling.Sample(info, indices, np.stack([_square(everything[index]) for index in indices]), thumbnails)
    begun = time.perf_counter()
    frames = measures.measure_frames(sample.frames)
    values = measures.measure_clip(sample, frames, rules.find_blank(frames, limits))
    rules.find_broken(values, rules.make_rules(limits, LENGTH))
    measuring = time.perf_counter() - begun
    begun = time.perf_counter()
    near_duplicates.hash_frames(sample.frames)
    hashing = time.perf_counter() - begun
    skipping, decoding, shrinking = (after - before for before, after in itertools.pairwise(times))
    return skipping, decoding, shrinking, measuring, hashing


def _read(path: Path, indices: np.ndarray, count: int, skip: bool) -> list[np.ndarray]:
    capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG)
    kept, wanted = [], set(indices.tolist())
    for position in range(count):
        capture.grab()
        if skip and position not in wanted:
            continue
        kept.append(capture.retrieve()[1])
        if position in wanted:
            _square(kept[-1])
    return kept


def _square(frame: np.ndarray) -> np.ndarray:
    small = cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))


if __name__ == "__main__":
    main()
