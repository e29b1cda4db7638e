"""Progress: on a terminal what is under way is shown as it goes, elsewhere nothing is.

A piece of work is either counted, and has a bar, or it is not, and has its name and the time that it takes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Result = TypeVar("Result")
Report = Callable[[int, int], None]
"""Called with (done, in all)."""
Steps = Callable[[str], Report]
"""Called with the name of a step when it begins, which ends the one before; gives what its counts are reported to."""
BAR = 20
"""Columns of a bar: name, bar, counts and times stand in a line of 80."""


def no_progress(_: str) -> Report:
    """Steps that nobody looks at."""
    return lambda _done, _total: None


class _Counted(ProgressColumn):
    """A column that stays empty while nothing is counted: a bar that swings to and fro says nothing."""

    def __init__(self, column: ProgressColumn) -> None:
        self._column = column
        super().__init__(column.get_table_column())

    def render(self, task: Task) -> RenderableType:
        return Text() if task.total is None else self._column(task)


@contextmanager
def steps() -> Iterator[Steps]:
    """A line on standard error for each step; those that are done stay, with the time they took."""
    # A descriptor of its own: what keeps libraries off descriptor 2 (`quiet.silence_stderr`) does not stop the clock.
    with os.fdopen(os.dup(2), "w", encoding="utf-8") as terminal:
        console = Console(file=terminal)
        columns = (
            TextColumn("{task.description}", markup=False),
            _Counted(BarColumn(BAR)),
            _Counted(MofNCompleteColumn()),
            TimeElapsedColumn(),
            _Counted(TimeRemainingColumn()),
        )
        # What is printed meanwhile stands above the bars, unless it goes to a file: there it belongs.
        to_terminal = sys.stdout.isatty()
        shown = Progress(*columns, console=console, disable=not terminal.isatty(), redirect_stdout=to_terminal)

        def begin(name: str) -> Report:
            if shown.task_ids:
                shown.stop_task(shown.task_ids[-1])
            task = shown.add_task(name, total=None)
            shown.refresh()
            return lambda done, total: shown.update(task, completed=done, total=total)

        try:
            with shown:
                yield begin
        finally:
            # A library's log that was opened meanwhile goes on writing by way of this console.
            console.file = sys.stderr


@contextmanager
def bar(description: str) -> Iterator[Report]:
    """One step; gives a function to call with (done, in all)."""
    with steps() as step:
        yield step(description)


def with_bar(description: str, work: Callable[[Report], Result]) -> Result:
    """Do a piece of work that reports (done, in all), with a bar."""
    with bar(description) as report:
        return work(report)
