"""The gate's look at other cohorts: what a version reaches there, and whether the champion is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lus.common.params import Promote
from lus.registry.validations import ValidatedVersion
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
    if low <= one.most_frequent_label:
        return ValidationVerdict(False, f"{said}: not shown to be better than that")
    if champion is None:
        return ValidationVerdict(True, said)
    if theirs is None or theirs.validation.digest != one.digest:
        lacking = (
            "the champion was not validated there" if theirs is None else "the champion was validated on other clips"
        )
        return ValidationVerdict(False, f"{said}; {lacking}: `lus validate {champion} FOLDER --name {cohort}`")
    found = compare_versions(own.predictions, theirs.predictions, f"version {champion}", params)
    if isinstance(found, str):
        return ValidationVerdict(False, f"{said}; {found}")
    return ValidationVerdict(found.passes(params), f"{said}; {found.describe(f'version {champion}', params)}")


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
