from __future__ import annotations

import numpy as np
import pytest

from lus.common import params_file
from lus.common.patient_rule import combine_clips
from lus.evaluation.patient_metrics import measure_patients
from tests.conftest import ROOT

NAMES = ["sick", "well"]
PARAMS = params_file.load_params(ROOT / "params.yaml").evaluate.model_copy(update={"bootstrap": 100})


def test_clips_of_a_patient_give_the_mean_of_their_probabilities() -> None:
    given = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], np.float32)
    together = combine_clips(given, ["a", "b", "a"])
    assert together == pytest.approx(np.array([[0.55, 0.45], [0.4, 0.6], [0.55, 0.45]]))


def test_each_patient_is_one_unit_and_one_of_several_labels_is_left_out() -> None:
    # 20 patients of three clips: of each one clip is wrong, and its other two outweigh it.
    patients = np.array([f"p{number // 3}" for number in range(60)], object)
    targets = np.arange(60) // 3 % 2
    given = np.where(np.eye(2, dtype=bool)[targets], 0.9, 0.1).astype(np.float32)
    given[::3] = given[::3, ::-1]
    targets[59] = 0  # the last patient, who has two clips of label 1
    found, bounds = measure_patients(targets, given, patients, patients, NAMES, PARAMS)
    assert (found["patient.counted"], found["patient.several_labels"]) == (19, 1)
    assert found["patient.accuracy"] == 1
    assert bounds["patient.accuracy"].low == pytest.approx(19 / (19 + 1.96**2), abs=0.05)
    assert found.keys() >= {"patient.sensitivity.sick", "patient.brier"}


def test_where_every_patient_has_several_labels_there_are_counts_alone() -> None:
    patients, targets = np.array(["a", "a", "b", "b"], object), np.array([0, 1, 0, 1])
    found, bounds = measure_patients(targets, np.full((4, 2), 0.5, np.float32), patients, patients, NAMES, PARAMS)
    assert found == {"patient.rule": "mean", "patient.counted": 0, "patient.several_labels": 2}
    assert bounds == {}
