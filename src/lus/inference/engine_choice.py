"""Which engine a classifier is served by: all are held to the stored answers, the fastest that holds is taken."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lus.common import workers
from lus.common.errors import BadInput
from lus.features import openvino
from lus.inference.compiled import (
    ANSWER_FILE,
    CNN_FILE,
    ENGINE_FILE,
    EXAMPLE_FILE,
    QUANTIZED_FILE,
    TOLERANCE,
    CompiledClassifier,
    Parity,
    compare_answers,
)

AUTO = "auto"
"""The engine of `params.yaml` that leaves the choice to this module."""
ROUNDS = 2
"""In which the engines answer every stored clip; the first also warms up."""


@dataclass(frozen=True)
class EngineTrial:
    """What was found of an engine on this machine.

    Attributes:
        engine: its name, as in `params.yaml`.
        parity: its answers to the stored clips beside those of the registered model.
        seconds: the median of a clip.
    """

    engine: str
    parity: Parity
    seconds: float

    def __str__(self) -> str:
        return f"{self.engine}: {self.parity}, {self.seconds:.2f} s a clip"


@dataclass(frozen=True)
class EngineChoice:
    """What was found of all engines: the one that was taken, and the others.

    Attributes:
        chosen: the fastest of those that hold.
        slower: those that hold too.
        refused: those that do not answer as the registered model does.
    """

    chosen: EngineTrial
    slower: tuple[EngineTrial, ...]
    refused: tuple[EngineTrial, ...]

    def __str__(self) -> str:
        others = [f"slower is {one}" for one in self.slower] + [f"refused is {one}" for one in self.refused]
        return "; ".join([f"the fastest engine that answers as registered is {self.chosen}", *others])


class NoEngineHolds(BadInput):
    """No engine answers as the registered model does."""


def list_candidates(engine: str) -> tuple[str, ...]:
    """The engines that are tried: for `auto` all that this CPU has, else the one that is named."""
    if engine != AUTO:
        return (engine,)
    return (openvino.INT8, *(("openvino-bf16",) if openvino.has_bf16() else ()), "openvino-f32")


def try_engines(
    folder: Path, engines: Sequence[str], rounds: int = ROUNDS, progress: workers.Progress | None = None
) -> tuple[EngineTrial, ...]:
    """Ask engines all stored clips, in turns, so that a busy machine slows each alike.

    Args:
        folder: what `CompiledClassifier` reads, for all of these engines.
        engines: their names.
        rounds: in which every stored clip is answered.
        progress: called after each clip.
    """
    made = {name: CompiledClassifier(folder, name) for name in engines}
    frames, stored = (np.load(folder / name, allow_pickle=False) for name in (EXAMPLE_FILE, ANSWER_FILE))
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    answers: dict[str, list[np.ndarray]] = {name: [] for name in engines}
    asked = [(clip, name) for _ in range(rounds) for clip in range(len(frames)) for name in engines]
    for number, (clip, name) in enumerate(asked, 1):
        started = time.perf_counter()
        answers[name].append(made[name].probabilities(frames[clip : clip + 1]))
        seconds[name].append(time.perf_counter() - started)
        if progress is not None:
            progress(number, len(asked))
    given = {name: np.concatenate(found[-len(frames) :]) for name, found in answers.items()}
    return tuple(
        EngineTrial(
            name,
            compare_answers(lambda _, name=name: given[name], frames, stored),  # type: ignore[misc]
            statistics.median(seconds[name][len(frames) :] or seconds[name]),
        )
        for name in engines
    )


def choose_fastest(trials: Sequence[EngineTrial]) -> EngineChoice:
    """The fastest of the engines that answer as the registered model does.

    Raises:
        NoEngineHolds: with what was found of each.
    """
    holding = sorted((one for one in trials if one.parity.holds), key=lambda one: one.seconds)
    if not holding:
        said = "; ".join(map(str, trials))
        raise NoEngineHolds(
            f"no engine answers as the model did when it was registered: {said}; the same labels and probabilities "
            f"within {TOLERANCE} are expected; register the model again"
        )
    return EngineChoice(holding[0], tuple(holding[1:]), tuple(one for one in trials if not one.parity.holds))


def settle_engine(folder: Path, engines: Sequence[str], progress: workers.Progress | None = None) -> EngineChoice:
    """Choose an engine, and leave in a folder what it alone needs.

    Args:
        folder: as in `try_engines`.
        engines: their names.
        progress: called after each clip.

    Raises:
        NoEngineHolds: with what was found of each.
    """
    choice = choose_fastest(try_engines(folder, engines, progress=progress))
    (folder / ENGINE_FILE).write_text(json.dumps({"engine": choice.chosen.engine}) + "\n")
    other = CNN_FILE if openvino.is_quantized(choice.chosen.engine) else QUANTIZED_FILE
    for name in (other, str(Path(other).with_suffix(".bin"))):
        (folder / name).unlink(missing_ok=True)
    return choice
