"""What `lus doctor` prints: a table, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lus.cli.doctor import CheckResult
from lus.cli.tables import print_json

COLOURS = {"ok": "green", "missing": "red", "note": "yellow"}


def print_results(found: Sequence[CheckResult]) -> None:
    """Print the results, a row each, with the advice under what was found."""
    table = Table("", "", Column("found", overflow="fold"), Column("expected", overflow="fold"), title="This machine")
    for one in found:
        advice = f"\n[dim]{escape(one.advice)}[/]" if one.advice else ""
        state = f"[{COLOURS[one.state]}]{one.state}[/]"
        table.add_row(escape(one.name), state, f"{escape(one.found)}{advice}", escape(one.expected))
    console = Console()
    console.print(table)
    if all(one.state != "missing" for one in found):
        console.print("all that the project needs is here; a note concerns one job alone", highlight=False)


def print_results_json(found: Sequence[CheckResult]) -> None:
    """Print the results as one JSON object."""
    print_json({"ready": all(one.state != "missing" for one in found), "checks": [asdict(one) for one in found]})
