"""MLflow is connected to, and what its server refuses is said in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from lus.cli import main
from lus.common.errors import BadInput
from lus.tracking import client
from tests.servers import answering


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

    found = client.explain_refusal(MlflowException(said, ErrorCode.Value(code)))
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

    assert client.explain_refusal(MlflowException.invalid_parameter_value("no such key")) is None
    assert client.explain_refusal(ValueError("API request to")) is None


def test_a_tracking_store_that_cannot_be_used_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(BadInput, match=r"MLflow at http://127\.0\.0\.1:9 does not answer"):
        client.connect()
