"""What `lus validate` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from lus.cli.tables import COLOURS, finite_or_none, print_json
from lus.evaluation.files import replace_nan
from lus.evaluation.report import format_interval
from lus.evaluation.validation import ValidationResult
from lus.metrics.operating_points import SPECIFICITY
from lus.metrics.strata import list_strata

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
    if "patient.accuracy" in summary:
        table.add_row("accuracy of patients", *_cells(found, "patient.accuracy"))
    table.add_row("always the most frequent label", f"{summary['most_frequent_label']:.3f}", "")
    console.print(table)
    console.print(_by_label(found))
    if len(found.strata):
        console.print(tabulate_strata(list_strata(found.strata), "By stratum"))
    for name, members in summary["labels"].items():
        if members != [name]:
            console.print(f"{escape(name)} stands for {escape(', '.join(members))}", highlight=False)
    for one in summary["findings"]:
        named = f" ({', '.join(one['evidence']['patients'])})" if "patients" in one["evidence"] else ""
        console.print(f"[{COLOURS[one['level']]}]{one['level']}[/] {escape(one['sentence'] + named)}", highlight=False)
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


def tabulate_strata(strata: Sequence[Mapping[str, Any]], title: str) -> Table:
    """A row a stratum, small ones marked, with the sensitivity of each label where it is defined."""
    labels = [name for name in strata[0] if name.startswith("sensitivity.") and f"{name}.low" in strata[0]]
    named = [escape(name.removeprefix("sensitivity.")) for name in labels]
    heads = (f"sensitivity {name}" for name in named)
    table = Table("by", "stratum", "clips", "patients", "accuracy", *heads, "", title=title)
    for one in strata:
        cells = (one["by"], escape(one["stratum"]), str(one["clips"]), str(one["patients"]))
        accuracy = format_value(one["accuracy"], {"low": one["low"], "high": one["high"]})
        each = [format_value(one[name], {end: one[f"{name}.{end}"] for end in ("low", "high")}) for name in labels]
        table.add_row(*cells, accuracy, *each, "few patients" if one["small"] else "")
    return table


def format_value(value: float | None, bounds: Mapping[str, float | None]) -> str:
    """A metric with its interval in brackets, as in "0.71 (0.52 to 0.85)"; empty where it is not defined."""
    return "" if value is None else f"{value:.2f} ({format_interval(bounds, 2)})"


def print_validation_json(found: ValidationResult, title: str) -> None:
    """Print all that was found as one JSON object."""
    print_json(
        {
            "title": title,
            **replace_nan(found.summary),
            "strata": list_strata(found.strata),
            "refused_clips": found.refused.to_dict("records"),
        }
    )
