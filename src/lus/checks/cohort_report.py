"""The report on a cohort's clips: quarantine, Data Docs, near-duplicates and shortcuts; and the clips that are left."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from lus.checks import expectations, near_duplicates, quarantine, rules, shortcuts
from lus.checks.cohort_frames import SampledCohort
from lus.clips import cohort
from lus.common.params import Params

QUARANTINE, REPORTED = "quarantine.csv", "reported.csv"
CLIPS, RESULTS = "clips.csv", "checks.json"
NEAR_DUPLICATES, SHORTCUTS = "near-duplicates.csv", "shortcuts.csv"
FILES = {
    *(QUARANTINE, REPORTED, CLIPS, RESULTS, NEAR_DUPLICATES, SHORTCUTS),
    *("index.html", "static", "expectations", "validations"),
}
"""What stands in the folder of a report, pages of Great Expectations among it."""


def write_report(
    sampled: SampledCohort, left_out: pd.DataFrame, params: Params, folder: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Hold a cohort to its checks, and write what was found; a cohort that is refused leaves its reasons too.

    Args:
        sampled: what became of the clips.
        left_out: the list beside the cohort table (`cohort.read_left_out`).
        params: the sections `frames`, `limits` and `cohort` are read.
        folder: an empty one.

    Returns:
        The cohort's usable rows, with a column `group` of patients who belong together; and what was found, a
        sentence each.

    Raises:
        BadInput: the cohort breaks a rule, more clips than allowed are not usable, or a label has none left.
    """
    refused, reported = quarantine.tabulate_findings(sampled, left_out)
    refused.to_csv(folder / QUARANTINE, index=False)
    reported.to_csv(folder / REPORTED, index=False)
    _validate(sampled, params, folder)
    clips, usable = sampled.clips, sampled.usable
    quarantine.refuse_losses(clips, usable, refused, params.frames.max_quarantined, folder / QUARANTINE)
    remarks = []
    if len(refused):
        remarks.append(f"{refused['path'].nunique()} quarantined, see {folder / QUARANTINE}")
    noted = reported.loc[reported["path"].isin(usable["path"]), "path"].nunique()
    if noted:
        remarks.append(f"{noted} usable with a remark, see {folder / REPORTED}")
    files = pd.concat([clips, left_out[left_out["clip_id"] != ""]])
    pairs = near_duplicates.find_duplicates(files, usable, sampled.fingerprints)
    usable = usable.assign(group=near_duplicates.group_patients(usable, pairs))
    return usable, remarks + _write_leaks(usable, pairs, folder)


def _validate(sampled: SampledCohort, params: Params, folder: Path) -> None:
    table = rules.make_rules(params.limits, max(params.frames.lengths))
    values = sampled.values.reindex(columns=["path", *(rule.column for rule in table)])
    values.to_csv(folder / CLIPS, index=False, float_format="%.6g")
    results = expectations.validate(sampled.clips, values, sampled.frames, table, params.cohort, params.limits, folder)
    (folder / RESULTS).write_text(json.dumps(results, indent=2) + "\n")
    expectations.refuse_broken_table(results, folder)


def _write_leaks(usable: pd.DataFrame, pairs: pd.DataFrame, folder: Path) -> list[str]:
    pairs.to_csv(folder / NEAR_DUPLICATES, index=False, float_format="%.4f")
    properties = shortcuts.find_shortcuts(usable)
    properties.to_csv(folder / SHORTCUTS, index=False, float_format="%.4f")
    remarks = []
    if len(pairs):
        together = sorted(set(usable.loc[usable["group"] != usable["patient"], "group"]))
        kept = f"; these patients stay on one side of every fold: {', '.join(together)}" if together else ""
        remarks.append(f"{len(pairs)} pairs of near-duplicate clips, see {folder / NEAR_DUPLICATES}{kept}")
    remarks += [
        f"{row.property} alone guesses the label with a balanced accuracy of {row.strength:.2f} (chance "
        f"{row.chance:.2f}), see {folder / SHORTCUTS}"
        for row in properties[properties["telling"]].itertuples()
    ]
    several = cohort.patients_of_several_labels(usable)
    if several:
        named = "; ".join(f"{patient} ({', '.join(labels)})" for patient, labels in several.items())
        remarks.append(f"patients with clips of several labels: {named}")
    return remarks
