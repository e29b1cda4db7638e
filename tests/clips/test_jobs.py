"""A clip that is not usable is refused in one way, whether a check says so or its decoder does not live to."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lus.checks import survey
from lus.clips import cohort
from lus.clips.jobs import ClipJob
from lus.clips.layouts import ListedClip
from lus.common import params_file, workers
from lus.common.errors import Finding, Unusable
from tests.conftest import ROOT

ALL = params_file.load_params(ROOT / "params.yaml")


def _work(name: str) -> str:
    if name == "dies":
        os.abort()
    if name == "hangs":
        time.sleep(60)
    if name == "dark":
        raise Unusable(name, [Finding("brightness", "0", "at least 0.02", "more gain")])
    return name


def _refused(_: str, error: Unusable) -> str:
    return ", ".join(f"{one.check}: {one.found}" for one in error.findings)


def test_what_a_check_refuses_and_what_its_decoder_does_not_survive_are_refused_alike() -> None:
    job = ClipJob(_work, _refused, Path, seconds=5.0)
    assert workers.run_jobs(job, ["fine", "dark", "dies", "hangs"], workers=2, limits=job.limits) == [
        "fine",
        "brightness: 0",
        "decode: a decoder that died (signal 6)",
        "decode: a decoder that took more than 5 s",
    ]


def _abort(*_: object, **__: object) -> None:
    os.abort()


def test_a_survey_and_the_cohort_say_the_same_of_a_clip_that_kills_its_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/p1/1.avi", "a/p2/2.avi", "b/p3/3.avi"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.setattr(survey, "check_clip", _abort)
    checked = survey.survey_clips([tmp_path / "a/p1/1.avi"], ALL).clips[0]
    error = Unusable("1.avi", checked.findings)
    assert checked.reason == error.reason
    assert [one.check for one in checked.findings] == ["decode"]
    assert checked.row == cohort.describe_refused(ListedClip(tmp_path / "a/p1/1.avi", "", ""), error)
