"""The model card: what a person must know of a version, in Markdown, made from facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lus.heads.model import HeadParams
from lus.inference.metadata import ModelMetadata
from lus.registry.version_summary import VersionFacts, format_metric, format_with_interval, summarise_version

OVERALL = ("accuracy", "balanced_accuracy", "auc", "brier", "calibration_error")
OF_LABEL = ("sensitivity", "specificity", "precision", "f1", "auc")


def write(metadata: ModelMetadata, head: HeadParams, facts: VersionFacts, strata: Sequence[Mapping[str, Any]]) -> str:
    """A version's card: what matters first, then data, metrics and audit, and last where it comes from.

    Args:
        metadata: of the classifier.
        head: that was chosen.
        facts: of the version; its clips and metrics must be known.
        strata: rows of `strata.csv` of its evaluation; none where there is none.

    Raises:
        ValueError: clips or metrics are not known.
    """
    if facts.clips is None or facts.metrics is None:
        raise ValueError("a card needs the clips that the version was trained on, and metrics")
    return "\n".join(
        [
            "# Model card",
            "",
            *_use(metadata, head),
            *_first(facts),
            *_data(facts.clips),
            *_metrics(facts.metrics, metadata.labels),
            *_by_stratum(strata, metadata.labels),
            *_audit(facts.audit),
            *_limits(metadata),
            *_origin(metadata),
        ]
    )


def _first(facts: VersionFacts) -> list[str]:
    rows = [[topic, said] for topic, said in summarise_version(facts).items()]
    return ["## What matters first", "", *_table(["", ""], rows)]


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


def _metrics(metrics: Mapping[str, Any], labels: tuple[str, ...]) -> list[str]:
    leaking = f" **The metrics leak:** {metrics.get('why') or 'see the audit'}." if metrics.get("leaking") else ""
    overall = [
        [name.replace("_", " "), format_metric(metrics, name), *_of_patients(metrics, name)]
        for name in OVERALL
        if name in metrics
    ]
    heads = [name for name in OF_LABEL if any(f"{name}.{label}" in metrics for label in labels)]
    each = [[label, *(format_metric(metrics, f"{name}.{label}") for name in heads)] for label in labels]
    return [
        "## Test metrics",
        "",
        f"Of test clips by the protocol {metrics['protocol']}: {metrics['clips']} clips of {metrics['patients']} "
        f"patients. In brackets the interval over patients; how another training would differ is not in it.{leaking}",
        "",
        *_table(["metric", "clips", *(["patients"] if _of_patients(metrics, "accuracy") else [])], overall),
        *_describe_patients(metrics),
        *_table(["label", *heads], each),
    ]


def _of_patients(metrics: Mapping[str, Any], name: str) -> list[str]:
    """The cell of a metric of patients; none where the evaluation has no metrics of patients."""
    if "patient.accuracy" not in metrics:
        return []
    return [format_metric(metrics, f"patient.{name}") if f"patient.{name}" in metrics else ""]


def _describe_patients(metrics: Mapping[str, Any]) -> list[str]:
    if not _of_patients(metrics, "accuracy"):
        return []
    left_out = metrics["patient.several_labels"]
    without = f" {left_out} with clips of several labels are left out." if left_out else ""
    said = f"{metrics['patient.counted']} patients, each answered by the {metrics['patient.rule']} of the probabilities"
    return [f"{said} of its clips.{without}", ""]


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
