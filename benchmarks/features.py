"""Features: frames a second of several roads, their memory, and what one clip more costs; in one run on one machine.

    make bench        or        python benchmarks/features.py --rounds 3 --cohorts 12 48 192

The roads: the obvious script, which decodes a clip with OpenCV and calls `model.predict` on its frames, as users write
it; this project on Keras; this project on each engine of OpenVINO. Same clips, same weights (ImageNet's), same features
(checked). They take turns, so that a busy machine slows all; the ratios are the figures to quote, on a very busy one
those of the processors' seconds. The memory of each is the peak of a process of its own.

Then whole feature sets, on Keras, over frame sets of so many clips: where all are known, and where one is not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from lus.common import quiet

quiet.import_tensorflow()

import cv2
import keras
import numpy as np
import pandas as pd

from lus import phantom
from lus.checks import survey
from lus.clips import cohort, frameset, sampling
from lus.clips.frameset import FrameSet
from lus.common import params_file
from lus.features import backbones, compute, openvino, parity

SIZE, LENGTH, BATCH = 299, 20, 20
GFLOP = 16.8
"""Of Xception, for a frame of 299 x 299 pixels."""
BASE = "model.predict a clip"


def list_roads() -> tuple[str, ...]:
    """The obvious script and the engines that this CPU has."""
    return BASE, "keras", "openvino-f32", *(("openvino-bf16",) if openvino.has_bf16() else ()), openvino.INT8


ALL = params_file.load_params(Path(__file__).parent.parent / "params.yaml")
Road = Callable[[Path], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="clips; default: phantom clips made for the run")
    parser.add_argument("--clips", type=int, default=6, help="of the roads; 0: leave this part out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", default="imagenet", help="of the roads, as features.weights of params.yaml")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="of each road")
    parser.add_argument(
        "--cohorts", type=int, nargs="*", default=[12, 48, 192], help="sizes; none: leave this part out"
    )
    parser.add_argument("--seen", type=int, default=SIZE, help="pixels a side that the CNN sees in that part")
    parser.add_argument("--alone", help=argparse.SUPPRESS)  # what a process of its own is started for
    arguments = parser.parse_args()
    if arguments.alone:
        alone(arguments)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "phantom"
        if arguments.folder is None and arguments.clips:
            phantom.simulate_cohort(ALL.simulate.model_copy(update={"patients": 2, "clips": 1}), folder, workers=1)
        if arguments.clips:
            compare_roads(survey.find_clips([folder])[: arguments.clips], arguments)
        if arguments.cohorts:
            compare_cohorts(Path(scratch), arguments)


# The roads


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


def decode(path: Path) -> np.ndarray:
    return sampling.sample(path, [LENGTH], SIZE, ALL.limits).frames


def road(name: str, model: keras.Model) -> Road:
    if name == BASE:
        return lambda path: obvious(path, model)
    engine = openvino.resolve_engine(name)
    run = backbones.trace(model) if engine == "keras" else compute.compile_backbone(model, engine)
    return lambda path: next(backbones.compute_features(run, [decode(path)], BATCH))


def build(weights: str) -> keras.Model:
    return backbones.build("xception", SIZE, weights, seed=1)


def compare_roads(paths: list[Path], arguments: argparse.Namespace) -> None:
    """Time the roads over the same clips, in turn, and print medians and their ratios."""
    model = build(arguments.weights)
    roads = {name: road(name, model) for name in list_roads()}
    said = compare_features(paths, roads)  # also the warm-up
    rates: dict[str, list[float]] = {name: [] for name in (*roads, "product")}
    of_cpu: dict[str, list[float]] = {name: [] for name in roads}
    for _ in range(arguments.rounds):
        for path in paths:
            for name, one in roads.items():
                cpu = time.process_time()
                rates[name].append(LENGTH / seconds(lambda one=one, path=path: one(path)))  # type: ignore[misc]
                of_cpu[name].append(LENGTH / (time.process_time() - cpu))
            rates["product"].append(matrix_rate())
    peaks = {
        name: in_own_process(name, paths[0].parent, arguments)["peak"] if arguments.memory else float("nan")
        for name in roads
    }
    base, peak = (statistics.median(rates[name]) for name in (BASE, "product"))
    rounds = arguments.rounds
    print(f"{len(paths)} clips, {LENGTH} frames of {SIZE} x {SIZE} each, {rounds} rounds, {os.cpu_count()} cores")
    print(f"fp32 matrix product: {peak:.0f} GFLOP/s; Xception: {GFLOP} GFLOP a frame")
    print(f"{'road, decoding included':<24}{'frames/s':>10}{'ratio':>7}{'/CPU s':>8}{'ratio':>7}", end="")
    print(f"{'of fp32 product':>17}{'peak MiB':>10}")
    least = statistics.median(of_cpu[BASE])
    for name in roads:
        rate = statistics.median(rates[name])
        cpu = statistics.median(of_cpu[name])
        print(f"{name:<24}{rate:>10.1f}{rate / base:>7.2f}{cpu:>8.1f}{cpu / least:>7.2f}", end="")
        print(f"{rate * GFLOP / peak:>17.0%}{peaks[name]:>10.0f}")
    print(said)


def compare_features(paths: list[Path], roads: dict[str, Road]) -> str:
    """The same work must come out of every road, or its speed says nothing."""
    plain, on_keras, *others = (np.concatenate([one(path) for path in paths]) for one in roads.values())
    if np.abs(plain - on_keras).max() > 1e-5 * np.abs(plain).max():
        raise SystemExit(f"the features on keras differ by {np.abs(plain - on_keras).max():.2g}")
    # Files have no labels: the linear head tells the clips apart, by every second frame, and is asked for the others.
    shown, said = np.repeat(np.arange(len(paths)), LENGTH), []
    for name, features in zip(list(roads)[2:], others, strict=True):
        found = parity.compare_features(plain, features, shown, 2 * shown + np.arange(len(shown)) % 2)
        held = "holds" if found.holds else "refused"
        said.append(f"{openvino.resolve_engine(name)} against keras: {held}, {found}")
    return "\n".join(said)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def matrix_rate(side: int = 4096) -> float:
    """GFLOP/s of a single-precision matrix product."""
    one = np.random.default_rng(0).random((side, side), np.float32)
    return 2 * side**3 / seconds(lambda: one @ one) / 1e9


# Feature sets


class Cost(NamedTuple):
    """Seconds of a feature set, as the clock and as the processors saw them."""

    wall: float
    cpu: float


def frame_set(folder: Path, count: int) -> None:
    """A frame set of so many clips; each shows something else."""
    examples = phantom.draw_examples(SIZE)[:LENGTH]
    ids = [f"{number:064x}" for number in range(count)]
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    for number, clip_id in enumerate(ids):
        file = frameset.frames_file(folder, clip_id)
        if not file.exists():
            np.save(file, np.roll(examples, number + 1, axis=2))
    rows = {"clip_id": ids, "path": [f"{one}.avi" for one in ids], "label": ["ab"[n % 2] for n in range(count)]}
    rest = {"patient": ids, "frames": LENGTH, "fps": 20.0, "width": SIZE, "height": SIZE}
    clips = pd.DataFrame(rows | rest, columns=list(cohort.COLUMNS)).fillna("unknown")
    frameset.write(FrameSet(folder, clips, (LENGTH,), SIZE, ALL.limits))


def compute_set(count: int, seen: int) -> tuple[Cost, int]:
    """A feature set of the first so many clips, in the working directory; what it cost, and how many were computed."""
    frame_set(Path("frames"), count)
    section = ALL.features.model_copy(update={"weights": "random", "seen": seen, "engine": "keras", "batch": BATCH})
    cpu, wall = time.process_time(), time.perf_counter()
    out = Path(f"xception-{LENGTH}")
    made = compute.compute_feature_set(frameset.read(Path("frames")), Path("pretrain"), out, section)
    cost = Cost(time.perf_counter() - wall, time.process_time() - cpu)
    return cost, made.computed


def forget_newest() -> None:
    """Take the clip that was computed last out of the store."""
    newest = max(Path(".lus/features").rglob("*.npy"), key=lambda file: file.stat().st_mtime_ns)
    newest.unlink()


def compare_cohorts(scratch: Path, arguments: argparse.Namespace) -> None:
    """Build the cohorts, each in a process of its own; then compute them where all clips are known, and where not."""
    sizes = sorted(arguments.cohorts)
    built: dict[int, dict[str, float]] = {}
    for size in sizes:
        with inside(scratch / str(size)):
            built[size] = in_own_process(f"build {size}", None, arguments)
    costs: dict[tuple[int, int], list[Cost]] = {(size, new): [] for size in sizes for new in (0, 1)}
    for _ in range(arguments.rounds + 1):
        for (size, new), found in costs.items():
            with inside(scratch / str(size)):
                if new:
                    forget_newest()
                cost, computed = compute_set(size, arguments.seen)
            if computed != new:
                raise SystemExit(f"{computed} clips were computed, {new} expected")
            found.append(cost)
    medians = {
        key: Cost(*(statistics.median(column) for column in zip(*found[1:], strict=True)))
        for key, found in costs.items()
    }  # the first round warms up
    print_cohorts(medians, built, arguments)


def print_cohorts(
    medians: dict[tuple[int, int], Cost], built: dict[int, dict[str, float]], arguments: argparse.Namespace
) -> None:
    least, most = min(built), max(built)
    own = Cost(*((built[most][name] - getattr(medians[most, 0], name)) / most for name in Cost._fields))
    print(f"\nfeature sets on keras, the CNN seeing {arguments.seen} x {arguments.seen} pixels; medians of")
    print(
        f"{arguments.rounds} rounds in turn; a clip's own cost, where {most} are computed: {own.wall:.2f} s,", end=" "
    )
    print(f"{own.cpu:.2f} s of processors")
    print(f"{'':>6}{'none new':>18}{'one new':>18}{'above the least, of own':>25}")
    print(f"{'clips':>6}{'s':>10}{'CPU s':>8}{'s':>10}{'CPU s':>8}{'s':>15}{'CPU s':>10}{'peak MiB':>10}")
    for size, found in built.items():
        none, one = medians[size, 0], medians[size, 1]
        above = [(now - then) / cost for now, then, cost in zip(one, medians[least, 1], own, strict=True)]
        times = f"{none.wall:>10.2f}{none.cpu:>8.2f}{one.wall:>10.2f}{one.cpu:>8.2f}"
        print(f"{size:>6}{times}{above[0]:>15.0%}{above[1]:>10.0%}{found['peak']:>10.0f}")


# Processes of their own


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """The working directory, for a while."""
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        yield


def in_own_process(what: str, folder: Path | None, arguments: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).absolute()), "--alone", what, "--seen", str(arguments.seen)]
    command += ["--weights", arguments.weights]
    command += ["--folder", str(folder.absolute()), "--clips", str(arguments.clips)] if folder else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def alone(arguments: argparse.Namespace) -> None:
    """Do what this process was started for, and print its peak memory in MiB (Linux)."""
    cost = Cost(0, 0)
    if arguments.alone in list_roads():
        one = road(arguments.alone, build(arguments.weights))
        for path in survey.find_clips([arguments.folder])[: arguments.clips]:
            one(path)
    else:
        cost, _ = compute_set(int(arguments.alone.split()[1]), arguments.seen)
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps({"peak": int(found[1]) / 1024 if found else float("nan"), "wall": cost.wall, "cpu": cost.cpu}))


if __name__ == "__main__":
    main()
