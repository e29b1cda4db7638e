"""Frames a second of the obvious script and of this project, in turn, on one machine.

    make bench        or        python benchmarks/features.py --clips 6 --rounds 3

The obvious script decodes a clip with OpenCV and calls `model.predict` on its frames, as users write it. This
project's road decodes the same clip and runs the traced backbone. Same clips, same weights, same features
(checked). The two take turns, so that a busy machine slows both; the ratio is the figure to quote.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from lus import quiet

quiet.import_tensorflow()

import cv2  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

from lus import backbones, clip, params, phantom  # noqa: E402
from lus.clip import SUFFIXES  # noqa: E402

SIZE, LENGTH = 299, 20


def obvious(path: Path, model: keras.Model) -> np.ndarray:
    """All frames into a list, a choice of them, `predict`."""
    capture = cv2.VideoCapture(os.fspath(path))
    frames = []
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        frames.append(cv2.cvtColor(cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB))
    chosen = np.linspace(0, len(frames) - 1, LENGTH).round().astype(int)
    return np.asarray(model.predict(np.array(frames)[chosen], verbose=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="clips; default: phantom clips made for the run")
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "phantom"
        if arguments.folder is None:
            simulate = params.load().simulate
            phantom.simulate_cohort(simulate.model_copy(update={"patients": 2, "clips": 1}), folder)
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)[: arguments.clips]
        compare(paths, arguments.rounds)


def compare(paths: list[Path], rounds: int) -> None:
    """Time both roads over the same clips, in turn, and print medians and their ratio."""
    model = backbones.build("xception", SIZE, "random", seed=1)
    run = backbones.traced(model)
    limits = params.load().limits
    roads: dict[str, Callable[[Path], np.ndarray]] = {
        "model.predict a clip": lambda path: obvious(path, model),
        "this project": lambda path: run(clip.sample(path, [LENGTH], SIZE, limits).frames),
    }
    for path in paths:  # the same work must come out, or its speed says nothing; also the warm-up
        plain, mine = (road(path) for road in roads.values())
        if np.abs(plain - mine).max() > 1e-5 * np.abs(plain).max():
            raise SystemExit(f"{path.name}: the features differ by {np.abs(plain - mine).max():.2g}")
    rates: dict[str, list[float]] = {name: [] for name in roads}
    for _ in range(rounds):
        for path in paths:
            for name, road in roads.items():
                started = time.perf_counter()
                road(path)
                rates[name].append(LENGTH / (time.perf_counter() - started))
    base = statistics.median(rates["model.predict a clip"])
    print(f"{len(paths)} clips, {LENGTH} frames of {SIZE} x {SIZE} each, {rounds} rounds, {os.cpu_count()} cores")
    print(f"{'road':<24}{'frames/s':>10}{'ratio':>8}")
    for name, values in rates.items():
        rate = statistics.median(values)
        print(f"{name:<24}{rate:>10.1f}{rate / base:>8.2f}")


if __name__ == "__main__":
    main()
