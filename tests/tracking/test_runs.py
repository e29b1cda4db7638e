"""Runs are found by their tags, and end with their processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lus.tracking import client, processes, runs


def test_runs_and_artifacts_stay_in_the_project_by_default(project: Path) -> None:
    import mlflow

    client.connect()
    with mlflow.start_run(tags=runs.prefix_tags({"kind": "trial", "mark": "x"})) as run:
        mlflow.log_text("hello", "note.txt")
    assert (project / "mlartifacts" / run.info.run_id / "artifacts" / "note.txt").read_text() == "hello"
    found = runs.find_run(kind="trial", mark="x")
    assert found is not None
    assert found.info.run_id == run.info.run_id
    assert runs.find_run(kind="trial", mark="y") is None


def test_runs_of_processes_that_are_gone_end_as_killed(project: Path) -> None:
    code = "from lus.tracking import processes; print(processes.owner())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    client.connect()
    mlflow_client, experiment = client.get_client(), client.ensure_experiment(client.EXPERIMENT)
    owners = (done.stdout.strip(), processes.owner(), "elsewhere 1 1.00")
    made = [mlflow_client.create_run(experiment, tags={runs.OWNER_TAG: owner}).info.run_id for owner in owners]
    assert runs.kill_orphaned_runs() == 1
    assert [mlflow_client.get_run(one).info.status for one in made] == ["KILLED", "RUNNING", "RUNNING"]
