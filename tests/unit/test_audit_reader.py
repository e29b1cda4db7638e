from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lus import cohort, folds
from lus.audit import checks, reader
from lus.errors import BadInput
from tests.unit import planted


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A folder as the stages write it, of the clean made-up evaluation."""
    one = planted.clean()
    assert one.probabilities is not None
    labels, table = folds.label_names(one.clips), one.clips[["clip_id", "path", "patient", "label"]].copy()
    table["predicted"] = [labels[number] for number in one.probabilities.argmax(axis=1)]
    table["fold"] = 0
    for number, record in enumerate(one.folds):
        table.loc[record.test, "fold"] = number
    for number, name in enumerate(labels):
        table[f"p_{name}"] = one.probabilities[:, number].round(6)
    build = tmp_path / "build"
    _write(build, table, [record.accuracy for record in one.folds])
    rows = one.clips.reindex(columns=list(cohort.COLUMNS), fill_value="").assign(fps=20.0)
    rows.iloc[::-1].to_csv(build / "cohort.csv", index=False)
    (build / "checks").mkdir()
    planted.pairs(one.clips).to_csv(build / "checks/near-duplicates.csv", index=False)
    return build


def _write(build: Path, predictions: pd.DataFrame, accuracies: list[float | None], protocol: str | None = None) -> None:
    (build / "evaluation").mkdir(parents=True, exist_ok=True)
    predictions.to_csv(build / "evaluation/predictions.csv", index=False)
    figures = {
        "protocol": protocol or "nested-patient",
        "folds": [{"fold": number, "accuracy": one} for number, one in enumerate(accuracies)],
    }
    (build / "evaluation/metrics.json").write_text(json.dumps(figures))


def _change(build: Path, change: Callable[[dict[str, object]], None]) -> None:
    file = build / "evaluation/metrics.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_what_evaluate_writes_is_read_and_passes(build: Path) -> None:
    one, clean = reader.read(build), planted.clean()
    assert [record.test.tolist() for record in one.folds] == [record.test.tolist() for record in clean.folds]
    assert [record.train.tolist() for record in one.folds] == [record.train.tolist() for record in clean.folds]
    assert one.probabilities == pytest.approx(clean.probabilities, abs=1e-5)
    assert one.clips["source"].tolist() == clean.clips["source"].tolist()
    found = checks.run(one)
    assert found.findings == []
    # What the files do not say: they hold neither weights nor what a choice rests on.
    assert found.unknown == ["weights", "memory", "statistics", "selection", "sources"]


def test_a_patient_cut_by_the_folds_is_found_in_the_files(build: Path) -> None:
    file = build / "evaluation/predictions.csv"
    table = pd.read_csv(file)
    table.loc[0, "fold"] = (table.loc[0, "fold"] + 1) % planted.FOLDS
    table.to_csv(file, index=False)
    found = checks.run(reader.read(build))
    assert found.leaking
    assert {one.check for one in found.findings} == {"patients", "figures"}


def test_near_duplicates_of_the_guards_are_looked_for_across_the_folds(build: Path) -> None:
    one = planted.clean()
    first, second = int(one.folds[0].test[0]), int(one.folds[1].test[0])
    planted.pairs(one.clips, (first, second)).to_csv(build / "checks/near-duplicates.csv", index=False)
    found = checks.run(reader.read(build)).findings
    assert [(finding.check, list(finding.evidence["folds"])) for finding in found] == [  # type: ignore[call-overload]
        ("near-duplicates", ["fold 0", "fold 1"])
    ]


def test_a_leaking_protocol_is_a_leak_whatever_its_files_hold(build: Path) -> None:
    _change(build, lambda content: content.update(protocol="published"))
    found = checks.run(reader.read(build))
    assert [finding.check for finding in found.findings] == ["protocol"]
    assert "carried through the folds" in found.findings[0].sentence


def test_without_cohort_and_guards_their_checks_are_not_made(build: Path) -> None:
    (build / "cohort.csv").unlink()
    (build / "checks/near-duplicates.csv").unlink()
    one = reader.read(build)
    assert "source" not in one.clips
    assert "near-duplicates" in checks.run(one).unknown


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("evaluation/predictions.csv", None, r"predictions.csv: not found; `dvc repro evaluate` makes it"),
        ("evaluation/predictions.csv", "", "is no table of predictions"),
        ("evaluation/predictions.csv", "clip_id,path\n1,a.mp4\n", "has no column patient, label, fold"),
        ("evaluation/predictions.csv", "clip_id,path,patient,label,fold\n1,a,p,x,0\n", "has no column p_x"),
        ("evaluation/predictions.csv", "clip_id,path,patient,label,fold,p_x\n1,a,p,x,0,high\n", "every row of p_x"),
        ("evaluation/predictions.csv", "clip_id,path,patient,label,fold,p_x\n1,a,p,x,,1.0\n", "every row of fold"),
        ("evaluation/metrics.json", None, r"metrics.json: not found; `dvc repro evaluate` makes it"),
        ("evaluation/metrics.json", "{", "is no JSON"),
        ("evaluation/metrics.json", "[]", "holds no figures"),
        ("evaluation/metrics.json", '{"protocol": "own"}', "protocol own found, one of nested-patient, .* expected"),
        (
            "evaluation/metrics.json",
            '{"protocol": "nested-patient", "folds": []}',
            r"folds \[\] found, of \[0, 1, 2, 3\]",
        ),
        ("checks/near-duplicates.csv", "a,b\n1,2\n", "has no column path, other_path, distance"),
    ],
)
def test_a_file_that_is_missing_or_is_something_else_is_named(
    build: Path, file: str, content: str | None, what: str
) -> None:
    (build / file).unlink() if content is None else (build / file).write_text(content)
    with pytest.raises(BadInput, match=what):
        reader.read(build)


def test_a_cohort_without_an_evaluated_clip_is_of_another_day(build: Path) -> None:
    table = cohort.read(build / "cohort.csv")
    table[table["path"] != "clips/0-0.mp4"].to_csv(build / "cohort.csv", index=False)
    with pytest.raises(BadInput, match=r"has no clip clips/0-0.mp4, which was evaluated"):
        reader.read(build)


def test_an_accuracy_that_could_not_be_computed_is_not_compared(build: Path) -> None:
    _change(build, lambda content: content["folds"][0].update(accuracy=None))  # type: ignore[index]
    assert "figures" in checks.run(reader.read(build)).unknown
    assert np.isfinite(reader.read(build).probabilities).all()


def _lus(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    command = [Path(sys.executable).with_name("lus"), "audit", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_lists_what_was_found_what_passed_and_what_is_not_known(build: Path) -> None:
    _change(build, lambda content: content.update(protocol="published"))
    done = _lus(cwd=build.parent)
    assert done.returncode == 2
    assert "leaks by its own rule: one head is carried through the folds" in " ".join(done.stdout.split())
    assert "nothing found by: clips, patients, content," in done.stdout
    assert "not known, so not looked at: weights, memory," in done.stdout
    assert done.stderr == "lus: the evaluation leaks: its number is not that of new patients; each leak is listed\n"
    as_json = _lus("--json", cwd=build.parent)
    assert as_json.returncode == 2
    assert [one["level"] for one in json.loads(as_json.stdout)["findings"]] == ["leak"]


def test_the_command_ends_with_status_zero_where_nothing_leaks(build: Path) -> None:
    done = _lus(cwd=build.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing found by: protocol, clips, patients,")
