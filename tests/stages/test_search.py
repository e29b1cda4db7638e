"""What a search leaves behind: trials, and runs in a real MLflow store."""

from __future__ import annotations

import re
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from lus.common import hashing
from lus.features import featureset
from lus.search import trials_file
from tests.small_runs import LENGTH, SEARCH, feature_set, run_search, runs_with


def test_every_trial_is_a_nested_run_with_its_parameters_and_scores(searched: Path) -> None:
    assert {run.info.status for run in runs_with()} == {"FINISHED"}
    found = trials_file.read(searched / "search" / f"xception-{LENGTH}")
    assert [part.part for part in found.parts] == ["fold-0", "fold-1", "all"]
    for part in found.parts:
        (parent,) = runs_with(kind="search", part=part.part)
        assert parent.info.run_name == f"{part.part} · search xception-{LENGTH}"
        nested = runs_with(kind="trial", part=part.part)
        assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
        by_number = {run.data.params["number"]: run for run in nested}
        assert len(nested) == len(part.trials) == SEARCH.trials
        for trial in part.trials:
            run = by_number[str(trial.number)]
            said = {name: run.data.params[name] for name in trial.head.used()}
            assert said == {name: str(value) for name, value in trial.head.used().items()}
            assert run.data.params["head"] == str(trial.head)
            assert run.data.metrics["loss"] == pytest.approx(trial.loss)
            assert run.data.metrics["accuracy"] == pytest.approx(trial.accuracy)
            losses = MlflowClient().get_metric_history(run.info.run_id, "fold_loss")
            assert [one.value for one in losses] == pytest.approx([fold.loss for fold in trial.folds])
            course = MlflowClient().get_metric_history(run.info.run_id, "val_loss/fold-0")
            assert course[trial.folds[0].epochs - 1].value == pytest.approx(trial.folds[0].loss, abs=1e-6)
            assert min(one.value for one in course) == pytest.approx(trial.folds[0].loss, abs=1e-6)
        assert parent.data.metrics["best_loss"] == pytest.approx(part.best.loss)
        assert parent.data.metrics["trials_finished"] == SEARCH.trials


def test_a_run_says_what_it_was_run_on_what_became_of_it_and_what_it_took(searched: Path) -> None:
    folder = searched / "features" / f"xception-{LENGTH}"
    for run in runs_with(kind="trial"):
        tags = run.data.tags
        assert tags["lus.state"] == "finished"
        assert tags["lus.features_sha256"] == hashing.sha256(folder / featureset.FEATURES_FILE)
        assert tags["lus.cohort"] == f"sha256:{hashing.sha256(folder / featureset.CLIPS_FILE)}"
        assert tags["lus.seed"] == run.data.params["seed"] == str(SEARCH.seed)
        assert {"lus.git_commit", "lus.study", "mlflow.note.content"} <= set(tags)
        assert run.info.run_name == f"{tags['lus.part']} {int(run.data.params['number']):02d}: " + ", ".join(
            (run.data.params["head"], run.data.params["optimiser"])
        )
        assert run.data.metrics["seconds"] > run.data.metrics["seconds_per_epoch"] > 0
        assert 100 < run.data.metrics["peak_memory_mb"] < 20_000
        (dataset,) = run.inputs.dataset_inputs
        assert dataset.dataset.name == f"clips of {tags['lus.part']}"
        assert dataset.dataset.digest
    of_parts = {run.inputs.dataset_inputs[0].dataset.digest for run in runs_with(kind="search")}
    assert len(of_parts) == 3


def test_a_searchs_run_carries_its_plots_in_a_page_of_its_own_and_its_best_trial_in_pictures(searched: Path) -> None:
    for run in runs_with(kind="search"):
        folder = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(searched / "got")))
        assert {path.name for path in folder.iterdir()} >= {
            "study.html",
            "best-confusion.png",
            "best-curves.png",
            "trials.json",
        }
        page = (folder / "study.html").read_text()
        assert "Plotly.newPlot" in page
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
        for name in ("How it went", "All parameters", "Loss by parameter"):
            assert name in page


def test_what_a_folds_test_clips_look_like_changes_neither_proposals_nor_scores_of_that_fold(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = project / "build"
    folder = feature_set(build)
    space = SEARCH.model_copy(update={"trials": 10, "epochs": 2})  # so that TPE has begun to learn from them
    before = run_search(build, params_=space)
    features = np.load(folder / featureset.FEATURES_FILE)
    rng = np.random.default_rng(9)
    test = before.get_part("fold-0").test
    features[test] = rng.normal(5, 3, features[test].shape)
    np.save(folder / featureset.FEATURES_FILE, features)
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{project}/again.db")  # nothing is known from before
    after = run_search(build, params_=space)
    assert after.get_part("fold-0").trials == before.get_part("fold-0").trials
    for part in ("fold-1", "all"):
        assert after.get_part(part).trials != before.get_part(part).trials
