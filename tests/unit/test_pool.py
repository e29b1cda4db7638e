from __future__ import annotations

import multiprocessing

import pytest

from lus import pool


def _square(number: int) -> int:
    if number == 13:
        raise ValueError("unlucky")
    return number * number


def _worker(_: int) -> bool:
    return multiprocessing.parent_process() is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs_with_progress(workers: int) -> None:
    calls: list[tuple[int, int]] = []
    results = pool.run(_square, range(12), lambda done, total: calls.append((done, total)), workers)
    assert results == [number * number for number in range(12)]
    assert calls == [(done, 12) for done in range(1, 13)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_job_is_raised(workers: int) -> None:
    with pytest.raises(ValueError, match="unlucky"):
        pool.run(_square, [1, 13, 2], workers=workers)


def test_two_workers_are_processes_of_their_own_and_one_is_this_process() -> None:
    assert pool.run(_worker, [0, 1], workers=2) == [True, True]
    assert pool.run(_worker, [0, 1], workers=1) == [False, False]


def test_no_jobs_give_no_results() -> None:
    assert pool.run(_square, []) == []
