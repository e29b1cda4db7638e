"""Hold damaged clips to the checks, each in a guarded process: `python -m tests.fuzz --clips 2000 --seed 1`.

A damaged clip is either usable or refused with a reason. The run ends with status 1 where one did anything
else - its process died, hung, used up its memory or raised what is no refusal - or where looking at the same
clips again and again takes more and more memory.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import psutil

from lus.checks import rules
from lus.common import params_file
from lus.common.errors import Unusable
from lus.common.params import Limits
from lus.common.progress import bar
from lus.common.workers import JobLimits, run_jobs
from tests.fuzz.corpus import ROOT, Case, make_cases, make_wholes

Look = Callable[[Path], list[str]]
"""Looks at a clip and gives the checks that it does not pass; may raise Unusable."""
FINE = ("usable", "refused")
WRONG = ("died", "hung", "out of memory", "raised")
MB = 1 << 20
PROCESS = Path("/proc/self")
LEAK_CLIPS, LEAK_PASSES, LEAK_LIMIT = 60, 4, 20 * MB


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged clip.

    Attributes:
        case: the clip.
        what: one of `FINE` or `WRONG`.
        detail: the first check it does not pass, or what happened.
        seconds: that looking at it took.
        process: which worker looked.
        memory: bytes resident in that worker afterwards; 0 where it is gone.
        peak: the most bytes that were resident in it meanwhile.
    """

    case: Case
    what: str
    detail: str = ""
    seconds: float = 0.0
    process: int = 0
    memory: int = 0
    peak: int = 0


@cache
def _limits() -> Limits:
    return params_file.load_params(ROOT / "params.yaml").limits


def examine(path: Path) -> list[str]:
    """Look at a clip as the pipeline and the service do."""
    return [finding.check for finding in rules.examine_clip(path, (20,), 299, _limits()).findings]


