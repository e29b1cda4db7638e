"""Frames a second of the obvious script and of this project, in turn, on one machine.

    make bench        or        python benchmarks/features.py --clips 6 --rounds 3

The obvious script decodes a clip with OpenCV and calls `model.predict` on its frames, as users write it. This
project's roads decode the same clip and run the traced backbone, or the one compiled by OpenVINO. Same clips, same
weights, same features (checked). They take turns, so that a busy machine slows all; the ratio is the figure to quote.
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

from lus import backbones, clip, engines, params, phantom  # noqa: E402
from lus.clip import SUFFIXES  # noqa: E402

SIZE, LENGTH = 299, 20
GFLOP = 16.8
"""Of Xception, for a frame of 299 x 299 pixels."""


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
    """Time the roads over the same clips, in turn, and print medians and their ratios."""
    limits = params.load().limits
    clips = {path: clip.sample(path, [LENGTH], SIZE, limits).frames for path in paths}
    model = backbones.build("xception", SIZE, "random", seed=1, calibration=np.concatenate([*clips.values()])[::8])
    on_keras = backbones.traced(model)
    on_openvino, precision = engines.openvino(model)
    roads: dict[str, Callable[[Path], np.ndarray]] = {
        "model.predict a clip": lambda path: obvious(path, model),
        "keras": lambda path: on_keras(clip.sample(path, [LENGTH], SIZE, limits).frames),
        f"openvino {precision}": lambda path: on_openvino(clip.sample(path, [LENGTH], SIZE, limits).frames),
    }
    compare_features(paths, list(roads.values()))  # also the warm-up
    rates: dict[str, list[float]] = {name: [] for name in roads}
    for _ in range(rounds):
        for path in paths:
            for name, road in roads.items():
                started = time.perf_counter()
                road(path)
                rates[name].append(LENGTH / (time.perf_counter() - started))
    base = statistics.median(rates["model.predict a clip"])
    peak = matrix_rate()
    print(f"{len(paths)} clips, {LENGTH} frames of {SIZE} x {SIZE} each, {rounds} rounds, {os.cpu_count()} cores")
    print(f"fp32 matrix product: {peak:.0f} GFLOP/s; Xception: {GFLOP} GFLOP a frame")
    print(f"{'road, decoding included':<26}{'frames/s':>10}{'ratio':>8}{'of fp32 product':>18}")
    for name, values in rates.items():
        rate = statistics.median(values)
        print(f"{name:<26}{rate:>10.1f}{rate / base:>8.2f}{rate * GFLOP / peak:>18.0%}")


def compare_features(paths: list[Path], roads: list[Callable[[Path], np.ndarray]]) -> None:
    """The same work must come out of every road, or its speed says nothing."""
    plain, on_keras, on_openvino = (np.concatenate([road(path) for path in paths]) for road in roads)
    if np.abs(plain - on_keras).max() > 1e-5 * np.abs(plain).max():
        raise SystemExit(f"the features on keras differ by {np.abs(plain - on_keras).max():.2g}")
    labels = np.repeat(np.arange(len(paths)), LENGTH)
    found = engines.parity(plain, on_openvino, labels)
    print(f"openvino against keras: centred cosine {found.cosine:.4f}, {found.changed} of {found.frames} changed")
    engines.refuse_difference(found, "xception", "openvino")


def matrix_rate(side: int = 4096) -> float:
    """GFLOP/s of a single-precision matrix product, the best of five."""
    one = np.random.default_rng(0).random((side, side), np.float32)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        one @ one
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best / 1e9


if __name__ == "__main__":
    main()
