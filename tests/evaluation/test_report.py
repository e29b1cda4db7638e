from __future__ import annotations

import math

from lus.evaluation.report import format_interval


def test_an_interval_that_one_patient_does_not_define_is_said_to_be_none() -> None:
    assert format_interval({"low": 0.7, "high": 0.9345}, 2) == "0.70 to 0.93"
    for none in (None, math.nan):
        assert format_interval({"low": none, "high": none}, 2) == "not defined"
