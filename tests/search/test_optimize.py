"""Searches that are killed, joined and fail, on tiny features, with real storages."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from lus.common import params, params_file
from lus.common.params import Search
from lus.features.featureset import Info
from lus.heads import training
from lus.search import trials_file
from lus.stages import search
from tests.conftest import ROOT
from tests.feature_files import write_features
from tests.servers import make_database, mlflow_server, postgres
from tests.small_runs import made_clips

CLIPS, LENGTH, DIM = 24, 4, 16
CUT = params.Folds(seed=11, outer=2, inner=2)
SPACE = params_file.load_params(ROOT / "params.yaml").search.model_copy(
    update={"trials": 10, "epochs": 3, "units": (4, 8), "dense": (4, 8), "max_dense_layers": 2, "batch": (4, 8)}
)
NAME = f"xception-{LENGTH}"


def _feature_set(folder: Path) -> Path:
    clips = made_clips(CLIPS)
    features = np.random.default_rng(0).normal(0, 1, (CLIPS, LENGTH, DIM)).astype(np.float32)
    features[clips["label"] == "sick", :, :4] += 0.5
    folder.mkdir(parents=True)
    write_features(folder, features, clips, Info("xception", LENGTH, DIM, 71, 71, "random", "none"))
    return folder


def _run(folder: Path, out: str, space: Search) -> None:
    os.chdir(folder)
    search.run(folder / NAME, folder / out, space, CUT)


def _live(environment: dict[str, str], folder: Path, out: str, space: Search) -> None:
    # The server that lives are forked from has the environment of the first test that began one.
    os.environ.clear()
    os.environ.update(environment)
    _run(folder, out, space)


# Begun from a process that has imported all of it, so that a new life takes no time.
FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(["lus.stages.search", "tensorflow", "keras", "mlflow", "optuna", "sklearn", "psycopg"])


def _begin(folder: Path, out: str, space: Search = SPACE) -> BaseProcess:
    process = FRESH.Process(target=_live, args=(dict(os.environ), folder, out, space))
    process.start()
    return process


def _finished(database: Path) -> int:
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
            query = "select count(*) from trials where state in ('COMPLETE', 'PRUNED')"
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # nothing there yet


def _runs(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("lus")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], max_results=1000))


def _of_kind(runs: list[Run], kind: str) -> list[Run]:
    return [run for run in runs if run.data.tags["lus.kind"] == kind]


@pytest.mark.slow
def test_a_search_killed_ten_times_ends_with_all_its_trials_each_once_and_as_an_unbroken_one(project: Path) -> None:
    _feature_set(project / NAME)
    # Of one kind of layers and optimiser, so that a life is not spent on tracing others.
    space = SPACE.model_copy(update={"max_dense_layers": 1, "optimiser": ("adam",)})
    draw = random.Random(5)  # noqa: S311
    kills = sorted(draw.sample(range(1, 29), 8))
    for at in [None, *kills, None]:
        life = _begin(project, "broken", space)
        while at is not None and _finished(project / ".lus/optuna.db") < at:
            assert life.is_alive()
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 1))
        os.kill(life.pid or 0, signal.SIGKILL)
        life.join()
        assert life.exitcode == -signal.SIGKILL
    last = _begin(project, "broken", space)
    last.join()
    assert last.exitcode == 0

    runs = _runs(f"sqlite:///{project}/mlflow.db")
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    done = [run for run in _of_kind(runs, "trial") if run.info.status == "FINISHED"]
    assert len(done) == 30
    assert len({(run.data.params["part"], run.data.params["number"]) for run in done}) == 30
    assert len({(run.data.params["part"], run.data.params["learning_rate"]) for run in done}) == 30
    assert [run.info.status for run in _of_kind(runs, "search")] == ["FINISHED"] * 3

    (project / ".lus/optuna.db").rename(project / "broken.db")
    unbroken = _begin(project, "unbroken", space)
    unbroken.join()
    assert unbroken.exitcode == 0
    one, two = (project / name / trials_file.TRIALS_FILE for name in ("broken", "unbroken"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
def test_two_processes_share_a_search_on_postgresql_and_one_mlflow_server(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _feature_set(project / NAME)
    with postgres() as address:
        storage = make_database(address, "optuna")
        monkeypatch.setenv("OPTUNA_STORAGE", storage)
        with mlflow_server(make_database(address, "mlflow"), project / "artifacts") as server:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
            both = [_begin(project, out) for out in ("one", "two")]
            for process in both:
                process.join()
            assert [process.exitcode for process in both] == [0, 0]
            runs = _runs(server)
            (parent,) = [run for run in _of_kind(runs, "search") if run.data.tags["lus.part"] == "all"]
            files = {file.path for file in MlflowClient(server).list_artifacts(parent.info.run_id)}
        studies = optuna.get_all_study_summaries(storage.replace("postgresql://", "postgresql+psycopg://"))
        assert len(studies) == 3
    assert (project / "one/trials.json").read_bytes() == (project / "two/trials.json").read_bytes()
    found = trials_file.read(project / "one")
    for part in found.parts:
        assert [trial.number for trial in part.trials] == list(range(SPACE.trials))
        assert len({json.dumps(trial.head.to_dict()) for trial in part.trials}) == SPACE.trials
    nested = _of_kind(runs, "trial")
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(nested) == 30
    assert len({run.data.tags["lus.owner"] for run in nested}) == 2  # both had a part in it
    assert len(_of_kind(runs, "search")) == 3
    assert {"study.html", "best-curves.png", "best-confusion.png"} <= files
    assert any((project / "artifacts").rglob("study.html"))  # through the server, into its own folder


@pytest.mark.slow
def test_workers_share_the_trials_of_a_search(project: Path) -> None:
    _feature_set(project / NAME)
    process = _begin(project, "out", SPACE.model_copy(update={"workers": 2, "trials": 6}))
    process.join()
    assert process.exitcode == 0
    runs = _runs(f"sqlite:///{project}/mlflow.db")
    assert len({run.data.tags["lus.owner"] for run in _of_kind(runs, "trial")}) == 2
    assert {run.info.status for run in runs} == {"FINISHED"}
    for part in trials_file.read(project / "out").parts:
        assert [trial.number for trial in part.trials] == list(range(6))


def test_a_larger_budget_adds_trials_to_those_that_there_are(project: Path) -> None:
    _feature_set(project / NAME)
    two, three = (SPACE.model_copy(update={"trials": count, "epochs": 1}) for count in (2, 3))
    _run(project, "small", two)
    _run(project, "large", three)
    small, large = trials_file.read(project / "small"), trials_file.read(project / "large")
    for before, after in zip(small.parts, large.parts, strict=True):
        assert after.trials[:2] == before.trials
        assert len(after.trials) == 3
    _run(project, "small again", two)
    assert (project / "small again/trials.json").read_bytes() == (project / "small/trials.json").read_bytes()
    runs = _runs(f"sqlite:///{project}/mlflow.db")
    assert (len(_of_kind(runs, "search")), len(_of_kind(runs, "trial"))) == (3, 9)


def test_a_trial_that_raises_is_shown_as_failed_and_the_search_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _feature_set(project / NAME)
    real, calls = training.train, []

    def once(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError("too much")
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train", once)
    _run(project, "out", SPACE.model_copy(update={"trials": 2, "epochs": 1}))
    failed = [run for run in _runs(f"sqlite:///{project}/mlflow.db") if run.info.status != "FINISHED"]
    assert [run.info.status for run in failed] == ["FAILED"]
    assert failed[0].data.tags["lus.state"] == "failed"
    assert failed[0].data.tags["lus.error"] == "MemoryError: too much"
    assert [len(part.trials) for part in trials_file.read(project / "out").parts] == [2, 2, 2]


def test_trials_that_fail_one_after_the_other_end_the_search_and_its_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _feature_set(project / NAME)

    def broken(*arguments: object, **options: object) -> object:
        raise ValueError("no such thing")

    monkeypatch.setattr(training, "train", broken)
    with pytest.raises(RuntimeError, match=r"3 trials of xception-4/fold-0/.* in a row failed.*no such thing"):
        _run(project, "out", SPACE)
    runs = _runs(f"sqlite:///{project}/mlflow.db")
    assert [run.info.status for run in _of_kind(runs, "trial")] == ["FAILED"] * 3
    # That of the part it failed at, and those whose turn will not come.
    assert sorted(run.info.status for run in _of_kind(runs, "search")) == ["FAILED", "KILLED", "KILLED"]
