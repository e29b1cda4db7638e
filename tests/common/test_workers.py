from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lus.common.workers import JobLimits, WorkerPool, run_jobs


def _square(number: int) -> int:
    if number == 13:
        raise ValueError("unlucky")
    return number * number


def _worker(_: int) -> bool:
    return multiprocessing.parent_process() is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs_with_progress(workers: int) -> None:
    calls: list[tuple[int, int]] = []
    results = run_jobs(_square, range(12), lambda done, total: calls.append((done, total)), workers)
    assert results == [number * number for number in range(12)]
    assert calls == [(done, 12) for done in range(1, 13)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_job_is_raised(workers: int) -> None:
    with pytest.raises(ValueError, match="unlucky"):
        run_jobs(_square, [1, 13, 2], workers=workers)


def test_two_workers_are_processes_of_their_own_and_one_is_this_process() -> None:
    assert run_jobs(_worker, [0, 1], workers=2) == [True, True]
    assert run_jobs(_worker, [0, 1], workers=1) == [False, False]


def test_no_jobs_give_no_results() -> None:
    assert run_jobs(_square, []) == []


def _treacherous(what: str) -> str:
    if what == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "leaves":
        os._exit(7)
    if what == "hangs":
        time.sleep(60)
    if what == "hoards":
        return str(len(bytearray(8 << 30)))
    return what


def _lost(job: str, what: str) -> str:
    return f"{job}: {what}"


def test_a_job_that_dies_hangs_or_hoards_takes_nothing_else_with_it() -> None:
    jobs = ["a", "dies", "b", "hangs", "c", "leaves", "hoards", "d"]
    started = time.monotonic()
    results = run_jobs(_treacherous, jobs, workers=2, limits=JobLimits(3.0, _lost))
    assert time.monotonic() - started < 30
    assert results == [
        "a",
        "dies: died (signal 11)",
        "b",
        "hangs: took more than 3 s",
        "c",
        "leaves: died (exit status 7)",
        "hoards: used up its memory",
        "d",
    ]


def _die_once(mark: str) -> str:
    if mark and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return mark


def test_a_job_whose_process_was_killed_by_something_else_is_done_again(tmp_path: Path) -> None:
    jobs = ["", str(tmp_path / "mark"), ""]
    assert run_jobs(_die_once, jobs, workers=2, limits=JobLimits(20.0, _lost)) == jobs


def _kill_idle_sibling(number: int) -> int:
    """Job 0 lets its idle sibling be killed; that breaks the pool."""
    time.sleep(0.3)
    if number == 0:
        parent = psutil.Process().parent()
        others = [child.pid for child in parent.children() if child.pid != os.getpid()] if parent else []
        for other in others:
            if "resource_tracker" not in " ".join(psutil.Process(other).cmdline()):
                os.kill(other, signal.SIGKILL)
        time.sleep(1)
    return number


def test_a_pool_that_breaks_is_opened_anew_and_no_job_is_lost() -> None:
    jobs = [1, 2, 3, 0]
    assert run_jobs(_kill_idle_sibling, jobs, workers=2, limits=JobLimits(30.0, lambda job, what: -1)) == jobs


def _leave_mark(mark: Path) -> Path:
    mark.touch()
    return mark


def _wait_for_files(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and len(list(folder.iterdir())) < count:
        time.sleep(0.05)


def test_no_more_jobs_are_begun_ahead_than_the_window_allows(tmp_path: Path) -> None:
    marks = [tmp_path / str(number) for number in range(12)]
    with WorkerPool(2) as processes:
        results = processes.imap(_leave_mark, marks, window=3)
        for fetched in range(1, 9):
            assert next(results) == marks[fetched - 1]
            # Two wait, done or under way, beside the one that has been fetched.
            _wait_for_files(tmp_path, fetched + 2)
            time.sleep(0.1)
            assert len(list(tmp_path.iterdir())) == fetched + 2
        results.close()


def test_jobs_are_taken_as_they_are_needed_and_those_under_way_end_with_the_processes() -> None:
    taken = []

    def endless() -> Iterator[str]:
        for number in itertools.count():
            taken.append(number)
            yield "a" if number == 0 else "hangs"

    started = time.monotonic()
    with WorkerPool(2) as processes:
        results = processes.imap(_treacherous, endless())
        assert next(results) == "a"
    assert taken == [0, 1, 2]
    assert time.monotonic() - started < 20
    with pytest.raises(RuntimeError, match="have been closed"):
        processes.run_one(_treacherous, "a")


def test_a_program_ends_though_jobs_were_under_way_when_it_closed_their_processes() -> None:
    code = (
        "import time; from lus.common import workers\n"
        "if __name__ == '__main__':\n"
        "    with workers.WorkerPool(2) as processes:\n"
        "        print(next(processes.imap(time.sleep, [0, 600, 600])))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "None\n"


def test_without_a_guard_a_process_that_dies_ends_the_run_with_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"a worker process died \(signal 11\)"):
        run_jobs(_treacherous, ["a", "dies", "b"], workers=2)


def test_a_guard_keeps_even_a_single_worker_out_of_this_process() -> None:
    assert run_jobs(_worker, [0], workers=1, limits=JobLimits(30.0, lambda job, what: False)) == [True]


def _what_ends_it_first(_: int) -> str:
    return Path("/proc/self/oom_score_adj").read_text().strip()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux chooses by this number whom it ends when memory is short")
def test_where_memory_is_short_a_guarded_process_ends_before_the_one_that_asked_it() -> None:
    own = _what_ends_it_first(0)
    found = run_jobs(_what_ends_it_first, [0], workers=1, limits=JobLimits(30.0, lambda job, what: what))
    assert found == ["1000"]
    assert _what_ends_it_first(0) == own


def test_workers_end_with_a_parent_that_is_killed() -> None:
    code = (
        "import os, time; from lus.common import workers\n"
        "if __name__ == '__main__':\n"
        "    processes = workers.open_pool(1, None)\n"
        "    print(processes.schedule(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and _alive(worker):
        time.sleep(0.1)
    assert not _alive(worker)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