def attempt(case: Case, folder: Path, look: Look) -> Outcome:
    """Make one damaged clip, look at it, and remove it."""
    path = case.write(folder)
    _forget_peak()
    start = time.perf_counter()
    try:
        broken = look(path)
        what, detail = ("refused", broken[0]) if broken else ("usable", "")
    except Unusable as error:
        what, detail = "refused", error.findings[0].check
    except MemoryError:
        raise
    except Exception as error:
        what, detail = "raised", f"{type(error).__name__}: {' '.join(str(error).split())}"
    seconds = time.perf_counter() - start
    path.unlink()
    return Outcome(case, what, detail, seconds, os.getpid(), _resident(), _peak())


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _peak() -> int:
    """The most bytes resident since `_forget_peak`; 0 where the system does not tell (Linux does)."""
    if not PROCESS.exists():
        return 0
    (line,) = (line for line in (PROCESS / "status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def _forget_peak() -> None:
    if PROCESS.exists():
        (PROCESS / "clear_refs").write_text("5")


def _lost(case: Case, happened: str, seconds: float) -> Outcome:
    kinds = {"died": "died", "used": "out of memory", "took": "hung"}
    what = kinds[happened.split(maxsplit=1)[0]]
    return Outcome(case, what, happened, seconds if what == "hung" else 0.0)


def attempt_all(cases: Sequence[Case], folder: Path, look: Look, seconds: float, workers: int | None) -> list[Outcome]:
    """Look at each damaged clip in a process that may die without harm."""
    guard = JobLimits(seconds, partial(_lost, seconds=seconds))
    work = partial(attempt, folder=folder, look=look)
    with bar(f"{len(cases)} damaged clips") as progress:
        return run_jobs(work, cases, progress, workers, guard)


def watch_memory(cases: Sequence[Case], folder: Path, look: Look) -> list[int]:
    """Look at the same clips again and again: bytes resident after each pass, the first of which warms up."""
    resident = []
    for _ in range(1 + LEAK_PASSES):
        for case in cases:
            attempt(case, folder, look)
        gc.collect()
        resident.append(_resident())
    return resident


def find_leak(outcomes: Sequence[Outcome], folder: Path, look: Look, seconds: float) -> tuple[str, bool]:
    """Watch the memory of one process over clips that did no harm: what was found, and whether it is a leak."""
    harmless = [outcome.case for outcome in outcomes if outcome.what in FINE]
    if not harmless:
        return "no clip to watch the memory with", False
    count = min(LEAK_CLIPS, max(4, len(harmless) // 16))
    few = harmless[:: max(1, len(harmless) // count)][:count]

    def failed(_: Sequence[Case], happened: str) -> str:
        return happened

    guard: JobLimits[Sequence[Case], list[int] | str] = JobLimits(seconds * len(few), failed)
    work: Callable[[Sequence[Case]], list[int] | str] = partial(watch_memory, folder=folder, look=look)
    (resident,) = run_jobs(work, [few], workers=1, limits=guard)
    if isinstance(resident, str):
        return f"looking at {len(few)} clips again and again: {resident}", True
    grown = resident[-1] - resident[0]
    leaks = grown > LEAK_LIMIT
    passes = ", ".join(f"{one / MB:.0f}" for one in resident)
    found = f"{len(few)} clips looked at {len(resident)} times by one process: {passes} MB resident after each pass"
    judged = f"{'memory keeps growing' if leaks else 'no leak'} ({grown / MB:+.1f} MB, limit {LEAK_LIMIT / MB:+.0f} MB)"
    return f"{found}: {judged}", leaks


def table(outcomes: Sequence[Outcome]) -> str:
    """Counts by kind of damage and outcome, with the seconds of all clips and the greatest of one."""
    columns = (*FINE, *WRONG)
    lines = [f"{'kind of damage':<28}{''.join(f'{name:>14}' for name in columns)}{'seconds':>10}{'greatest':>10}"]
    kinds = dict.fromkeys(outcome.case.kind for outcome in outcomes)
    for name in (*kinds, "all"):
        rows = [outcome for outcome in outcomes if name in (outcome.case.kind, "all")]
        counts = Counter(outcome.what for outcome in rows)
        seconds = [outcome.seconds for outcome in rows]
        numbers = "".join(f"{counts[column]:>14}" for column in columns)
        lines.append(f"{name:<28}{numbers}{sum(seconds):>10.1f}{max(seconds):>10.2f}")
    return "\n".join(lines)


def _refusals(outcomes: Iterable[Outcome]) -> str:
    counts = Counter(outcome.detail for outcome in outcomes if outcome.what == "refused")
    return "refused by check: " + ", ".join(f"{check} {count}" for check, count in counts.most_common())


def _growth(outcomes: Iterable[Outcome], warm: int = 20) -> str:
    """A worker's memory, from when every codec may have been loaded until its end."""
    by_process: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.process:
            by_process.setdefault(outcome.process, []).append(outcome)
    told = []
    for seen in by_process.values():
        start, greatest = seen[min(warm, len(seen) - 1)], max(seen, key=lambda one: one.peak)
        grown = f"{start.memory / MB:.0f} -> {seen[-1].memory / MB:.0f} MB over {len(seen)} clips"
        told.append(f"{grown}, at most {greatest.peak / MB:.0f} MB (number {greatest.case.number})")
    return f"memory of the workers: {'; '.join(told)}"


def report(outcomes: Sequence[Outcome], leak: tuple[str, bool], keep: Path | None) -> int:
    """Print what was found, keep the clips that did harm, and give the exit status."""
    print(table(outcomes), _refusals(outcomes), _growth(outcomes), leak[0], sep="\n")
    wrong = [outcome for outcome in outcomes if outcome.what in WRONG]
    if wrong:
        folder = keep or Path(tempfile.mkdtemp(prefix="lus-fuzz-found-"))
        folder.mkdir(parents=True, exist_ok=True)
        print(*(_accuse(outcome, folder) for outcome in wrong), sep="\n")
    return int(bool(wrong) or leak[1])


def _accuse(outcome: Outcome, folder: Path) -> str:
    case = outcome.case
    upstream = os.environ.get("LUS_UPSTREAM")
    again = f"{f'LUS_UPSTREAM={upstream} ' if upstream else ''}python -m tests.fuzz --seed {case.seed}"
    return (
        f"seed {case.seed}, number {case.number}, {case.kind} of {case.whole.name}: {outcome.detail}\n"
        f"  {case.write(folder)}; {again} --only {case.number} makes it again"
    )


def run(cases: Sequence[Case], look: Look, seconds: float, workers: int | None, keep: Path | None) -> int:
    """Look at all cases and report: the exit status."""
    with tempfile.TemporaryDirectory(prefix="lus-fuzz-") as folder:
        outcomes = attempt_all(cases, Path(folder), look, seconds, workers)
        return report(outcomes, find_leak(outcomes, Path(folder), look, seconds), keep)


def run_one(case: Case, look: Look, seconds: float, keep: Path) -> int:
    """Write one damaged clip where it stays and look at it: the exit status."""
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lus-fuzz-") as folder:
        (outcome,) = attempt_all([case], Path(folder), look, seconds, 1)
    path = case.write(keep)
    print(f"{path}: {case.kind} of {case.whole.name} (with {case.other.name}): {outcome.what} {outcome.detail}")
    return int(outcome.what in WRONG)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n\n")[1])
    parser.add_argument("--clips", type=int, default=2000, help="damaged clips")
    parser.add_argument("--seed", type=int, default=1, help="of the damage")
    parser.add_argument("--seconds", type=float, default=20.0, help="that looking at one clip may take")
    parser.add_argument("--workers", type=int, help="processes; one a processor by default")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="write and look at this damaged clip alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the clips that did harm, and for --only")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None, look: Look = examine) -> int:
    """The command line; LUS_UPSTREAM, where it is set, names the mirror with real clips. Gives the exit status."""
    options = _arguments(given)
    # FFmpeg would say on the terminal, of every clip, what is wrong with it.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    upstream = os.environ.get("LUS_UPSTREAM")
    with tempfile.TemporaryDirectory(prefix="lus-fuzz-") as folder:
        wholes = make_wholes(Path(folder), Path(upstream) if upstream else None)
        if options.only is not None:
            case = make_cases(wholes, options.seed, options.only + 1)[-1]
            return run_one(case, look, options.seconds, options.keep or Path.cwd())
        start = time.perf_counter()
        cases = make_cases(wholes, options.seed, options.clips)
        status = run(cases, look, options.seconds, options.workers, options.keep)
        print(f"{options.clips} damaged clips of {len(wholes)} whole ones, {time.perf_counter() - start:.0f} s")
        return status
