from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from typer.testing import CliRunner

from lus.cli import main
from lus.clips import cohort
from lus.common import params_file
from lus.common.errors import BadInput
from lus.registry import models, promotion
from lus.tracking import client
from tests import versions
from tests.conftest import make_cohort

RUN = CliRunner()


@pytest.fixture
def trained(project: Path) -> Path:
    """A project with a version, and the folder of the clips that it was trained on."""
    folder = make_cohort(project / "mine", ["normal", "sick"], patients=5, clips=1)
    params = params_file.load_params()
    table, _ = cohort.build(folder, params.cohort, params.limits)
    table.to_csv(project / "clips.csv", index=False)
    assert versions.add(clips=project / "clips.csv") == "1"
    return folder


def _other(project: Path, labels: list[str]) -> Path:
    """A cohort of the same kind with other pictures: its clips are named for other numbers, which are their seeds."""
    made = make_cohort(project / "all", [*["spare"] * 3, *labels], patients=5, clips=1)
    folder = project / "other"
    for label in labels:
        shutil.move(made / label, folder / label)
    return folder


def _validate(*arguments: str) -> dict[str, object]:
    done = RUN.invoke(main.app, ["validate", "1", *arguments, "--json"])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return dict(json.loads(done.stdout))


def test_a_version_is_validated_and_a_planted_patient_of_its_training_is_named(project: Path, trained: Path) -> None:
    other = _other(project, ["normal", "sick"])
    planted = other / "sick" / "guest"
    planted.mkdir()
    shutil.copy(next((trained / "sick").rglob("*.avi")), planted / "clip.avi")
    (other / "sick" / "broken").mkdir()
    (other / "sick" / "broken" / "clip.avi").write_bytes(b"no video")
    found = _validate(str(other))
    assert (found["clips"], found["patients"], found["trained_on"], found["refused"]) == (10, 10, 1, 1)
    (leak,) = [one for one in found["findings"] if one["level"] == "leak"]  # type: ignore[attr-defined]
    assert leak["evidence"]["patients"] == ["guest"]
    assert 0 <= float(str(found["accuracy"])) <= 1
    assert {"brier", "sensitivity_at_specificity_0.9.sick"} <= found.keys()


def test_it_is_a_run_that_is_linked_to_the_version(project: Path, trained: Path) -> None:
    other = _other(project, ["ill", "normal", "well"])
    found = _validate(
        str(other), "--map", "ill=sick", "--map", "well=normal", "--leave-out", "normal", "--out", "found"
    )
    assert found["labels"] == {"ill": ["sick"], "well": ["normal"]}
    client.connect()
    (run,) = mlflow.search_runs(
        experiment_names=[client.EXPERIMENT], filter_string="tags.`lus.kind` = 'validation'", output_format="list"
    )
    assert (run.data.tags["lus.version"], run.data.tags["lus.cohort"]) == ("1", "other")
    assert run.data.metrics["accuracy"] == pytest.approx(found["accuracy"])
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["other"]
    version = client.get_client().get_model_version(versions.NAME, "1")
    linked = client.get_client().get_logged_model(models.logged_model_id(version))
    assert {one.key for one in linked.metrics or []} >= {"accuracy"}
    shown = json.loads(RUN.invoke(main.app, ["show", "1", "--json"]).stdout)
    assert [(one["cohort"], one["clips"]) for one in shown["validations"]] == [("other", 10)]
    table, everything = (
        RUN.invoke(main.app, ["show", *arguments], env={"COLUMNS": "240"}).stdout for arguments in ([], ["1", "--all"])
    )
    assert "lus-classifier version 1 (challenger)" in table
    assert "git_commit" not in table
    assert everything.index("CNN's weights") < everything.index("Test metrics") < everything.index("git_commit")
    assert shown["summary"]["other cohorts"].startswith("other: accuracy")
    assert "always the most frequent label 0.500, 10 clips of 10 patients" in table
    kept = [file.read_text() for file in (project / "mlartifacts").rglob("validation/*.*")]
    assert len(kept) == 4
    assert [text for text in kept if str(other) in text] == []
    predictions = pd.read_csv(project / "found" / "predictions.csv")
    assert set(predictions["predicted"]) <= {"ill", "well"}
    assert (project / "found" / "validation.json").is_file()


def test_a_cohort_that_was_all_trained_on_is_refused(project: Path, trained: Path) -> None:
    with pytest.raises(BadInput, match="trained on clips of every patient"):
        _validate(str(trained))


def test_a_folder_without_labels_is_refused(project: Path, trained: Path) -> None:
    (project / "loose").mkdir()
    shutil.copy(next(trained.rglob("*.avi")), project / "loose" / "clip.avi")
    with pytest.raises(BadInput, match="no label"):
        _validate(str(project / "loose"))


def test_the_gate_asks_for_the_cohorts_that_it_names(project: Path, trained: Path) -> None:
    other = _other(project, ["normal", "sick"])
    promote = params_file.load_params().promote.model_copy(update={"validation": ("other",)})
    version = client.connect().get_model_version(versions.NAME, "1")
    before = promotion.conditions(version, None, promote, "openvino-f32")[-1]
    assert (before.passed, before.name) == (False, "validation")
    assert "other: not validated there" in before.found
    found = _validate(str(other))
    after = promotion.conditions(version, None, promote, "openvino-f32")[-1]
    assert f"accuracy {float(str(found['accuracy'])):.3f} " in after.found
    assert "on 10 clips of 10 patients" in after.found
