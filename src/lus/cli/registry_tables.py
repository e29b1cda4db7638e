"""What the registry's verbs print: tables on the terminal, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lus.cli.tables import COLOURS, finite_or_none, print_fitting, print_json
from lus.cli.validation_tables import tabulate_strata
from lus.registry import gate
from lus.registry.gate import Condition
from lus.registry.journal import AliasChange
from lus.registry.reproduce import TOLERANCE, Figure
from lus.registry.versions import Lineage, VersionRow

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def print_conditions(found: Sequence[Condition], new: ModelVersion, _champion: ModelVersion | None) -> None:
    """Print the conditions of the gate for a new version, a row each."""
    title = f"{new.name} version {new.version} at the gate"
    table = Table("condition", "", Column("found", overflow="fold"), Column("expected", overflow="fold"), title=title)
    for one in found:
        verdict = "[green]passed[/]" if one.passed else "[red]failed[/]"
        table.add_row(one.name, verdict, escape(one.found), escape(one.expected))
    Console().print(table)


def print_conditions_json(found: Sequence[Condition], new: ModelVersion, champion: ModelVersion | None) -> None:
    """Print the conditions of the gate for a new version, judged against the champion, as one JSON object."""
    print_json(
        {
            "name": new.name,
            "version": str(new.version),
            "champion": str(champion.version) if champion else None,
            "passed": not gate.failed(found),
            "conditions": [asdict(one) for one in found],
        }
    )


def print_versions(found: Sequence[VersionRow], name: str) -> None:
    """Print the versions, a row each."""
    rows = [
        {
            "version": one.version,
            "alias": ", ".join(one.aliases),
            "test accuracy": f"{one.accuracy} ({one.interval})" if one.interval else one.accuracy,
            "test balanced": one.balanced_accuracy,
            "protocol": one.protocol,
            "audit": one.audit,
            "data": one.data[:8],
            "commit": one.commit[:8],
            "lineage": one.lineage,
            "age": one.age,
        }
        for one in found
    ]
    print_fitting(rows, ("data", "test balanced", "commit", "protocol", "lineage"), f"Versions of {name}")


def print_versions_json(found: Sequence[VersionRow], name: str) -> None:
    """Print the versions as one JSON object."""
    print_json({"name": name, "versions": [asdict(one) for one in found]})


def print_journal(found: Sequence[AliasChange]) -> None:
    """Print the journal, the oldest first."""
    console = Console()
    for one in found:
        remark = f" ({one.remark})" if one.remark else ""
        console.print(f"{one.number:4d}  {one.outcome or 'under way'}  {escape(f'{one}{remark}')}", highlight=False)
    if not found:
        console.print("nothing was promoted yet", highlight=False)


def print_journal_json(found: Sequence[AliasChange], name: str) -> None:
    """Print the journal as one JSON object."""
    print_json({"name": name, "acts": [asdict(one) for one in found]})


def print_lineage(one: Lineage, name: str, everything: bool) -> None:
    """Print what matters of a version first, then its metrics and audit, and last, where asked for, all the rest."""
    console = Console()
    bears = ", ".join(one.row.aliases) or "no alias"
    _pairs(console, f"{name} version {one.row.version} ({bears})", one.summary)
    _pairs(console, "Test metrics", _figures(one.metrics or {}))
    if one.strata:
        console.print(tabulate_strata(one.strata, "Test clips by stratum"))
    for finding in (one.audit or {}).get("findings", []):
        colour = COLOURS[finding["level"]]
        said = f"{finding['check']}: {finding['sentence']}"
        console.print(f"[{colour}]{finding['level']}[/] {escape(said)}", highlight=False)
    print_journal(one.acts)
    if not everything:
        console.print("`lus show --all` adds hashes, stage outputs and parameters", highlight=False)
        return
    about = {"made": one.row.made, "lineage": one.row.lineage, "MLflow run": one.run_id or "none"}
    _pairs(console, "Where it comes from", about | dict(sorted(one.tags.items())))
    _pairs(console, "What the stages gave (dvc.lock)", one.stages)
    if one.params is not None:
        _pairs(console, "Parameters", _flat(one.params))


def print_lineage_json(one: Lineage, name: str) -> None:
    """Print all that a version comes from as one JSON object."""
    print_json({"name": name} | asdict(one))


def print_metrics(found: Sequence[Figure], title: str) -> None:
    """Print the figures that differ, a row each."""
    table = Table("figure", "stored", "rebuilt", "difference", title=escape(title))
    for one in (one for one in found if one.difference):
        table.add_row(escape(one.name), str(one.stored), str(one.now), f"{one.difference:.2g}")
    if table.row_count:
        Console().print(table)


def print_metrics_json(found: Sequence[Figure], name: str, version: str) -> None:
    """Print all figures as one JSON object, those that do not differ too; a difference is null where one is missing."""
    rows = [asdict(one) | {"difference": finite_or_none(one.difference)} for one in found]
    print_json({"name": name, "version": version, "tolerance": TOLERANCE, "figures": rows})


def _pairs(console: Console, title: str, values: Mapping[str, str]) -> None:
    if values:
        table = Table("", Column("", overflow="fold"), title=escape(title), show_header=False)
        for key, value in values.items():
            table.add_row(escape(key), escape(value))
        console.print(table)


def _figures(metrics: Mapping[str, Any]) -> dict[str, str]:
    bounds = metrics.get("interval", {})
    found = {}
    for name, value in metrics.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, high = (bounds.get(name, {}).get(side) for side in ("low", "high"))
            found[name] = f"{value:.4g}" + (f" ({low:.4g} to {high:.4g})" if None not in (low, high) else "")
    return found


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": str(value)}
    return found
