"""Progress bars: on a terminal they move, elsewhere they keep quiet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error; gives a function to call with (done, in all)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def with_bar(description: str, work: Callable[[Callable[[int, int], None]], Result]) -> Result:
    """Do a piece of work that reports (done, in all), with a bar."""
    with bar(description) as report:
        return work(report)
