"""Tables on the terminal, and the same as JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lus.common.errors import Unusable

if TYPE_CHECKING:
    from lus.audit.record import Audit
    from lus.audit.table import Verdict
    from lus.checks.survey import CheckedClip, Survey
    from lus.inference.classifier import Prediction
    from lus.inference.patient_answer import PatientAnswer
    from lus.search.compare_runs import RunSummary


Answered = Sequence[tuple[Path, "Prediction | Unusable"]]
"""Clips, each with its answer or its refusal."""


MOST_OTHERS = 20
"""Files that are shown of those that are no clips."""


def print_answers(found: Answered, patients: Sequence[PatientAnswer | None], labels: Sequence[str], title: str) -> None:
    """Print a table of the answers, where there are any; beside each the patient's, where one has several clips."""
    several = any(one is not None and one.clips > 1 for one in patients)
    beside = ["patient, by all clips"] if several else []
    heads = ["clip", "label", *map(escape, labels), *beside]
    table = Table(*heads, title=title, caption="for research, not for diagnosis")
    for (clip, answer), patient in zip(found, patients, strict=True):
        if not isinstance(answer, Unusable):
            probabilities = (f"{answer.probabilities[label]:.3f}" for label in labels)
            cells = [_format_patient(patient)] if several else []
            table.add_row(escape(clip.name), escape(answer.label), *probabilities, *cells)
    if table.row_count:
        Console().print(table)


def _format_patient(one: PatientAnswer | None) -> str:
    """As in "sick 0.812 (3 clips)"; empty where the patient is not known."""
    if one is None:
        return ""
    return f"{escape(one.label)} {one.probabilities[one.label]:.3f} ({one.clips} clip{'' if one.clips == 1 else 's'})"


def print_answers_json(found: Answered, patients: Sequence[PatientAnswer | None]) -> None:
    """Print answers and refusals as a JSON array, each with the answer to the patient where that is known."""
    rows: list[dict[str, object]] = []
    for (clip, answer), patient in zip(found, patients, strict=True):
        rows.append(
            {
                "clip": str(clip),
                "answer": None if isinstance(answer, Unusable) else asdict(answer),
                "problem": str(answer) if isinstance(answer, Unusable) else None,
                "patient": None if patient is None else asdict(patient),
            }
        )
    print_json(rows)


def print_survey(found: Survey) -> None:
    """Print what the checks say: a row a clip, then what concerns the clips together."""
    console = Console()
    console.print(_clips(found.clips))
    if len(found.near_duplicates):
        console.print(_frame("Near-duplicate clips of different patients or labels", found.near_duplicates))
    if len(found.shortcuts):
        telling = found.shortcuts[found.shortcuts["telling"]].drop(columns="telling")
        if len(telling):
            console.print(_frame("What a file alone says of its label (balanced accuracy)", telling))
        else:
            console.print("no property of a file alone tells its label", highlight=False)
    for remark in found.remarks:
        console.print(escape(remark), style="yellow", highlight=False)
    if found.not_clips:
        console.print(_others(found.not_clips))
    usable = sum(one.usable for one in found.clips)
    left_out = len(found.clips) - usable - len(found.refused)
    rest = f", {left_out} left out by a rule" if left_out else ""
    console.print(f"{usable} of {len(found.clips)} clips are usable{rest}", highlight=False)


def _others(files: Mapping[str, str]) -> Table:
    shown = list(files.items())[:MOST_OTHERS]
    more = f"and {len(files) - len(shown)} more: --json lists all" if len(files) > len(shown) else None
    table = Table(Column("file", overflow="fold"), "what it holds", title="Not taken for clips", caption=more)
    for path, why in shown:
        table.add_row(escape(path), escape(why))
    return table


