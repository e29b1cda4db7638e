"""The connection to MLflow: its address, whether its server answers, and what its errors mean in a sentence."""

from __future__ import annotations

import contextlib
import functools
import http.client
import logging
import os
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import build_opener

from lus.common.errors import BadInput

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

DATABASE = Path("mlflow.db")
EXPERIMENT = "lus"
ARTIFACTS = Path("mlartifacts")
SECONDS = 10.0
"""In which a server must answer for the first time."""
LONGEST = 300
"""Characters of what a server says that are shown."""
_NOT_ALLOWED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})
_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
_NOT_THERE = frozenset({"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"})
_FAILED = ("API request to", "The following failures occurred while downloading")


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or a database in the working directory.

    The path is absolute: MLflow keeps one connection for an address, whatever the directory is later.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE.absolute()}"


def connect() -> MlflowClient:
    """Point MLflow at `MLFLOW_TRACKING_URI`, or at a local database, and make the experiment if there is none.

    Returns:
        A client of it.

    Raises:
        BadInput: the server does not answer.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    uri = tracking_uri()
    _refuse_unreachable(uri)
    # What it says of the tables that it makes on the first call is no news to anybody.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri)
    try:
        mlflow.set_experiment(experiment_id=ensure_experiment(EXPERIMENT))
    except MlflowException as error:
        raise BadInput(
            f"MLflow at {hide_password(uri)} cannot be used ({clean_message(error.message)}); name another in "
            f"MLFLOW_TRACKING_URI, or unset it to use {DATABASE} here"
        ) from None
    return get_client()


def hide_password(uri: str) -> str:
    """An address without the password that it may hold."""
    before, _, after = uri.rpartition("@")
    return f"{before.partition('://')[0]}://{after}" if before else uri


def clean_message(said: str) -> str:
    """What a server or a library says, as one short line without the passwords of addresses in it."""
    # Up to the last @ of an address: a password may have one too.
    return re.sub(r"://[^/\s]*@", "://", " ".join(said.split()))[:LONGEST]


def explain_refusal(error: Exception) -> str | None:
    """What MLflow's server does not let be done, or cannot do any more, as a sentence; None for any other error."""
    mlflow, requests = sys.modules.get("mlflow.exceptions"), sys.modules.get("requests")
    if mlflow is not None and isinstance(error, mlflow.MlflowException):
        said = clean_message(error.message)
        denied = error.error_code in _NOT_ALLOWED
        # Whatever else a request ends in is an error of the server, or of the way there.
        failed = error.error_code in _NOT_THERE or said.startswith(_FAILED)
    elif requests is not None and isinstance(error, requests.RequestException):
        # MLflow leaves these as they are where artifacts go or come.
        said, failed = clean_message(str(error)), True
        denied = error.response is not None and error.response.status_code in (401, 403)
    else:
        return None
    found = f"MLflow at {hide_password(tracking_uri())}: {said}"
    if denied:
        return f"{found}; ask for that right, or mend MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return f"{found}; see to the server, and do this again: what was done is kept" if failed else None


@functools.cache
def _refuse_unreachable(uri: str) -> None:
    """Ask once whether a server is there: MLflow itself would try again for minutes.

    Raises:
        BadInput: nothing answers.
    """
    if wrong := find_fault(uri, SECONDS):
        raise BadInput(f"MLflow at {hide_password(uri)} {wrong}; start it, or mend or unset MLFLOW_TRACKING_URI")


def find_fault(uri: str, seconds: float) -> str:
    """What is wrong with the server at an address, as in "does not answer (Connection refused)"; empty for nothing.

    Args:
        uri: as in `MLFLOW_TRACKING_URI`; one without a server has no fault.
        seconds: in which it must answer.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        if uri.startswith(("http://", "https://")):
            parts = urlsplit(uri)
            asked = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/health")
            build_opener().open(urlunsplit(asked), timeout=seconds).close()
        elif (database := make_url(uri)).host and database.port:
            socket.create_connection((database.host, database.port), seconds).close()
    except ArgumentError:
        return ""  # no database either: a folder, or a name that MLflow knows
    except HTTPError as error:
        # One that asks for a password, or has no such page, is there; a proxy that has lost it says 502 to 504.
        return f"answers {error.code}" if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR else ""
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        # With a certificate that is not known here it is there; whether that is good MLflow's own settings say.
        known = not isinstance(reason, ssl.SSLError)
        return f"does not answer ({getattr(reason, 'strerror', None) or reason})" if known else ""
    return ""


@contextlib.contextmanager
def limit_retries(retries: int, seconds: float) -> Iterator[None]:
    """Meanwhile MLflow asks a server that fails so many times more, and waits so long for each answer.

    Left to itself it waits for two minutes each time, and tries again for four.
    """
    own = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": f"{retries}", "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{seconds:.0f}"}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def ensure_experiment(name: str) -> str:
    """The identity of an experiment, which is made if there is none."""
    import mlflow
    from mlflow.exceptions import MlflowException

    found = mlflow.get_experiment_by_name(name)
    if found is None:
        # A server keeps artifacts where it was told to; a bare database needs a folder.
        location = None if tracking_uri().startswith("http") else ARTIFACTS.absolute().as_uri()
        try:
            return str(mlflow.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            # Another process may have made it in the meantime.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = mlflow.get_experiment_by_name(name)
    return str(found.experiment_id)


def get_client() -> MlflowClient:
    """A client of the tracking store that `connect` pointed at."""
    from mlflow import MlflowClient

    return MlflowClient()


def is_absent(error: MlflowException) -> bool:
    """Whether MLflow's store says that there is no such name, version or alias."""
    return error.error_code in _ABSENT
