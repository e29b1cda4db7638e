"""Work per clip, spread over processes, of which one that dies or hangs takes down its own job alone."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Generic, Self, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

Job = TypeVar("Job")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (jobs done, jobs in all)."""
MEMORY = 4 << 30
"""Bytes that a limited process may use."""
BROKEN = (BrokenExecutor, CancelledError)
"""What the futures of a pool raise that broke because an idle process of it died."""
REOPENINGS = 3
"""Times that a broken pool is opened anew for one job."""
AHEAD = 64
"""Jobs for each process that `run_jobs` has under way at most: a job that hangs should not keep the others waiting."""
FAILURES = (ProcessExpired, MemoryError, TimeoutError)
"""What the future of a job raises whose process died, used up its memory or its time."""


@dataclass(frozen=True)
class JobLimits(Generic[Job, Result]):
    """Limits on each job, and what becomes of one that passes them.

    Attributes:
        seconds: that a job may take.
        on_failure: called with the job and what its process did, as in "died (signal 11)"; gives the job's result.
        memory: bytes that a process may use (Linux only; elsewhere it is not limited).
    """

    seconds: float
    on_failure: Callable[[Job, str], Result]
    memory: int = MEMORY


def share_progress(progress: Progress | None, number: int, of: int) -> Progress | None:
    """What reports on one of several pieces of work of the same size, as its share of the whole."""
    return (lambda done, total: progress(number * total + done, of * total)) if progress else None


def count_processors() -> int:
    """Those that this process may use; not every system can tell."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def run_jobs(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    progress: Progress | None = None,
    workers: int | None = None,
    limits: JobLimits[Job, Result] | None = None,
) -> list[Result]:
    """Do each job in a process of a pool; the workers end with this process, even when it is killed.

    Args:
        work: a function of its argument alone, at the top level of a module (or a `partial` of one).
        jobs: its arguments.
        progress: called after each job.
        workers: processes; as many as there are processors by default. One works in this process where
            there are no limits.
        limits: on each job; without one, a job whose process dies ends the run.

    Returns:
        The results, in the order of the jobs.

    Raises:
        RuntimeError: the process of a job died, and there are no limits.
    """
    results = []
    for result in _run_in_turn(work, jobs, min(workers or count_processors(), max(len(jobs), 1)), limits):
        results.append(result)
        if progress is not None:
            progress(len(results), len(jobs))
    return results


def _run_in_turn(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, limits: JobLimits[Job, Result] | None
) -> Iterator[Result]:
    if workers == 1 and limits is None:
        yield from map(work, jobs)
        return
    with WorkerPool(workers, limits.memory if limits else None) as processes:
        yield from processes.imap(work, jobs, limits, AHEAD * workers)


class WorkerPool:
    """Processes that do one job each at a time; to be closed after use, or used in a `with` statement.

    They may be asked by several threads at once.
    """

    def __init__(self, count: int, memory: int | None = MEMORY) -> None:
        """Start nothing yet.

        Args:
            count: of processes.
            memory: bytes that each may use; None for no limit.
        """
        self._count, self._memory = count, memory
        self._lock, self._closed = Lock(), False
        self._pool: ProcessPool | None = None
        self._futures: set[ProcessFuture[Any]] = set()

    def run_one(self, work: Callable[[Job], Result], job: Job, limits: JobLimits[Job, Result] | None = None) -> Result:
        """Have a job done, and wait for its result.

        Args:
            work: a function of its argument alone, at the top level of a module (or a `partial` of one).
            job: its argument.
            limits: the job's limits.

        Raises:
            RuntimeError: the job's process died and there are no limits, or the processes have been closed.
        """
        died, broken = False, 0
        while True:
            try:
                result: Result = self._schedule(work, job, limits.seconds if limits else None).result()
                return result
            except BROKEN as error:
                broken += 1
                if broken > REOPENINGS:
                    raise RuntimeError("the worker processes keep dying; free some memory and run it again") from error
            except FAILURES as error:
                if limits is None:
                    raise RuntimeError(f"a worker process {describe_failure(error, None)}") from error
                if died or not isinstance(error, ProcessExpired):
                    return limits.on_failure(job, describe_failure(error, limits.seconds))
                # Something else may have killed it: a job that kills its process does so twice.
                died = True

    def imap(
        self,
        work: Callable[[Job], Result],
        jobs: Iterable[Job],
        limits: JobLimits[Job, Result] | None = None,
        window: int | None = None,
    ) -> Iterator[Result]:
        """Do jobs while the caller is busy with the results of earlier ones.

        Args:
            work: as for `run_one`.
            jobs: its arguments, in any number.
            limits: on each job.
            window: jobs that may be under way or done and not yet fetched, which bounds the memory that results
                take; by default one more than there are processes.

        Yields:
            The results, in the order of the jobs.
        """
        window = window or self._count + 1
        waiting: deque[Future[Result]] = deque()
        # A thread for each process waits for it.
        threads = ThreadPoolExecutor(self._count)
        try:
            for job in jobs:
                waiting.append(threads.submit(self.run_one, work, job, limits))
                if len(waiting) == window:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def warm_up(self) -> None:
        """Start the processes, and wait until they are there."""
        starting = [self._schedule(_do_nothing, None, None) for _ in range(self._count)]
        for future in starting:
            future.result()

    def _schedule(self, work: Callable[[Job], Result], job: Job, seconds: float | None) -> ProcessFuture[Result]:
        with self._lock:
            if self._closed:
                raise RuntimeError("the worker processes have been closed")
            # An idle process that is killed from outside breaks the whole pool.
            if self._pool is None or not self._pool.active:
                self._stop()
                self._pool = open_pool(self._count, self._memory)
            # The clock runs from when a process takes the job, not while it waits for one.
            future = self._pool.schedule(work, args=(job,), timeout=seconds)
            # Those that are done need no farewell.
            self._futures = {one for one in self._futures if not one.done()} | {future}
            return future

    def close(self) -> None:
        """End the processes, whatever they do."""
        with self._lock:
            self._closed = True
            self._stop()

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None
            # A pool that is stopped leaves the threads that wait for its jobs waiting.
            for future in self._futures:
                future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _do_nothing(_: None) -> None:
    """To ask for it is to wait for a process to be there."""


def open_pool(workers: int, memory: int | None) -> ProcessPool:
    """A pool of processes, to be stopped and joined by the caller.

    Args:
        workers: processes.
        memory: bytes that each may use; None for no limit.
    """
    # Spawned, not forked: the caller may hold threads (TensorFlow does), which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    return ProcessPool(workers, initializer=_start_worker, initargs=[memory], context=context)


def describe_failure(error: BaseException, seconds: float | None) -> str:
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
        # A container may have less memory than that: the kernel is to end this process, not the one that asked it.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for ever, and meanwhile write beside a later run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
