from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lus.audit import stored
from lus.audit.checks import run_audit
from lus.audit.record import LEAK, Evaluation
from lus.common.errors import BadInput
from lus.splits import folds
from tests.audit import planted


def _predictions(one: Evaluation) -> pd.DataFrame:
    assert one.probabilities is not None
    table = one.clips[["clip_id", "path", "patient", "label"]].copy()
    for number, name in enumerate(folds.label_names(one.clips)):
        table[f"p_{name}"] = one.probabilities[:, number].round(6)
    return table.iloc[np.unique(np.concatenate([record.test for record in one.folds]))]


def _write(build: Path, one: Evaluation) -> Path:
    """A folder as the stages write it."""
    (build / "evaluation").mkdir(parents=True, exist_ok=True)
    (build / "checks").mkdir(exist_ok=True)
    stored.write(build / "evaluation", one)
    _predictions(one).to_csv(build / "evaluation" / stored.PREDICTIONS, index=False)
    if one.near_duplicates is not None:
        one.near_duplicates.to_csv(build / stored.NEAR_DUPLICATES, index=False)
    return build


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return _write(tmp_path / "build", planted.clean())


def test_what_is_written_is_read_and_passes_every_check(build: Path) -> None:
    one, clean = stored.read(build), planted.clean()
    for record, before in zip(one.folds, clean.folds, strict=True):
        assert (record.name, record.accuracy) == (before.name, before.accuracy)
        assert record.test.tolist() == before.test.tolist()
        assert record.train.tolist() == before.train.tolist()
        assert record.initial_weights == before.initial_weights
        assert record.chosen_on is not None
        assert before.chosen_on is not None
        assert record.chosen_on["the head"].tolist() == before.chosen_on["the head"].tolist()
    assert one.probabilities == pytest.approx(clean.probabilities, abs=1e-5)
    assert one.clips["source"].tolist() == clean.clips["source"].tolist()
    found = run_audit(one)
    assert (found.findings, found.unknown) == ([], [])


def _written(case: planted.Case) -> bool:
    """The stage always writes answers, and the paths of a cohort differ."""
    leaky = case.leak(planted.clean())
    return leaky.probabilities is not None and leaky.clips["path"].is_unique


WRITTEN = [case for case in planted.CASES if _written(case)]


@pytest.mark.parametrize("case", WRITTEN, ids=lambda case: case.name)
def test_every_planted_leak_is_found_in_the_files_too(tmp_path: Path, case: planted.Case) -> None:
    leaky = case.leak(planted.clean())
    direct = run_audit(leaky)
    found = run_audit(stored.read(_write(tmp_path / "build", leaky)))
    assert [one.check for one in found.findings] == [one.check for one in direct.findings]


def test_a_clip_that_no_fold_tests_is_known_and_has_no_answer(tmp_path: Path) -> None:
    one = planted.clean()
    shorter = planted.stated(planted.fold(one, 0, test=one.folds[0].test[2:]))
    again = stored.read(_write(tmp_path / "build", shorter))
    assert again.probabilities is not None
    assert np.flatnonzero(np.isnan(again.probabilities).any(axis=1)).tolist() == one.folds[0].test[:2].tolist()


def test_without_the_guards_their_check_is_not_made(build: Path) -> None:
    (build / stored.NEAR_DUPLICATES).unlink()
    assert "near-duplicates" in run_audit(stored.read(build)).unknown


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("evaluation/predictions.csv", None, r"predictions.csv: not found; `dvc repro evaluate` makes it"),
        ("evaluation/predictions.csv", "", "is no table of predictions"),
        ("evaluation/predictions.csv", "clip_id,path\n1,a.mp4\n", "has no column p_a"),
        ("evaluation/predictions.csv", "path,p_a,p_b,p_c\n1,a,0,0\n", "every row of p_a"),
        ("evaluation/predictions.csv", "path,p_a,p_b,p_c\n1,0,0,1\n", "has other clips than record.json"),
        ("evaluation/record.json", None, r"record.json: not found; `dvc repro evaluate` makes it"),
        ("evaluation/record.json", "{", "is no JSON"),
        ("evaluation/record.json", "[]", "is no record of an evaluation"),
        ("evaluation/record.json", '{"clips": []}', r"is no record of an evaluation \(KeyError: 'folds'\)"),
        ("checks/near-duplicates.csv", "a,b\n1,2\n", "has no column path, other_path, distance"),
    ],
)
def test_a_file_that_is_missing_or_is_something_else_is_named(
    build: Path, file: str, content: str | None, what: str
) -> None:
    (build / file).unlink() if content is None else (build / file).write_text(content)
    with pytest.raises(BadInput, match=what):
        stored.read(build)


def test_a_record_without_clips_or_folds_is_refused(build: Path) -> None:
    file = build / "evaluation/record.json"
    whole = json.loads(file.read_text())
    for key, what in (("clips", "no clip_id"), ("folds", "no fold")):
        file.write_text(json.dumps(whole | {key: []}))
        with pytest.raises(BadInput, match=what):
            stored.read(build)


def _lus(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    command = [Path(sys.executable).with_name("lus"), "audit", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_lists_what_was_found_what_passed_and_what_is_not_known(build: Path) -> None:
    _write(build, replace(planted.clean(), stated_leak="one head is carried through the folds"))
    done = _lus(cwd=build.parent)
    assert done.returncode == 2
    assert "leaks by its own rule: one head is carried through the folds" in " ".join(done.stdout.split())
    assert "nothing found by: clips, patients, content," in done.stdout
    assert done.stderr == "lus: the evaluation leaks: its number is not that of new patients; each leak is listed\n"
    as_json = _lus("--json", cwd=build.parent)
    assert as_json.returncode == 2
    assert [one["level"] for one in json.loads(as_json.stdout)["findings"]] == ["leak"]


def test_the_command_ends_with_status_zero_where_nothing_leaks(build: Path) -> None:
    done = _lus(cwd=build.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing found by: protocol, clips, patients,")


def test_a_copy_that_was_left_out_makes_its_patient_and_the_originals_one(tmp_path: Path) -> None:
    clean = planted.clean()
    patients = clean.clips["patient"]
    row, other = planted.ends(clean)[0], planted.ends(clean)[2]
    named = planted.cells(clean, "patient", dict.fromkeys(np.flatnonzero(patients == patients[other]), "07"))
    copy = planted.pairs(clean.clips, (row, row)).assign(
        other_path="copy.mp4", patient=patients[row], other_patient="07", distance=0.0
    )
    found = run_audit(stored.read(_write(tmp_path / "build", replace(named, near_duplicates=copy))))
    assert {one.check for one in found.findings if one.level == LEAK} == {"patients"}
    (finding,) = (one for one in found.findings if one.check == "patients")
    assert finding.evidence["folds"]["fold 0"]["patients"] == [f"07 + {patients[row]}"]  # type: ignore[index]
