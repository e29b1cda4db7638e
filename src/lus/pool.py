"""Work per clip, spread over processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from threading import Thread
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with (jobs done, jobs in all)."""


def processors() -> int:
    """Those that this process may use; not every system can tell."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def run(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    progress: Progress | None = None,
    workers: int | None = None,
) -> list[Result]:
    """Do each job in a process of a pool; the workers end with this process, even when it is killed.

    Args:
        work: a function of its argument alone, at the top level of a module (or a `partial` of one).
        jobs: its arguments.
        progress: called after each job.
        workers: processes; as many as there are processors by default. One works in this process.

    Returns:
        The results, in the order of the jobs.
    """
    results = []
    for result in _each(work, jobs, min(workers or processors(), max(len(jobs), 1))):
        results.append(result)
        if progress is not None:
            progress(len(results), len(jobs))
    return results


def _each(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    if workers == 1:
        yield from map(work, jobs)
        return
    # Spawned, not forked: the caller may hold threads (TensorFlow does), which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    import cv2

    cv2.setNumThreads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for ever, and meanwhile write beside a later run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