def _clips(clips: Sequence[CheckedClip]) -> Table:
    paths = [Path(str(one.row["path"])).absolute() for one in clips]
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    name = Column("clip", overflow="fold")
    table = Table(name, "frames", "size", "usable", "why not, or what to know", title=f"Clips in {escape(str(folder))}")
    for path, one in zip(paths, clips, strict=True):
        info = one.info
        shape = (str(info.frames), f"{info.width} x {info.height}") if info else ("", "")
        remark = "; ".join(filter(None, [one.reason, *map(str, one.reported)]))
        verdict = "[green]yes[/]" if one.usable else "[red]no[/]"
        table.add_row(escape(str(path.relative_to(folder))), *shape, verdict, escape(remark))
    return table


def _frame(title: str, rows: pd.DataFrame) -> Table:
    table = Table(*(escape(str(name)) for name in rows.columns), title=title)
    for row in rows.itertuples(index=False):
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else escape(str(value)) for value in row))
    return table


def print_survey_json(found: Survey) -> None:
    """Print what the checks say as one JSON object."""
    clips = [
        {
            "path": str(one.row["path"]),
            "usable": one.usable,
            "left_out": one.row.get("kind") == "rule",
            "reason": one.reason,
            "findings": [vars(finding) for finding in one.findings],
            "reported": [vars(finding) for finding in one.reported],
            "info": vars(one.info) if one.info else None,
            "values": {name: round(float(value), 6) for name, value in one.values.items()},
        }
        for one in found.clips
    ]
    body = {
        "clips": clips,
        "remarks": found.remarks,
        "not_clips": found.not_clips,
        "near_duplicates": json.loads(found.near_duplicates.to_json(orient="records")),
        "shortcuts": json.loads(found.shortcuts.to_json(orient="records")),
    }
    print_json(body)


COLOURS = {"leak": "red", "warning": "yellow", "note": "cyan"}


def print_audit(found: Audit) -> None:
    """Print the findings of an audit, what passed and what could not be looked at."""
    console = Console()
    if found.findings:
        table = Table("level", "check", Column("finding", overflow="fold"), title="What the audit found")
        for one in found.findings:
            table.add_row(f"[{COLOURS[one.level]}]{one.level}[/]", one.check, escape(one.sentence))
        console.print(table)
    console.print(f"nothing found by: {', '.join(found.passed) or 'no check'}", highlight=False)
    if found.unknown:
        console.print(f"not known, so not looked at: {', '.join(found.unknown)}", style="yellow", highlight=False)


def print_audit_json(found: Audit) -> None:
    """Print an audit as one JSON object."""
    from lus.audit import stored

    print_json(stored.as_json(found))


def print_verdict(found: Verdict, name: str) -> None:
    """Print the rows of a published table that are suspect, with the folds they must have had."""
    console = Console()
    if found.suspects:
        title = f"{name}: one fold poor, all others perfect"
        table = Table("level", "result", "mean", "deviation", "poor fold", "others", "chance", title=escape(title))
        for finding, one in zip(found.findings, found.suspects, strict=True):
            numbers = (f"{value:.4f}" for value in (one.row.mean, one.row.deviation, one.odd, one.others))
            chance = "not known" if one.p is None else f"{one.p:.0e}"
            level = f"[{COLOURS[finding.level]}]{finding.level}[/]"
            table.add_row(level, escape(one.row.name), *numbers, chance)
        console.print(table)
    console.print(f"{len(found.suspects)} of {found.rows} results; assumed: {found.assumption}", highlight=False)
    if found.leaking:
        console.print(
            "A model that has learnt the test clips in an earlier fold gives such results: ask whether each fold's "
            "training started afresh.",
            highlight=False,
        )


def print_verdict_json(found: Verdict) -> None:
    """Print what was found in a published table as one JSON object."""
    body = {
        "findings": [one.to_json() for one in found.findings],
        "results": found.rows,
        "folds": found.folds,
        "clips_in_a_fold": found.clips,
        "assumption": found.assumption,
    }
    print_json(body)


