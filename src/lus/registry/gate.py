"""The gate: what a version must be before it may go into production, each condition with its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lus.common.params import Promote
from lus.inference.compiled import TOLERANCE, Parity
from lus.inference.engine_choice import EngineChoice
from lus.inference.metadata import ModelMetadata
from lus.metrics import comparisons
from lus.splits import folds, protocols

NAMES = ("audit", "protocol", "limits", "parity", "champion")
"""Of all conditions, in their order."""


@dataclass(frozen=True)
class Condition:
    """One condition of the gate.

    Attributes:
        name: a word.
        passed: whether it is fulfilled.
        found, expected: with figures.
    """

    name: str
    passed: bool
    found: str
    expected: str


@dataclass(frozen=True)
class Facts:
    """What is known of a version that is to be promoted; None where it is not known.

    Attributes:
        metrics: `metrics.json` of its evaluation.
        audit: `audit.json` of its evaluation.
        predictions: `predictions.csv` of its evaluation.
        metadata: of the version, or why they cannot be read.
        parity: of the engine that serves it; the choice where that was left to `auto`; or why there is none.
        champion: number of the version in production; None where there is none.
        champion_predictions: as `predictions`.
    """

    metrics: Mapping[str, Any] | None
    audit: Mapping[str, Any] | None
    predictions: pd.DataFrame | None
    metadata: ModelMetadata | str
    parity: Parity | EngineChoice | str
    champion: str | None = None
    champion_predictions: pd.DataFrame | None = None


def judge(facts: Facts, params: Promote) -> list[Condition]:
    """All conditions, fulfilled or not."""
    return [_audit(facts), _protocol(facts), _limits(facts), _parity(facts), _no_worse(facts, params)]


def failed(found: Sequence[Condition]) -> list[Condition]:
    """Those that are not fulfilled.

    Args:
        found: all conditions.

    Raises:
        ValueError: they are not all there: a condition that was not looked at has not passed.
    """
    names = tuple(one.name for one in found)
    if names != NAMES:
        raise ValueError(f"the conditions {', '.join(names) or '(none)'} were judged; {', '.join(NAMES)} are expected")
    return [one for one in found if not one.passed]


def _audit(facts: Facts) -> Condition:
    expected = "an audit without a leak"
    if facts.audit is None:
        return Condition("audit", False, "the evaluation carries no audit", expected)
    levels = [str(one.get("level")) for one in facts.audit.get("findings", [])]
    leaks = [one for one in facts.audit.get("findings", []) if one.get("level") == "leak"]
    if facts.audit.get("leaking") is not False or leaks:
        said = "; ".join(f"{one.get('check')}: {one.get('sentence')}" for one in leaks) or "the audit does not say"
        return Condition("audit", False, said, expected)
    counts = ", ".join(f"{levels.count(level)} {level}s" for level in ("warning", "note"))
    return Condition("audit", True, f"no leak, {counts}", expected)


def _protocol(facts: Facts) -> Condition:
    expected = f"one that does not leak: {', '.join(name for name, one in protocols.RULES.items() if not one.leaking)}"
    name = str((facts.metrics or {}).get("protocol"))
    rule = protocols.RULES.get(name)
    if facts.metrics is None or rule is None:
        found = "the evaluation carries no figures" if facts.metrics is None else f"{name}, which is not known"
        return Condition("protocol", False, found, expected)
    # The evaluation may know more of itself than the protocol's name says.
    leaking = rule.leaking or bool(facts.metrics.get("leaking"))
    why = rule.why or str(facts.metrics.get("why") or "it says so itself")
    return Condition("protocol", not leaking, f"{name}: {why}" if leaking else name, expected)


def _limits(facts: Facts) -> Condition:
    expected = "the checks' limits of a usable clip in the model"
    if isinstance(facts.metadata, str):
        return Condition("limits", False, facts.metadata, expected)
    return Condition("limits", True, f"{len(facts.metadata.limits.model_dump())} limits", expected)


def _parity(facts: Facts) -> Condition:
    expected = f"the answers stored with it: the same labels, probabilities within {TOLERANCE}"
    if isinstance(facts.parity, str):
        return Condition("parity", False, facts.parity, expected)
    holds = isinstance(facts.parity, EngineChoice) or facts.parity.holds
    return Condition("parity", holds, str(facts.parity), expected)


def _no_worse(facts: Facts, params: Promote) -> Condition:
    expected = (
        f"no worse than the champion by {params.margin} of accuracy or more, on the same clips over patients: "
        f"p at most {params.level}"
    )
    if facts.champion is None:
        return Condition("champion", True, "there is no champion", expected)
    found = _uncomparable(facts)
    if found is not None or facts.predictions is None or facts.champion_predictions is None:
        return Condition("champion", False, str(found), expected)
    ours, theirs = facts.predictions, facts.champion_predictions
    columns = ["clip_id", "label", "predicted", "patient"]
    both = ours[columns].merge(theirs[["clip_id", "predicted"]], on="clip_id", suffixes=("", "_champion"))
    names = folds.label_names(ours)
    number = {name: place for place, name in enumerate(names)}
    targets, first, second = (
        np.array([number[one] for one in both[column]], np.int64)
        for column in ("label", "predicted", "predicted_champion")
    )
    patients = both["patient"].astype(str).to_numpy(object)
    one = comparisons.paired(targets, first, second, patients, params.seed, params.margin)
    accuracies = [float((predicted == targets).mean()) for predicted in (first, second)]
    interval = f"{one.low:+.3f} to {one.high:+.3f}" if one.patients > 1 else "interval not defined"
    text = (
        f"accuracy {accuracies[0]:.3f} against {accuracies[1]:.3f} of version {facts.champion} on {one.clips} clips of "
        f"{one.patients} patients (difference {one.difference:+.3f}, {interval}), "
        f"p {one.p_no_worse:.3g}"
    )
    return Condition("champion", one.p_no_worse <= params.level, text, expected)


def _uncomparable(facts: Facts) -> str | None:
    """Why the version cannot be compared with the champion."""
    ours, theirs = facts.predictions, facts.champion_predictions
    if ours is None or theirs is None:
        whose = "it" if ours is None else f"version {facts.champion}, the champion,"
        return f"{whose} carries no predictions"
    labels, others = folds.label_names(ours), folds.label_names(theirs)
    if labels != others:
        return f"labels {', '.join(labels)}, those of version {facts.champion}, the champion, are {', '.join(others)}"
    both = ours.merge(theirs, on="clip_id")
    if both.empty:
        return f"no clip in common with version {facts.champion}, the champion"
    if (both["label_x"] != both["label_y"]).any():
        changed = int((both["label_x"] != both["label_y"]).sum())
        return f"{changed} clips have another label than in the evaluation of version {facts.champion}, the champion"
    return None
