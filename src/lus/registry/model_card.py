"""The model card: what a person must know of a version, in Markdown, made from facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lus.heads.model import HeadParams
from lus.inference.metadata import ModelMetadata

OVERALL = ("accuracy", "balanced_accuracy", "auc", "brier", "calibration_error")
OF_LABEL = ("sensitivity", "specificity", "precision", "f1", "auc")


def write(
    metadata: ModelMetadata,
    head: HeadParams,
    metrics: Mapping[str, Any],
    audit: Mapping[str, Any] | None,
    clips: pd.DataFrame,
    strata: Sequence[Mapping[str, Any]],
) -> str:
    """A version's card.

    Args:
        metadata: of the classifier.
        head: that was chosen.
        metrics: `metrics.json` of its evaluation.
        audit: `audit.json` of its evaluation; None where there is none.
        clips: the cohort table of the clips that it was trained on.
        strata: rows of `strata.csv` of its evaluation; none where there is none.
    """
    return "\n".join(
        [
            "# Model card",
            "",
            *_use(metadata, head),
            *_data(clips),
            *_figures(metrics, metadata.labels),
            *_by_stratum(strata, metadata.labels),
            *_audit(audit),
            *_limits(metadata),
            *_origin(metadata),
        ]
    )


def _use(metadata: ModelMetadata, head: HeadParams) -> list[str]:
    return [
        f"Tells {', '.join(metadata.labels)} apart in lung-ultrasound clips: {metadata.length} frames of "
        f"{metadata.size} pixels a side go through {metadata.feature_set}, its features through the head: {head}.",
        "",
        "**Intended use:** research. It is not for diagnosis, and nothing in it was tested for that. It knows these "
        "labels only and names one of them for any clip.",
        "",
    ]


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *escaped]] + [""]


def _data(clips: pd.DataFrame) -> list[str]:
    grouped = clips.groupby("label")
    counts = [[str(label), str(len(one)), str(one["patient"].nunique())] for label, one in grouped]
    total = ["all", str(len(clips)), str(clips["patient"].nunique())]
    lines = ["## Data", "", *_table(["label", "clips", "patients"], [*counts, total])]
    for column, what in (("source", "source"), ("licence", "licence"), ("probe", "probe")):
        named = clips[column].astype(str).replace("", "not stated").value_counts()
        lines += _table([what, "clips"], [[str(name), str(count)] for name, count in named.items()])
    return lines


def _value(metrics: Mapping[str, Any], name: str) -> str:
    value, bounds = metrics.get(name), metrics.get("interval", {}).get(name, {})
    return format_with_interval(value, bounds.get("low"), bounds.get("high")) or "not defined"


def _figures(metrics: Mapping[str, Any], labels: tuple[str, ...]) -> list[str]:
    leaking = f" **The figures leak:** {metrics.get('why') or 'see the audit'}." if metrics.get("leaking") else ""
    overall = [[name.replace("_", " "), _value(metrics, name)] for name in OVERALL if name in metrics]
    heads = [name for name in OF_LABEL if any(f"{name}.{label}" in metrics for label in labels)]
    each = [[label, *(_value(metrics, f"{name}.{label}") for name in heads)] for label in labels]
    return [
        "## Figures",
        "",
        f"Of test clips by the protocol {metrics['protocol']}: {metrics['clips']} clips of {metrics['patients']} "
        f"patients. In brackets the interval over patients; how another training would differ is not in it.{leaking}",
        "",
        *_table(["figure", "value"], overall),
        *_table(["label", *heads], each),
    ]


def _by_stratum(strata: Sequence[Mapping[str, Any]], labels: tuple[str, ...]) -> list[str]:
    if not strata:
        return []
    heads = ["by", "stratum", "clips", "patients", "accuracy", *(f"sensitivity {label}" for label in labels), ""]
    rows = []
    for one in strata:
        accuracy = format_with_interval(one["accuracy"], one["low"], one["high"])
        each = [
            format_with_interval(*(one.get(f"sensitivity.{label}{end}") for end in ("", ".low", ".high")))
            for label in labels
        ]
        counts = [str(one["clips"]), str(one["patients"])]
        rows.append([one["by"], one["stratum"], *counts, accuracy, *each, "few patients" if one["small"] else ""])
    return [
        "### Test clips by source, probe, size and label",
        "",
        "Strata marked as of few patients say little: one patient more can change them much.",
        "",
        *_table(heads, rows),
    ]


def format_with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A metric, with its interval in brackets where there is one; empty where it is not defined."""
    if value is None:
        return ""
    return f"{value:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else "")


def _audit(audit: Mapping[str, Any] | None) -> list[str]:
    if audit is None:
        return ["## Audit", "", "There is none.", ""]
    found = [f"- {one['level']} ({one['check']}): {one['sentence']}" for one in audit["findings"]]
    passed = ", ".join(audit["passed"]) or "no check"
    unknown = [f"Not known, so not looked at: {', '.join(audit['unknown'])}.", ""] if audit["unknown"] else []
    return ["## Audit", "", *found, "", f"Nothing found by: {passed}.", "", *unknown]


def _limits(metadata: ModelMetadata) -> list[str]:
    rows = [[name.replace("_", " "), f"{value:g}"] for name, value in metadata.limits.model_dump().items()]
    return ["## Limits", "", "A clip outside of these is refused.", "", *_table(["limit", "value"], rows)]


def _origin(metadata: ModelMetadata) -> list[str]:
    rows = [[name.replace("_", " "), value] for name, value in metadata.lineage.items()]
    return ["## Where it comes from", "", *_table(["what", "value"], rows)]
