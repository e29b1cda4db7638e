"""Work per clip, spread over processes, of which one that dies or hangs takes down its own job alone."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass
from threading import Thread
from typing import Generic, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

Job = TypeVar("Job")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (jobs done, jobs in all)."""
MEMORY = 4 << 30
"""Bytes that a guarded process may use."""
BROKEN = (BrokenExecutor, CancelledError)
"""What the futures of a pool raise that broke because an idle process of it died."""
REOPENINGS = 3
"""Times that a broken pool is opened anew in one run."""
FAILURES = (ProcessExpired, MemoryError, TimeoutError)
"""What the future of a job raises whose process died, used up its memory or its time."""


@dataclass(frozen=True)
class Guard(Generic[Job, Result]):
    """Limits on each job, and what becomes of one that passes them.

    Attributes:
        seconds: that a job may take.
        lost: called with the job and what its process did, as in "died (signal 11)"; gives the job's result.
        memory: bytes that a process may use (Linux only; elsewhere it is not limited).
    """

    seconds: float
    lost: Callable[[Job, str], Result]
    memory: int = MEMORY


def processors() -> int:
    """Those that this process may use; not every system can tell."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def run(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    progress: Progress | None = None,
    workers: int | None = None,
    guard: Guard[Job, Result] | None = None,
) -> list[Result]:
    """Do each job in a process of a pool; the workers end with this process, even when it is killed.

    Args:
        work: a function of its argument alone, at the top level of a module (or a `partial` of one).
        jobs: its arguments.
        progress: called after each job.
        workers: processes; as many as there are processors by default. One works in this process where
            there is no guard.
        guard: limits on each job; without one, a job whose process dies ends the run.

    Returns:
        The results, in the order of the jobs.

    Raises:
        RuntimeError: the process of a job died, and there is no guard.
    """
    results = []
    for result in _each(work, jobs, min(workers or processors(), max(len(jobs), 1)), guard):
        results.append(result)
        if progress is not None:
            progress(len(results), len(jobs))
    return results


def _each(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, guard: Guard[Job, Result] | None
) -> Iterator[Result]:
    if workers == 1 and guard is None:
        yield from map(work, jobs)
        return
    seconds, memory = (guard.seconds, guard.memory) if guard else (None, None)
    pool = open_pool(workers, memory)

    def schedule(jobs: Sequence[Job]) -> list[ProcessFuture]:
        return [pool.schedule(work, args=(job,), timeout=seconds) for job in jobs]

    futures = schedule(jobs)
    again: set[int] = set()
    place, reopened = 0, 0
    try:
        while place < len(jobs):
            try:
                result = futures[place].result()
            except BROKEN as error:
                # An idle worker was killed from outside, which breaks the whole pool.
                reopened += 1
                if reopened > REOPENINGS:
                    raise RuntimeError("the worker processes keep dying; free some memory and run it again") from error
                pool.stop()
                pool.join()
                pool = open_pool(workers, memory)
                futures[place:] = schedule(jobs[place:])
                continue
            except FAILURES as error:
                if guard is None:
                    raise RuntimeError(f"a worker process {what_happened(error, None)}") from error
                if isinstance(error, ProcessExpired) and place not in again:
                    # Something else may have killed it: a job that kills its process does so twice.
                    again.add(place)
                    futures[place : place + 1] = schedule(jobs[place : place + 1])
                    continue
                result = guard.lost(jobs[place], what_happened(error, guard.seconds))
            yield result
            place += 1
        pool.close()
    finally:
        pool.stop()
        pool.join()


def open_pool(workers: int, memory: int | None) -> ProcessPool:
    """A pool of processes, to be stopped and joined by the caller.

    Args:
        workers: processes.
        memory: bytes that each may use; None for no limit.
    """
    # Spawned, not forked: the caller may hold threads (TensorFlow does), which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    return ProcessPool(workers, initializer=_start_worker, initargs=[memory], context=context)


def what_happened(error: BaseException, seconds: float | None) -> str:
    """What a job's process did, as in "took more than 60 s"."""
    if isinstance(error, ProcessExpired):
        code = int(error.exitcode or 0)
        return f"died ({f'signal {-code}' if code < 0 else f'exit status {code}'})"
    return "used up its memory" if isinstance(error, MemoryError) else f"took more than {seconds:g} s"


def _start_worker(memory: int | None) -> None:
    import cv2

    cv2.setNumThreads(1)
    if memory is not None and sys.platform == "linux":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for ever, and meanwhile write beside a later run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
