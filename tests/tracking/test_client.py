from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lus.cli import main
from lus.common.errors import BadInput
from lus.tracking import client
from tests.servers import answering


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_lineage_names_the_commit_and_whether_the_sources_are_as_committed(project: Path) -> None:
    _git(project, "init", "--quiet")
    _git(project, "add", "params.yaml")
    _git(project, "commit", "--quiet", "--message", "one")
    assert client.lineage({})["git_commit"] == _git(project, "rev-parse", "HEAD")
    assert client.lineage({})["git_clean"] == "true"
    (project / "dvc.lock").write_text("made by the pipeline")
    (project / "params.yaml").write_text("kept with every version")
    assert client.lineage({})["git_clean"] == "true"
    (project / "src").mkdir()
    (project / "src" / "new.py").write_text("pass")
    assert client.lineage({})["git_clean"] == "false"


def test_an_experiment_that_another_process_makes_at_the_same_moment_is_used(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    client.connect()
    real, asked = mlflow.get_experiment_by_name, []

    def not_yet(name: str) -> object:
        asked.append(name)
        return None if len(asked) == 1 else real(name)

    monkeypatch.setattr(mlflow, "get_experiment_by_name", not_yet)
    client.connect()
    assert asked == ["lus", "lus"]


def test_lineage_without_a_repository_says_so(project: Path) -> None:
    found = client.lineage({})
    assert (found["git_commit"], found["git_clean"]) == ("none", "unknown")


def test_lineage_hashes_the_files_that_are_there(project: Path) -> None:
    (project / "a").write_bytes(b"content")
    found = client.lineage({"a": project / "a", "b": project / "b"})
    assert found["a_sha256"] == hashlib.sha256(b"content").hexdigest()
    assert "b_sha256" not in found


def test_runs_and_artifacts_stay_in_the_project_by_default(project: Path) -> None:
    import mlflow

    client.connect()
    with mlflow.start_run(tags=client.prefixed({"kind": "trial", "mark": "x"})) as run:
        mlflow.log_text("hello", "note.txt")
    assert (project / "mlartifacts" / run.info.run_id / "artifacts" / "note.txt").read_text() == "hello"
    found = client.find_run(kind="trial", mark="x")
    assert found is not None
    assert found.info.run_id == run.info.run_id
    assert client.find_run(kind="trial", mark="y") is None


@pytest.mark.parametrize(
    ("code", "said", "advice"),
    [
        ("PERMISSION_DENIED", "API request to endpoint /api/x failed with error code 403", "ask for that right"),
        ("INTERNAL_ERROR", "API request to http://me:p@secret@host/api/x failed with exception", "see to the server"),
        ("TEMPORARILY_UNAVAILABLE", "(psycopg.OperationalError) connection failed", "see to the server"),
    ],
)
def test_what_a_server_refuses_half_way_is_one_sentence_without_its_password(code: str, said: str, advice: str) -> None:
    from mlflow.exceptions import ErrorCode, MlflowException

    found = client.refusal(MlflowException(said, ErrorCode.Value(code)))
    assert found is not None
    assert advice in found
    assert "secret" not in found


def test_a_server_that_is_there_and_cannot_do_anything_is_named_without_its_password(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with answering(200, otherwise=503) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("://", "://me:p@secret@"))
        with pytest.raises(BadInput, match=r"MLflow at http://127\S+/base cannot be used \(API request to") as refused:
            client.connect()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_artifacts_that_a_server_refuses_are_said_in_a_sentence_without_its_password(
    status: int, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:p@secret@here")
    with answering(200, otherwise=status) as address:
        folder = address.replace("://", "://me:p@secret@")
        with pytest.raises(Exception, match=str(status)) as listed:
            mlflow.artifacts.list_artifacts(artifact_uri=f"{folder}/api/2.0/mlflow-artifacts/artifacts/1/artifacts")
    said = main._sentence(listed.value)
    assert said is not None, repr(listed.value)
    assert said.startswith("MLflow at http://here: ")
    assert ("ask for that right" if status < 500 else "see to the server") in said
    assert "secret" not in said


def test_artifacts_whose_server_is_gone_or_that_fail_to_download_are_said_in_a_sentence() -> None:
    import requests
    from mlflow.exceptions import MlflowException

    with pytest.raises(requests.ConnectionError) as gone:
        requests.get("http://me:p@secret@127.0.0.1:9/x", timeout=5)
    said = main._sentence(gone.value)
    assert said is not None
    assert "see to the server" in said
    failed = "The following failures occurred while downloading one or more artifacts from http://me:p@secret@host/1:"
    said = main._sentence(MlflowException(failed))
    assert said is not None
    assert "from http://host/1" in said


def test_a_fault_of_the_program_at_mlflow_is_no_refusal() -> None:
    from mlflow.exceptions import MlflowException

    assert client.refusal(MlflowException.invalid_parameter_value("no such key")) is None
    assert client.refusal(ValueError("API request to")) is None


def test_a_tracking_store_that_cannot_be_used_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(BadInput, match=r"MLflow at http://127\.0\.0\.1:9 does not answer"):
        client.connect()


OWNER = [sys.executable, "-c", "from lus.tracking import client; print(client.owner())"]


def test_a_process_is_known_to_live_and_one_that_has_ended_to_be_gone() -> None:
    gone = subprocess.run(OWNER, capture_output=True, text=True, check=True).stdout.strip()
    assert (client.alive(client.owner()), client.alive(gone)) == (True, False)


def test_of_a_process_on_another_machine_with_the_same_name_nothing_is_known() -> None:
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.is_file():
        pytest.skip("this system has no identity of its start")
    elsewhere = client.owner().replace(boot.read_text().strip(), "00000000-0000-4000-8000-000000000000")
    assert elsewhere != client.owner()
    assert client.alive(elsewhere) is None


def test_of_a_process_in_another_container_with_the_same_name_nothing_is_known() -> None:
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    try:
        subprocess.run([*apart, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("namespaces of processes cannot be made here")
    elsewhere = subprocess.run([*apart, *OWNER], capture_output=True, text=True, check=True).stdout.strip()
    assert elsewhere.startswith(socket.gethostname())
    assert client.alive(elsewhere) is None


def test_the_owner_of_an_older_run_is_looked_for_by_the_name_of_its_machine() -> None:
    _, pid, began = client.owner().rsplit(" ", 2)
    assert client.alive(f"{socket.gethostname()} {pid} {began}") is True
    assert client.alive(f"{socket.gethostname()} {os.getpid()} 1.00") is False
    assert client.alive(f"elsewhere {pid} {began}") is None
