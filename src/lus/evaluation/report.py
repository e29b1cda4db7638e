"""An evaluation in words: for the terminal, and for its run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lus.audit.record import LEAK, Audit, count
from lus.evaluation.methods import SPATIAL

LEVELS = ("leak", "warning", "note")
"""Of an audit's findings, as a version counts them."""


def describe_evaluation(
    summary: Mapping[str, Any],
    methods: Mapping[str, Any],
    choice: Mapping[str, Any],
    audit: Audit,
    confidence: float,
    out: Path,
) -> str:
    """An evaluation in four lines: accuracy with its interval, best baseline, choice, and what the audit found.

    Args:
        summary: `metrics.json`.
        methods: what each method reaches, as `figures.json` holds it.
        choice: `choice.json`.
        audit: of the evaluation.
        confidence: level of the interval.
        out: the folder of the files.
    """
    level = f"{confidence:.0%} interval {format_interval(summary['interval']['accuracy'], 2)}"
    leaks = [one for one in audit.findings if one.level == LEAK]
    marked = f", which leaks: {summary['why']}" if summary["leaking"] else ""
    best = max(SPATIAL, key=lambda method: methods[method]["accuracy"])
    lines = [
        f"accuracy {summary['accuracy']:.2f} ({level}, {summary['patients']} patients, protocol {summary['protocol']}"
        f"{marked})",
        f"best without the order of frames: {methods[best]['what']}, {methods[best]['accuracy']:.2f}; majority "
        f"{methods['majority']['accuracy']:.2f}",
        f"{choice['feature_set']} trial {choice['trial']} chosen",
        f"audit: {count(leaks, 'leak')} in {count(audit.findings, 'finding')} (`lus audit` lists them); see {out}",
    ]
    return "\n".join(lines)


def describe_run(summary: dict[str, Any], audit: dict[str, Any]) -> str:
    """The description of the run: the figure as it may be quoted, and what the audit found."""
    interval = format_interval(summary["interval"]["accuracy"], 2)
    lines = [
        f"Accuracy {summary['accuracy']:.2f} (interval {interval}) on {summary['clips']} clips of "
        f"{summary['patients']} patients, protocol {summary['protocol']}. The interval is of other patients, not of "
        "another training.",
        f"**It leaks: {summary['why']}.**" if summary["leaking"] else "",
        *(f"- {one['level']}: {one['sentence']}" for one in audit["findings"]),
    ]
    return "\n\n".join(line for line in lines if line)


def format_interval(bounds: Mapping[str, float | None], digits: int) -> str:
    """An interval in words, as in "0.71 to 0.93"; one patient alone does not define it."""
    low, high = bounds["low"], bounds["high"]
    if low is None or high is None or not np.isfinite([low, high]).all():
        return "not defined"
    return f"{low:.{digits}f} to {high:.{digits}f}"


def version_tags(summary: Mapping[str, Any], audit: Mapping[str, Any]) -> dict[str, str]:
    """What a registered version says of its evaluation.

    Args:
        summary: `metrics.json` of the evaluation.
        audit: `audit.json` of the evaluation.
    """
    levels = [one["level"] for one in audit["findings"]]
    counts = [f"{levels.count(level)} {level}{'' if levels.count(level) == 1 else 's'}" for level in LEVELS]
    return {
        "audit": ", ".join(counts),
        "protocol": summary["protocol"],
        "leaking": str(summary["leaking"]).lower(),
        "accuracy": f"{summary['accuracy']:.4f}",
        "accuracy_interval": format_interval(summary["interval"]["accuracy"], 4),
        "balanced_accuracy": f"{summary['balanced_accuracy']:.4f}",
        "patients": str(summary["patients"]),
    }