def print_json(body: dict[str, object] | list[dict[str, object]]) -> None:
    """Print a JSON object or array."""
    json.dump(body, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_runs(found: Sequence[RunSummary]) -> None:
    """Print runs side by side, a column each: what differs first and highlighted, then what they share."""
    heads = [Column(f"{escape(one.name)}\n{one.run_id[:8]}", overflow="fold") for one in found]
    table = Table("", *heads, title="What differs" if len(found) > 1 else None)
    same = Table("", "all of them" if len(found) > 1 else "", title="What they share" if len(found) > 1 else None)
    sections = {
        "": [{"status": one.status} | one.about for one in found],
        "params": [one.params for one in found],
        "metrics": [{name: f"{value:.5g}" for name, value in one.metrics.items()} for one in found],
    }
    for section, values in sections.items():
        for name in dict.fromkeys(name for one in values for name in one):
            cells = [one.get(name, "") for one in values]
            label = escape(f"{section}.{name}" if section else name)
            if len(set(cells)) > 1:
                table.add_row(f"[bold]{label}[/]", *(f"[yellow]{escape(cell)}[/]" for cell in cells))
            else:
                same.add_row(label, escape(cells[0]))
    console = Console()
    if table.row_count or len(found) > 1:
        console.print(table)
    if same.row_count:
        console.print(same)


def print_best(found: Sequence[RunSummary]) -> None:
    """Print the best trial of each feature set, a row each."""
    rows = [
        {
            "feature set": one.about["feature_set"],
            "run": one.run_id[:8],
            "val.\nloss": f"{one.metrics['loss']:.3f}",
            "val.\naccuracy": f"{one.metrics['accuracy']:.2f}",
            "head": _first_layer(one.params),
            "dense": one.params["dense"],
            "epochs": f"{one.metrics['epochs']:.0f}",
            "inputs": one.params.get("inputs", "frames"),
            "dropout": f"{float(one.params['dropout']):.2f}",
            "L2": f"{float(one.params.get('l2', 0)):.2g}",
            "optimiser": one.params["optimiser"],
            "rate": f"{float(one.params['learning_rate']):.2g}",
            "batch": one.params["batch"],
        }
        for one in found
    ]
    title = "Best trial of each feature set: mean over the validation folds of the whole cohort"
    print_fitting(rows, ("inputs", "epochs", "batch", "dropout", "L2", "rate", "optimiser"), title)


def _first_layer(params: Mapping[str, str]) -> str:
    """What reads the frames, as in `LSTM 512` or `mean`; a trial that says no kind is of before there were others."""
    return f"LSTM {params['units']}" if params.get("kind", "lstm") == "lstm" else params["pooling"]


def print_fitting(rows: Sequence[Mapping[str, str]], spare: Sequence[str], title: str) -> None:
    """Print a table; where the terminal is too narrow for it, columns are left out and named below.

    Args:
        rows: cells by column; all rows have the same columns.
        spare: columns that may be left out, the first of them first.
        title: above the table.
    """
    console = Console()
    for count in range(len(spare) + 1):
        left_out = spare[:count]
        heads = [head for head in rows[0] if head not in left_out]
        caption = f"too wide for this terminal: {', '.join(left_out)}; --json has all" if left_out else None
        columns = [Column(head, overflow="fold", vertical="bottom") for head in heads]
        table = Table(*columns, title=escape(title), caption=caption)
        for row in rows:
            table.add_row(*(escape(row[head]) for head in heads))
        # What a table needs does not count its title.
        if console.measure(table, options=console.options.update(width=1000)).maximum <= console.width:
            break
    console.print(table)


def print_runs_json(found: Sequence[RunSummary]) -> None:
    """Print runs as a JSON array."""
    # A loss may be infinite where a training diverged: JSON knows no such number.
    body: list[dict[str, object]] = [
        vars(one) | {"metrics": {name: finite_or_none(value) for name, value in one.metrics.items()}} for one in found
    ]
    print_json(body)


def finite_or_none(value: float) -> float | None:
    """A number as JSON can hold it: None for what is not finite."""
    return value if math.isfinite(value) else None
