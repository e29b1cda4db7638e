"""The paper's CNNs on the CPU: which engine each may have, and how long its feature set takes to build.

    dvc repro frames
    python benchmarks/cnns.py parity build/frames              # all public CNNs; or name some: --cnns vgg16 nasnetlarge
    python benchmarks/cnns.py sets build/frames --engine openvino --cnns vgg16

`parity` holds OpenVINO in bf16 and in f32 to Keras, by the pipeline's own gate on frames of the frame set. The engines
take turns at eight frames, so that the ratios of their speeds can be compared on a busy machine. `sets` computes
feature sets in a scratch folder, where no clip is known; `--clips` takes so many, spread evenly. Weights are random,
those of `features.seed`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from lus.common import quiet

quiet.import_tensorflow()

import numpy as np

from lus.clips import frameset
from lus.clips.frameset import FrameSet
from lus.common import params_file
from lus.common.errors import BadInput
from lus.features import backbones, compute, featureset, openvino, parity
from lus.features.openvino import FeatureFunction
from lus.features.parity import ParitySample

SECTION = params_file.load_params(Path(__file__).parent.parent / "params.yaml").features.model_copy(
    update={"weights": "random", "seen": None}
)
CNNS = [one.name for one in backbones.BACKBONES.values() if not one.always_own]
ENGINES = ("openvino-bf16", "openvino-f32")
Result = TypeVar("Result")
TURN = 8
"""Frames of a turn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("parity", "sets"))
    parser.add_argument("frames", type=Path, help="a frame set, as `dvc repro frames` makes it")
    parser.add_argument("--cnns", nargs="+", choices=CNNS, default=CNNS)
    parser.add_argument("--length", type=int, default=20, help="frames of a clip; one of the frame set's lengths")
    parser.add_argument("--engine", default="openvino", help="of the sets, as in features.engine")
    parser.add_argument("--clips", type=int, help="of the sets; default: all")
    arguments = parser.parse_args()
    sampled = frameset.read(arguments.frames)
    for name in arguments.cnns:
        try:
            if arguments.what == "parity":
                print_parity(name, sampled, arguments.length)
            else:
                print_set(name, spread(sampled, arguments.clips), arguments.length, arguments.engine)
        except BadInput as refused:
            print(f"{name}: {refused}")


class Cost(NamedTuple):
    """Seconds, as the clock and as the processors saw them."""

    wall: float
    cpu: float


def print_parity(name: str, sampled: FrameSet, length: int) -> None:
    """What the gate finds for each engine, what a clip costs, and how many times as fast as Keras that is."""
    shown = parity.choose_sample(sampled, length)
    runs, built = timed(lambda: runs_of(name, sampled.size))
    features: dict[str, list[np.ndarray]] = {key: [] for key in runs}
    costs: dict[str, list[Cost]] = {key: [] for key in runs}
    for start in range(0, len(shown.frames), TURN):
        some = shown.frames[start : start + TURN]
        for key, run in runs.items():
            part, cost = timed(lambda run=run, some=some: run(some))  # type: ignore[misc]
            features[key].append(part)
            costs[key].append(cost)
    found = {key: np.concatenate(parts) for key, parts in features.items()}
    # The first turn warms up.
    medians = {key: Cost(*map(statistics.median, zip(*taken[1:], strict=True))) for key, taken in costs.items()}
    clip = {key: f"{one.cpu * length / TURN:.2f} s of processors a clip" for key, one in medians.items()}
    print(f"{name} keras: {clip['keras']}; built in {built.cpu:.0f} s of processors; load {os.getloadavg()[0]:.1f}")
    print(f"{name} keras: one clip less to learn from changes {one_clip_less(found['keras'], shown):.1f} predictions")
    for key in ENGINES:
        agreed = parity.compare_features(found["keras"], found[key], shown.labels, shown.clips)
        ratio = medians["keras"].wall / medians[key].wall
        print(f"{name} {key} {'holds' if agreed.holds else 'refused'}: {agreed}; {clip[key]}; {ratio:.1f} times keras")


def one_clip_less(features: np.ndarray, shown: ParitySample) -> float:
    """How many predictions of all frames change where the linear head of the gate learns from one clip less: the mean.

    So many change between two cohorts that are all but the same; what an engine changes is to be seen beside it.
    """
    changed = []
    for tested in parity.split_clips(shown.labels, shown.clips):
        called = parity.fit_linear_head(features[~tested], shown.labels[~tested])(features[tested])
        for clip in np.unique(shown.clips[~tested]):
            known = ~tested & (shown.clips != clip)
            less = parity.fit_linear_head(features[known], shown.labels[known])(features[tested])
            changed.append((less != called).mean())
    return float(np.mean(changed)) * len(features)


def timed(work: Callable[[], Result]) -> tuple[Result, Cost]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Cost(time.perf_counter() - wall, time.process_time() - cpu)


def runs_of(name: str, size: int) -> dict[str, FeatureFunction]:
    """The CNN on Keras and on each engine of OpenVINO, converted once."""
    seen = backbones.resolve_input_size(name, size, None)
    model = backbones.build(name, size, "random", seen=seen, seed=SECTION.seed)
    with tempfile.TemporaryDirectory() as scratch:
        openvino.save_model(model, Path(scratch) / "cnn.xml")
        compiled = {one: openvino.load_compiled(Path(scratch) / "cnn.xml", one) for one in ENGINES}
    # `load` gives a tuple of what the model gives, which is one thing here.
    return {"keras": backbones.trace(model)} | {
        key: lambda frames, run=run: run(frames)[0] for key, run in compiled.items()
    }


def print_set(name: str, sampled: FrameSet, length: int, engine: str) -> None:
    """What a feature set costs where no clip is known."""
    section = SECTION.model_copy(update={"engine": engine})
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        # Frames are read where they are; the table of clips is the scratch folder's own.
        Path("set").mkdir()
        Path("set/frames").symlink_to(sampled.folder / "frames")
        frameset.write(replace(sampled, folder=Path("set")))
        out = Path(featureset.format_name(name, length))
        made, cost = timed(
            lambda: compute.compute_feature_set(frameset.read(Path("set")), Path("pretrain"), out, section)
        )
    said = f"{made.computed} clips computed on {made.info.engine}"
    print(f"{name}: {cost.wall:.0f} s, {cost.cpu:.0f} s of processors; load {os.getloadavg()[0]:.1f}; {said}")


def spread(sampled: FrameSet, count: int | None) -> FrameSet:
    """So many of the clips, evenly spread; by default all."""
    every = len(sampled.clips)
    rows = np.unique(np.linspace(0, every - 1, count or every).round().astype(int))
    return replace(sampled, folder=sampled.folder.absolute(), clips=sampled.clips.iloc[rows].reset_index(drop=True))


if __name__ == "__main__":
    main()
