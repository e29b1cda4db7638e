from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import optuna
import pytest
from optuna.trial import TrialState

from lus.search import storage
from lus.search.close_runs import close_finished_runs
from lus.search.mlflow_log import create_run
from lus.search.mlflow_runs import SearchRun
from lus.tracking import client, processes, runs


@pytest.fixture
def gone() -> str:
    """A process of this machine that has ended."""
    code = "from lus.tracking import processes; print(processes.owner())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _nested(parent: str, trial: int, owner: str) -> str:
    tags = {"mlflow.parentRunId": parent, "lus.trial": str(trial), runs.OWNER_TAG: owner}
    return create_run(f"trial {trial}", tags)


def _status(run_id: str) -> tuple[str, str | None]:
    run = mlflow.get_run(run_id)
    return run.info.status, run.data.tags.get("lus.state")


def test_the_run_of_a_trial_ends_as_the_trial_did_and_those_of_other_living_processes_are_left_alone(
    project: Path, gone: str
) -> None:
    client.connect()
    own, elsewhere = processes.owner(), f"elsewhere {os.getpid()} 1.00"
    study = optuna.create_study()
    for owner, state in (
        (own, "COMPLETE"),
        (own, "RUNNING"),
        (gone, "FAIL"),
        (gone, "COMPLETE"),
        (elsewhere, "COMPLETE"),
    ):
        trial = study.ask()
        trial.set_user_attr(storage.OWNER, owner)
        if state == "COMPLETE":
            storage.write_end(trial)
        if state != "RUNNING":
            study.tell(trial, 1.0 if state == "COMPLETE" else None, state=TrialState[state])
    failed = study.ask()
    failed.set_user_attr(storage.OWNER, own)
    failed.set_user_attr(storage.ERROR, "ValueError: no")
    study.tell(failed, state=TrialState.FAIL)
    parent = create_run("search", {})
    of_trials = [_nested(parent, one.number, one.user_attrs[storage.OWNER]) for one in study.trials]
    # Of a study in another storage that is shown in the same place: the same number, another trial.
    foreign, twin = _nested(parent, 99, elsewhere), _nested(parent, 0, elsewhere)
    orphan = _nested(parent, 0, gone)
    close_finished_runs(study, SearchRun(parent, {}, None, None, 1))  # type: ignore[arg-type]
    assert [_status(run_id) for run_id in of_trials] == [
        ("FINISHED", "finished"),
        ("RUNNING", None),
        ("KILLED", "killed"),
        ("FINISHED", "finished"),
        ("RUNNING", None),
        ("FAILED", "failed"),
    ]
    assert [_status(run_id)[0] for run_id in (foreign, twin, orphan)] == ["RUNNING", "RUNNING", "KILLED"]
    assert mlflow.get_run(of_trials[5]).data.tags["lus.error"] == "ValueError: no"


@pytest.mark.parametrize("zone", ["Etc/GMT+9", "Etc/GMT-9"])
def test_the_run_of_a_trial_of_another_machine_is_ended_for_it_by_the_time_that_it_wrote_itself(
    project: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.connect()
    elsewhere = f"elsewhere {os.getpid()} 1.00"
    study = optuna.create_study()
    now = datetime.now(UTC)
    ends = {"just now": now, "long ago": now - timedelta(seconds=storage.GRACE + 1), "by others": None, "not yet": None}
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)  # that of the machine which tells Optuna
        time.tzset()
        for end, when in ends.items():
            trial = study.ask()
            trial.set_user_attr(storage.OWNER, elsewhere)
            if when is not None:
                trial.set_user_attr(storage.ENDED, when.isoformat())
                study.tell(trial, 1.0)
            elif end == "by others":
                study.tell(trial, state=TrialState.FAIL)
    time.tzset()
    parent = create_run("search", {})
    of_trials = [_nested(parent, one.number, elsewhere) for one in study.trials]
    close_finished_runs(study, SearchRun(parent, {}, None, None, 1))  # type: ignore[arg-type]
    found = dict(zip(ends, (_status(run_id)[0] for run_id in of_trials), strict=True))
    assert found == {"just now": "RUNNING", "long ago": "FINISHED", "by others": "KILLED", "not yet": "RUNNING"}
