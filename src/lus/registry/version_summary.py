"""What matters first of a version, in a sentence each: for its model card and for `lus show`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lus.features.weights import IMAGENET, OWN, RANDOM
from lus.registry.validations import Validation

WEIGHTS_TAG = "backbone_weights"
"""Of a version's lineage: the CNN's weights, as `features.weights` of its `params.yaml` had them."""
WEIGHTS = {
    RANDOM: "random: the CNN was never trained, and what it computes of a frame is arbitrary",
    IMAGENET: "ImageNet: the CNN was trained on photographs",
    OWN: "own: the CNN was trained on the clips of this cohort, anew for the training part of every fold",
}
NOT_LOOKED_AT = "not looked at; that needs clips of several sources, and a protocol that does not leak"
UNSEEN = "sources"
"""The check of an audit that compares with models that saw no clip of a clip's source."""


@dataclass(frozen=True)
class VersionFacts:
    """What a version's summary is made of; None or empty where it is not known.

    Attributes:
        weights: of the CNN, as in `params.yaml`.
        labels: that it tells apart.
        clips: the cohort table of the clips that it was trained on.
        metrics, details, audit: `metrics.json`, `figures.json` and `audit.json` of its evaluation.
    """

    weights: str
    labels: Sequence[str]
    clips: pd.DataFrame | None
    metrics: Mapping[str, Any] | None
    details: Mapping[str, Any] | None
    audit: Mapping[str, Any] | None


def summarise_version(facts: VersionFacts, validations: Sequence[Validation] | None = None) -> dict[str, str]:
    """What matters first, in this order: topic -> a sentence or several.

    Args:
        facts: of the version.
        validations: on other cohorts; None where they cannot be known, as on a card that is written before them.
    """
    return {
        "CNN's weights": WEIGHTS.get(facts.weights, f"from {facts.weights}") if facts.weights else "not known",
        "clips": _describe_clips(facts.clips),
        "test": _describe_test(facts.metrics),
        "baselines": _compare_baselines(facts.details),
        "unseen sources": _describe_unseen(facts.metrics, facts.audit),
        "other cohorts": _describe_validations(validations),
        "not tested on": _list_untested(facts),
    }


def count_simulated(clips: pd.DataFrame) -> int:
    """How many clips are the phantom's: one of its devices is their source, and the file is named as it names them."""
    from lus.phantom import DEVICES  # not part of a Bento
    from lus.phantom.cohort import OURS

    devices = {one.name for one in DEVICES}
    named = [OURS.fullmatch(Path(str(path)).name) is not None for path in clips["path"]]
    return int((clips["source"].isin(devices) & pd.Series(named, index=clips.index)).sum())


def _describe_clips(clips: pd.DataFrame | None) -> str:
    if clips is None:
        return "not known"
    simulated, patients = count_simulated(clips), clips["patient"].nunique()
    if not simulated:
        return f"{len(clips)} clips of {patients} patients, none of them simulated by the phantom"
    if simulated < len(clips):
        return f"{simulated} of {len(clips)} clips are simulated (the phantom); metrics of both together mean little"
    return f"simulated: all {len(clips)} are the phantom's, and no metric of them says anything of patients"


