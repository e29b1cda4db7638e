"""The clips that are not usable, with their reasons, and what is reported of the others."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lus.checks.cohort_frames import SampledCohort
from lus.clips import cohort
from lus.common.errors import BadInput

COLUMNS = ("path", "label", "check", "found", "limit", "reason")
"""Of both tables."""


def tabulate_findings(sampled: SampledCohort, left_out: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was refused, and what is reported of clips: columns `COLUMNS`, a row a finding.

    Args:
        sampled: what became of the clips.
        left_out: the list beside the cohort table (`cohort.read_left_out`), whose unusable clips are refused too.
    """
    refused: list[tuple[str, ...]] = []
    noted: list[tuple[str, ...]] = []
    for path, label, one in zip(sampled.clips["path"], sampled.clips["label"], sampled.sampled, strict=True):
        for rows, findings in ((refused, one.findings), (noted, one.reported)):
            rows += [(path, label, f.check, f.found, f.expected, f"{f}; {f.advice}") for f in findings]
    earlier = left_out.loc[left_out["kind"] == cohort.UNUSABLE, list(COLUMNS)]
    quarantine = pd.concat([earlier, pd.DataFrame(refused, columns=list(COLUMNS))]).sort_values("path")
    return quarantine, pd.DataFrame(noted, columns=list(COLUMNS))


def refuse_losses(
    clips: pd.DataFrame, usable: pd.DataFrame, quarantine: pd.DataFrame, allowed: float, written: Path
) -> None:
    """Refuse a cohort of which too much is gone.

    Args:
        clips: the cohort table.
        usable: its usable rows.
        quarantine: of `tabulate_findings`.
        allowed: the share of the clips that may be lost.
        written: where the quarantine can be read.

    Raises:
        BadInput: more clips than allowed are not usable, or a label has none left.
    """
    gone = sorted(set(clips["label"]) - set(usable["label"]))
    share = 1 - len(usable) / len(clips)
    if not gone and share <= allowed:
        return
    what = f"no usable clip of {', '.join(gone)} is left" if gone else f"{share:.0%} of the clips are not usable"
    checks_broken = ", ".join(f"{name} ({count})" for name, count in quarantine["check"].value_counts().items())
    raise BadInput(
        f"{what}, at most {allowed:.0%} may be lost and no label emptied; broken checks: {checks_broken}; see "
        f"{written} and mend the clips or the limits in params.yaml"
    )
