from __future__ import annotations

import numpy as np
import pandas as pd

from lus.checks.near_duplicates import hash_frames
from lus.common.arrays import Frames
from lus.evaluation.training_overlap import NEAR_DUPLICATE, SAME_FILE, SAME_PATIENT, TrainingClips, find_overlap


def _frames(seed: int) -> Frames:
    """Smooth random pictures: (8, 96, 96, 3)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (8, 6, 6), dtype=np.uint8)
    large = np.repeat(np.repeat(small, 16, axis=1), 16, axis=2)
    return np.repeat(large[..., None], 3, axis=-1)


def _table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["clip_id", "patient", "source"])
    return table.assign(path=[f"{one}.avi" for one in table["clip_id"]], label="sick")


TRAINING = TrainingClips(
    _table([("t1", "anna", "here"), ("t2", "bert", "here")]), {0: hash_frames(_frames(1)), 1: hash_frames(_frames(2))}
)


def test_files_copies_and_other_clips_of_their_patients_are_found_and_others_are_not() -> None:
    clips = _table([("t1", "x1", "there"), ("c2", "x2", "there"), ("c3", "x2", "there"), ("c4", "x4", "there")])
    copy = (_frames(2) * 0.8 + 20).astype(np.uint8)
    found = find_overlap(clips, [hash_frames(one) for one in (_frames(1), copy, _frames(3), _frames(4))], TRAINING)
    assert found.reasons == [SAME_FILE, NEAR_DUPLICATE, SAME_PATIENT, ""]
    assert [one.level for one in found.findings] == ["leak"]
    assert found.findings[0].evidence["patients"] == ["x1", "x2"]
    assert "2 patients of this cohort" in found.findings[0].sentence


def test_patients_whom_near_duplicates_join_are_known_together() -> None:
    clips = _table([("t1", "x1", "there"), ("c2", "x2", "there"), ("c3", "x3", "there")])
    joined = clips.assign(group=["x1 + x2", "x1 + x2", "x3"])
    found = find_overlap(joined, [hash_frames(_frames(one)) for one in (1, 7, 8)], TRAINING)
    assert found.reasons == [SAME_FILE, SAME_PATIENT, ""]


def test_a_patients_name_alone_is_a_warning_and_counts() -> None:
    clips = _table([("c1", "anna", "here"), ("c2", "anna", "there")])
    found = find_overlap(clips, [hash_frames(_frames(5)), hash_frames(_frames(6))], TRAINING)
    assert not found.known.any()
    assert [(one.check, one.level) for one in found.findings] == [("training-patients", "warning")]
    assert find_overlap(clips.iloc[1:], [hash_frames(_frames(6))], TRAINING).findings == []
    nameless = clips.iloc[1:].assign(source="unknown")
    assert [one.check for one in find_overlap(nameless, [hash_frames(_frames(6))], TRAINING).findings] == [
        "training-patients"
    ]


def test_training_clips_without_frames_at_hand_are_said() -> None:
    blind = TrainingClips(TRAINING.clips, {})
    found = find_overlap(_table([("c1", "x", "there")]), [hash_frames(_frames(1))], blind)
    assert not found.known.any()
    assert "Copies of 2 of the 2 training clips were not looked for" in found.findings[0].sentence
