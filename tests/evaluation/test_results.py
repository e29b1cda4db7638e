from __future__ import annotations

import math
from pathlib import Path

import pytest

from lus.evaluation import results


@pytest.mark.parametrize("name", ["metrics.json", "choice.json", "audit.json", "record.json", "predictions.csv"])
def test_evaluations_that_differ_in_one_of_these_files_are_told_apart(name: str, tmp_path: Path) -> None:
    for file in results.IDENTIFYING:
        (tmp_path / file).write_text("{}")
    before = results.identity(tmp_path)
    assert results.identity(tmp_path) == before
    (tmp_path / name).write_text("{ }")
    assert results.identity(tmp_path) != before


def test_an_interval_that_one_patient_does_not_define_is_said_to_be_none() -> None:
    assert results.between({"low": 0.7, "high": 0.9345}, 2) == "0.70 to 0.93"
    for none in (None, math.nan):
        assert results.between({"low": none, "high": none}, 2) == "not defined"
