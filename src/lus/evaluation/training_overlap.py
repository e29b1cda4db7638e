"""Which clips of another cohort a version was trained on: the same files, their copies, other clips of the patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.audit.record import LEAK, NOTE, WARNING, AuditFinding, count
from lus.checks import near_duplicates
from lus.checks.near_duplicates import Bits
from lus.clips.frameset import FrameSet
from lus.splits import folds

SAME_FILE, NEAR_DUPLICATE, SAME_PATIENT = "the same file", "a near-duplicate", "another clip of such a patient"


UNKNOWN = "unknown"
"""A source that a layout does not name."""


@dataclass(frozen=True)
class TrainingClips:
    """The clips that a version was trained on.

    Attributes:
        clips: clip_id, path, patient, label, source; a row a clip.
        fingerprints: of those whose frames are at hand: row number -> `near_duplicates.hash_frames`.
    """

    clips: pd.DataFrame
    fingerprints: dict[int, Bits]


@dataclass(frozen=True)
class TrainingOverlap:
    """What a version was trained on among the clips of a cohort.

    Attributes:
        reasons: (n,) why a clip does not count, empty where it does.
        findings: for a reader.
        training_known: whether it is known at all which clips it was trained on.
        not_compared: training clips of which copies were not looked for.
    """

    reasons: list[str]
    findings: list[AuditFinding]
    training_known: bool
    not_compared: int

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) whether the version was trained on a clip or on its patient."""
        return np.array([bool(one) for one in self.reasons])


def hash_training_clips(training: pd.DataFrame, sampled: FrameSet | None) -> TrainingClips:
    """Fingerprints of the training clips whose frames a frame set still has.

    Args:
        training: the table of the clips that a version was trained on.
        sampled: frames of this project's cohort; None where there are none.
    """
    found: dict[int, Bits] = {}
    if sampled is not None:
        length = max(sampled.lengths)
        counts = dict(zip(sampled.clips["clip_id"], sampled.clips["frames"], strict=True))
        for row, clip_id in enumerate(training["clip_id"]):
            if clip_id in counts:
                bits = near_duplicates.hash_frames(sampled.frames(clip_id, int(counts[clip_id]), length))
                if len(bits) >= near_duplicates.MIN_FRAMES:
                    found[row] = bits
    return TrainingClips(training.reset_index(drop=True), found)


def find_overlap(clips: pd.DataFrame, fingerprints: Sequence[Bits], training: TrainingClips) -> TrainingOverlap:
    """Find the clips of a cohort that a version was trained on, and those of the same patients.

    A patient of whom one clip was trained on is known with all clips, and so are patients whom near-duplicates join
    to them. A patient's name alone proves nothing (two hospitals may both have a `p01`): it is a warning.

    Args:
        clips: the cohort's table.
        fingerprints: of its clips.
        training: what the version was trained on.
    """
    known = set(training.clips["clip_id"])
    reasons = [SAME_FILE if one in known else "" for one in clips["clip_id"]]
    for row in _near_duplicates(clips, fingerprints, training):
        reasons[row] = reasons[row] or NEAR_DUPLICATE
    groups = folds.groups(clips)
    theirs = {group for group, reason in zip(groups, reasons, strict=True) if reason}
    reasons = [
        reason or (SAME_PATIENT if group in theirs else "") for group, reason in zip(groups, reasons, strict=True)
    ]
    lacking = len(training.clips) - len(training.fingerprints)
    return TrainingOverlap(reasons, _findings(clips, reasons, training), training_known=True, not_compared=lacking)


def _near_duplicates(clips: pd.DataFrame, fingerprints: Sequence[Bits], training: TrainingClips) -> list[int]:
    rows = sorted(training.fingerprints)
    ours = clips[["path", "patient", "label"]].assign(side="cohort", row=np.arange(len(clips)))
    theirs = training.clips.iloc[rows][["path", "patient", "label"]].assign(side="training", row=rows)
    both = pd.concat([ours, theirs], ignore_index=True)
    # Pairs of one patient are not looked for: here each side's patients are others than those of the other side.
    both["patient"] = both["side"] + " " + both["patient"].astype(str)
    both["path"] = both["side"] + " " + both["row"].astype(str)
    hashes = [*fingerprints, *(training.fingerprints[row] for row in rows)]
    pairs = near_duplicates.find_near_duplicates(both, hashes)
    found = set()
    for one, other in zip(pairs["path"], pairs["other_path"], strict=True):
        if one.startswith("cohort") and other.startswith("training"):
            found.add(int(one.split()[1]))
    return sorted(found)


def _findings(clips: pd.DataFrame, reasons: list[str], training: TrainingClips) -> list[AuditFinding]:
    found = []
    known = np.array([bool(one) for one in reasons])
    patients = clips["patient"].to_numpy(str)
    if known.any():
        names = sorted(set(patients[known]))
        found.append(
            AuditFinding(
                "training-clips",
                LEAK,
                f"The version was trained on clips of {count(names, 'patient')} of this cohort; "
                f"{count(np.flatnonzero(known), 'clip')} of theirs count in no metric.",
                {
                    "patients": names,
                    "clips": {str(path): reason for path, reason in zip(clips["path"], reasons, strict=True) if reason},
                },
            )
        )
    alike = _same_names(clips[~known], training.clips)
    if alike:
        found.append(
            AuditFinding(
                "training-patients",
                WARNING,
                f"{count(alike, 'patient')} of this cohort have the names of patients that the version was trained on, "
                "and sources that do not tell them apart. If they are the same persons the metrics are too good: "
                "remove their clips.",
                {"patients": alike},
            )
        )
    lacking = len(training.clips) - len(training.fingerprints)
    if lacking:
        found.append(
            AuditFinding(
                "near-duplicates",
                NOTE,
                f"Copies of {lacking} of the {len(training.clips)} training clips were not looked for: their frames "
                "are not in build/frames. In a checkout of the version's commit `dvc repro frames` makes them.",
                {"clips": lacking},
            )
        )
    return found


def _same_names(clips: pd.DataFrame, training: pd.DataFrame) -> list[str]:
    """Patients with the name of a training patient, where both are of one source or a source is not known."""
    sources: dict[str, set[str]] = {}
    for patient, source in zip(training["patient"].astype(str), training["source"].astype(str), strict=True):
        sources.setdefault(patient, set()).add(source)
    found = set()
    for patient, source in zip(clips["patient"].astype(str), clips["source"].astype(str), strict=True):
        theirs = sources.get(patient, set())
        if theirs and (source in theirs or UNKNOWN in theirs | {source}):
            found.add(patient)
    return sorted(found)
