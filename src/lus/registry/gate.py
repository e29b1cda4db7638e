"""The gate: what a version must be before it may go into production, each condition with its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lus.common.params import Promote
from lus.inference.compiled import TOLERANCE, Parity
from lus.inference.engine_choice import EngineChoice
from lus.inference.metadata import ModelMetadata
from lus.registry.validation_gate import judge_validations
from lus.registry.validations import ValidatedVersion
from lus.registry.version_comparison import VersionComparison, compare_versions
from lus.splits import protocols

NAMES = ("audit", "protocol", "limits", "parity", "champion", "former", "validation")
"""Of all conditions, in their order."""
NAMED = 3
"""Of former champions that cannot be compared so many are named: an entry of the journal holds 6,000 characters."""


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
        former: number -> `predictions` of each other version that was ever the champion.
        validations: cohort -> what it reaches there, where it was validated; champion_validations: the champion's.
    """

    metrics: Mapping[str, Any] | None
    audit: Mapping[str, Any] | None
    predictions: pd.DataFrame | None
    metadata: ModelMetadata | str
    parity: Parity | EngineChoice | str
    champion: str | None = None
    champion_predictions: pd.DataFrame | None = None
    former: Mapping[str, pd.DataFrame | None] = field(default_factory=dict)
    validations: Mapping[str, ValidatedVersion] = field(default_factory=dict)
    champion_validations: Mapping[str, ValidatedVersion] = field(default_factory=dict)


def judge(facts: Facts, params: Promote) -> list[Condition]:
    """All conditions, fulfilled or not."""
    return [
        _audit(facts),
        _protocol(facts),
        _limits(facts),
        _parity(facts),
        _champion(facts, params),
        _former(facts, params),
        _validation(facts, params),
    ]


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


def _no_worse(than: str, params: Promote) -> str:
    return (
        f"no worse than {than} by {params.margin} of accuracy or more, on the same clips over patients: p at most "
        f"{params.level}"
    )


def _champion(facts: Facts, params: Promote) -> Condition:
    expected = _no_worse("the champion", params)
    if facts.champion is None:
        return Condition("champion", True, "there is no champion", expected)
    name = f"version {facts.champion}"
    found = compare_versions(facts.predictions, facts.champion_predictions, name, params)
    if isinstance(found, str):
        return Condition("champion", False, found, expected)
    return Condition("champion", found.passes(params), found.describe(name, params), expected)


def _former(facts: Facts, params: Promote) -> Condition:
    """Against the best version that was ever the champion: by a margin each time, accuracy could drift down.

    Former champions that cannot be compared, as those of another cohort, are named and hold nothing up.
    """
    expected = _no_worse("the best former champion", params)
    found = {
        name: compare_versions(facts.predictions, theirs, f"version {name}", params)
        for name, theirs in facts.former.items()
    }
    compared = {name: one for name, one in found.items() if isinstance(one, VersionComparison)}
    passed_over = [f"not compared: {one}" for one in found.values() if isinstance(one, str)]
    if len(passed_over) > NAMED:
        passed_over[NAMED:] = [f"and {len(passed_over) - NAMED} others"]
    if not compared:
        none = "no other version was the champion" if not found else "; ".join(passed_over)
        return Condition("former", True, none, expected)
    best = min(compared, key=lambda name: compared[name].difference)
    said = "; ".join([compared[best].describe(f"version {best}", params), *passed_over])
    return Condition("former", compared[best].passes(params), said, expected)


def _validation(facts: Facts, params: Promote) -> Condition:
    expected = "on each cohort of promote.validation: better than the most frequent label, no worse than the champion"
    found = judge_validations(facts.validations, facts.champion, facts.champion_validations, params)
    said = "; ".join(one.found for one in found) or "promote.validation names no cohort"
    return Condition("validation", all(one.passed for one in found), said, expected)
