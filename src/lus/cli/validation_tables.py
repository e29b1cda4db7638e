"""What `lus validate` prints."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lus.cli.tables import COLOURS, finite_or_none, print_json
from lus.evaluation.files import replace_nan
from lus.evaluation.report import format_interval
from lus.evaluation.validation import ValidationResult
from lus.metrics.operating_points import SPECIFICITY

OVERALL = ("accuracy", "balanced_accuracy", "auc", "brier", "calibration_error")
FIXED = f"sensitivity_at_specificity_{SPECIFICITY:g}"
OF_LABEL = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    FIXED: f"sensitivity at specificity {SPECIFICITY:g}",
    "prevalence": "share of the clips",
    "mean_probability": "mean probability",
}


def print_validation(found: ValidationResult, title: str) -> None:
    """Print the metrics with their intervals, by label and by stratum, and what was found."""
    console, summary = Console(), found.summary
    table = Table("metric", "value", Column("interval"), title=escape(title))
    for name in OVERALL:
        table.add_row(name.replace("_", " "), *_cells(found, name))
    table.add_row("always the most frequent label", f"{summary['most_frequent_label']:.3f}", "")
    console.print(table)
    console.print(_by_label(found))
    if len(found.strata):
        console.print(_by_stratum(found))
    for name, members in summary["labels"].items():
        if members != [name]:
            console.print(f"{escape(name)} stands for {escape(', '.join(members))}", highlight=False)
    for one in summary["findings"]:
        console.print(f"[{COLOURS[one['level']]}]{one['level']}[/] {escape(one['sentence'])}", highlight=False)
    for one in found.refused.itertuples():
        console.print(f"refused: {escape(str(one.path))}: {escape(str(one.reason))}", highlight=False)
    console.print(
        f"{summary['clips']} clips of {summary['patients']} patients count; {summary['refused']} refused by the "
        f"checks, {summary['left_out']} left out by a rule, {summary['trained_on']} known from the training",
        highlight=False,
    )


def _cells(found: ValidationResult, name: str) -> tuple[str, str]:
    value, bounds = found.summary[name], found.summary["interval"].get(name)
    shown = "not defined" if finite_or_none(value) is None else f"{value:.3f}"
    return shown, format_interval(bounds, 3) if bounds else ""


def _by_label(found: ValidationResult) -> Table:
    table = Table("label", *OF_LABEL.values(), title="By label")
    for label in found.summary["labels"]:
        cells = []
        for metric in OF_LABEL:
            value, bounds = _cells(found, f"{metric}.{label}")
            cells.append(f"{value} ({bounds})" if bounds and bounds != "not defined" else value)
        table.add_row(escape(label), *cells)
    return table


def _by_stratum(found: ValidationResult) -> Table:
    table = Table("by", "stratum", "clips", "patients", "accuracy", "interval", "", title="By stratum")
    for one in found.strata.itertuples():
        interval = format_interval({"low": float(str(one.low)), "high": float(str(one.high))}, 2)
        cells = (str(one.by), escape(str(one.stratum)), str(one.clips), str(one.patients))
        table.add_row(*cells, f"{one.accuracy:.2f}", interval, "few patients" if one.small else "")
    return table


def print_validation_json(found: ValidationResult, title: str) -> None:
    """Print all that was found as one JSON object."""
    print_json(
        {
            "title": title,
            **replace_nan(found.summary),
            "strata": json.loads(found.strata.to_json(orient="records")),
            "refused_clips": json.loads(found.refused.to_json(orient="records")),
        }
    )