def _describe_test(metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return "never tested here"
    leaks = f"; it leaks: {metrics.get('why') or 'see the audit'}" if metrics.get("leaking") else ""
    found = f"accuracy {format_metric(metrics, 'accuracy')}"
    if "clips" in metrics and "patients" in metrics:
        found += f" on {metrics['clips']} clips of {metrics['patients']} patients"
    if "patient.accuracy" in metrics:
        found += f"; of patients, by all clips of each, {format_metric(metrics, 'patient.accuracy')}"
    return f"{found}; protocol {metrics.get('protocol', 'not stated')}{leaks}"


def format_metric(metrics: Mapping[str, Any], name: str) -> str:
    """A metric of `metrics.json`, with its interval in brackets where there is one."""
    bounds = metrics.get("interval", {}).get(name, {})
    return format_with_interval(metrics.get(name), bounds.get("low"), bounds.get("high")) or "not defined"


def format_with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A metric, with its interval in brackets where there is one; empty where it is not defined."""
    if value is None:
        return ""
    return f"{value:.3f}" + (f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else "")


COMPARED = {
    "wins": "A baseline wins: {}.",
    "ahead": "Ahead of the model, within chance: {}.",
    "level": "Not told from the model beyond chance: {}.",
    "behind": "The model is better than: {}.",
}
"""Sentences of baselines, by how their accuracy compares with the model's."""


def _compare_baselines(details: Mapping[str, Any] | None) -> str:
    compared = [one for one in (details or {}).get("ways", {}).values() if "model_better_by" in one]
    found: dict[str, list[str]] = {name: [] for name in COMPARED}
    for one in compared:
        gap = one["model_better_by"]
        verdict = _judge_gap(gap)
        by = f", better by {format_with_interval(-gap['difference'], *_turn(gap))}" if gap["difference"] < 0 else ""
        found[verdict].append(f"{one['what']} ({one['accuracy']:.3f}{by})")
    return " ".join(COMPARED[name].format("; ".join(own)) for name, own in found.items() if own) or "none is compared"


def _judge_gap(gap: Mapping[str, float | None]) -> str:
    """How a baseline compares, by how much the model is better than it, with the interval of that."""
    difference, low, high = gap["difference"], gap["low"], gap["high"]
    if high is not None and high < 0:
        return "wins"
    if difference is not None and difference < 0:
        return "ahead"
    return "behind" if low is not None and low > 0 else "level"


def _turn(gap: Mapping[str, float | None]) -> tuple[float | None, float | None]:
    """The interval of how much the baseline is better, from that of how much the model is."""
    low, high = gap["low"], gap["high"]
    return (None if high is None else -high), (None if low is None else -low)


def _describe_unseen(metrics: Mapping[str, Any] | None, audit: Mapping[str, Any] | None) -> str:
    if metrics is not None and metrics.get("protocol") == "leave-source-out":
        return "every test clip is of a source that the tested model was not trained on"
    if audit is None:
        return NOT_LOOKED_AT
    for one in audit.get("findings", []):
        if one.get("check") == UNSEEN:
            return str(one["sentence"])
    return "no clear loss was found on sources left out" if UNSEEN in audit.get("passed", []) else NOT_LOOKED_AT


def _describe_validations(validations: Sequence[Validation] | None) -> str:
    if validations is None:
        return "`lus show` lists what the version reached on other cohorts (`lus validate`) since this card was written"
    if not validations:
        return "never validated on another cohort (`lus validate`)"
    return "; ".join(_describe_validation(one) for one in validations)


def _describe_validation(one: Validation) -> str:
    known = f"; {one.trained_on} more that it was trained on" if one.trained_on else ""
    return (
        f"{one.cohort}: accuracy {format_with_interval(one.accuracy, one.low, one.high)}, always the most frequent "
        f"label {one.most_frequent_label:.3f}, {one.clips} clips of {one.patients} patients{known}"
    )


def _list_untested(facts: VersionFacts) -> str:
    """What is outside of the cohort, and so of every metric."""
    told = [f"labels other than {', '.join(facts.labels) or 'its own'}"]
    unstated = []
    for column in ("probe", "source"):
        known = set() if facts.clips is None else set(facts.clips[column].astype(str)) - {"", "unknown"}
        if column == "probe" and known:
            told.append(f"probes other than {', '.join(sorted(known))}")
        elif known:
            told.append(f"sources (hospitals, web sites, devices) other than its {len(known)}")
        else:
            unstated.append(f"{column}s")
    remark = f". The {' and '.join(unstated)} of its clips are not stated" if unstated else ""
    return "; ".join([*told, "use in care"]) + remark
