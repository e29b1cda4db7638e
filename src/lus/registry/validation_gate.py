"""The gate's look at other cohorts: what a version reaches there, and whether the champion is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lus.common.params import Promote
from lus.registry.validations import ValidatedVersion, Validation
from lus.registry.version_comparison import compare_versions


@dataclass(frozen=True)
class ValidationVerdict:
    """What is said of one cohort.

    Attributes:
        passed: whether the version may be promoted as far as this cohort is concerned.
        found: with metrics.
    """

    passed: bool
    found: str


def judge_validation(
    cohort: str,
    own: ValidatedVersion | None,
    champion: str | None,
    theirs: ValidatedVersion | None,
    params: Promote,
) -> ValidationVerdict:
    """Judge a version on one cohort.

    It must be better there than to name the most frequent label always (the lower end of its interval), and be shown to
    be no worse than the champion on the same clips.

    Args:
        cohort: its name.
        own: the version's validation on it; None where there is none.
        champion: number of the version in production; None where there is none.
        theirs: the champion's validation.
        params: of the gate.
    """
    if own is None:
        return ValidationVerdict(False, f"{cohort}: not validated there; `lus validate VERSION FOLDER --name {cohort}`")
    one = own.validation
    low = one.low if one.low is not None else 0.0
    said = (
        f"{cohort}: accuracy {one.accuracy:.3f} (from {low:.3f}) on {one.clips} clips of {one.patients} patients, "
        f"always the most frequent label {one.most_frequent_label:.3f}"
    )
    if one.not_compared:
        said += f" (copies of {one.not_compared} training clips were not looked for)"
    if lacking := _explain_weakness(one, low, params):
        return ValidationVerdict(False, f"{said}: {lacking}")
    if champion is None:
        return ValidationVerdict(True, said)
    if theirs is None or _is_other(one, theirs.validation):
        lacking = "not validated there" if theirs is None else "validated on other clips or labels"
        advice = f"`lus validate {champion} FOLDER --name {cohort}`"
        return ValidationVerdict(False, f"{said}; the champion was {lacking}: {advice}")
    found = compare_versions(own.predictions, theirs.predictions, f"version {champion}", params)
    passed = not isinstance(found, str) and found.passes(params)
    compared = found if isinstance(found, str) else found.describe(f"version {champion}", params)
    return ValidationVerdict(passed, f"{said}; {compared}")


def _explain_weakness(one: Validation, low: float, params: Promote) -> str:
    """Why a validation by itself lets nothing pass; empty where it may."""
    if not one.training_known:
        return "it is not known which clips the version was trained on"
    if one.patients < params.min_patients:
        return f"at least {params.min_patients} patients are needed"
    return "not shown to be better than that" if low <= one.most_frequent_label else ""


def _is_other(one: Validation, other: Validation) -> bool:
    """Whether two validations are of other clips, or of other labels for them."""
    return (one.digest, one.label_map) != (other.digest, other.label_map)


def judge_validations(
    own: Mapping[str, ValidatedVersion],
    champion: str | None,
    theirs: Mapping[str, ValidatedVersion],
    params: Promote,
) -> list[ValidationVerdict]:
    """Judge a version on each cohort that `promote.validation` names."""
    return [
        judge_validation(cohort, own.get(cohort), champion, theirs.get(cohort), params) for cohort in params.validation
    ]
