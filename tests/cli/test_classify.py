"""`lus classify`: the answer to a patient beside those to their clips."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lus.cli import main
from tests import versions
from tests.conftest import make_cohort

RUN = CliRunner()


@pytest.fixture
def clips(project: Path) -> Path:
    versions.add()
    return make_cohort(project / "mine", ["normal", "sick"], patients=2, clips=2)


def test_a_layout_that_names_patients_gives_their_answers(clips: Path) -> None:
    found = json.loads(RUN.invoke(main.app, ["classify", str(clips), "--json"]).stdout)
    assert len(found) == 8
    by_patient: dict[str, list[dict[str, dict[str, float]]]] = {}
    for one in found:
        by_patient.setdefault(Path(one["clip"]).parent.name, []).append(one)
    for first, second in by_patient.values():
        assert first["patient"] == second["patient"]
        assert first["patient"]["clips"] == 2
        mean = {
            name: (p + second["answer"]["probabilities"][name]) / 2
            for name, p in first["answer"]["probabilities"].items()
        }
        assert first["patient"]["probabilities"] == pytest.approx(mean, abs=1e-6)


def test_clips_by_themselves_are_of_one_patient_where_that_is_said(clips: Path) -> None:
    named = [str(one) for one in sorted(clips.rglob("*.avi"))[:3]]
    apart = RUN.invoke(main.app, ["classify", *named], env={"COLUMNS": "200"}).stdout
    assert "patient" not in apart
    together = RUN.invoke(main.app, ["classify", *named, "--patient"], env={"COLUMNS": "200"}).stdout
    assert together.count("(3 clips)") == 3


def test_a_table_that_cannot_be_read_is_named_and_the_clips_are_answered(clips: Path) -> None:
    (clips / "clips.csv").write_text("path,patient\nnormal/patient00/clip0.avi,a\n")
    done = RUN.invoke(main.app, ["classify", str(clips), "--json"])
    assert "no patient is answered: " in done.stderr
    assert len(json.loads(done.stdout)) == 8
