"""What the registry's verbs print: tables on the terminal, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lus.gate import Condition


def conditions(found: Sequence[Condition], title: str) -> None:
    """Print the conditions of the gate, a row each."""
    table = Table("condition", "", Column("found", overflow="fold"), Column("expected", overflow="fold"), title=title)
    for one in found:
        verdict = "[green]passed[/]" if one.passed else "[red]failed[/]"
        table.add_row(one.name, verdict, escape(one.found), escape(one.expected))
    Console().print(table)
