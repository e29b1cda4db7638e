"""MLflow runs: where they are kept, and what they are tagged with."""

from __future__ import annotations

import contextlib
import functools
import http.client
import logging
import os
import platform
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import build_opener

from lus.common import hashing
from lus.common.errors import BadInput

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASE = Path("mlflow.db")
EXPERIMENT = "lus"
ARTIFACTS = Path("mlartifacts")
SECONDS = 10.0
"""In which a server must answer for the first time."""
LONGEST = 300
"""Characters of what a server says that are shown."""
_NOT_ALLOWED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})
_NOT_THERE = frozenset({"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"})
_FAILED = ("API request to", "The following failures occurred while downloading")
OWNER_TAG = "lus.owner"
"""Tag of a run with the process that it belongs to."""


def address() -> str:
    """`MLFLOW_TRACKING_URI`, or a database in the working directory.

    The path is absolute: MLflow keeps one connection for an address, whatever the directory is later.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE.absolute()}"


def connect() -> None:
    """Point MLflow at `MLFLOW_TRACKING_URI`, or at a local database, and make the experiment if there is none.

    Raises:
        BadInput: the server does not answer.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    uri = address()
    _refuse_unreachable(uri)
    # What it says of the tables that it makes on the first call is no news to anybody.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri)
    try:
        mlflow.set_experiment(experiment_id=experiment(EXPERIMENT))
    except MlflowException as error:
        raise BadInput(
            f"MLflow at {shown(uri)} cannot be used ({cleaned(error.message)}); name another in MLFLOW_TRACKING_URI, "
            f"or unset it to use {DATABASE} here"
        ) from None


def shown(uri: str) -> str:
    """An address without the password that it may hold."""
    before, _, after = uri.rpartition("@")
    return f"{before.partition('://')[0]}://{after}" if before else uri


def cleaned(said: str) -> str:
    """What a server or a library says, as one short line without the passwords of addresses in it."""
    # Up to the last @ of an address: a password may have one too.
    return re.sub(r"://[^/\s]*@", "://", " ".join(said.split()))[:LONGEST]


def refusal(error: Exception) -> str | None:
    """What MLflow's server does not let be done, or cannot do any more, as a sentence; None for any other error."""
    mlflow, requests = sys.modules.get("mlflow.exceptions"), sys.modules.get("requests")
    if mlflow is not None and isinstance(error, mlflow.MlflowException):
        said = cleaned(error.message)
        denied = error.error_code in _NOT_ALLOWED
        # Whatever else a request ends in is an error of the server, or of the way there.
        failed = error.error_code in _NOT_THERE or said.startswith(_FAILED)
    elif requests is not None and isinstance(error, requests.RequestException):
        # MLflow leaves these as they are where artifacts go or come.
        said, failed = cleaned(str(error)), True
        denied = error.response is not None and error.response.status_code in (401, 403)
    else:
        return None
    found = f"MLflow at {shown(address())}: {said}"
    if denied:
        return f"{found}; ask for that right, or mend MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    return f"{found}; see to the server, and do this again: what was done is kept" if failed else None


@functools.cache
def _refuse_unreachable(uri: str) -> None:
    """Ask once whether a server is there: MLflow itself would try again for minutes.

    Raises:
        BadInput: nothing answers.
    """
    if wrong := fault(uri, SECONDS):
        raise BadInput(f"MLflow at {shown(uri)} {wrong}; start it, or mend or unset MLFLOW_TRACKING_URI")


def fault(uri: str, seconds: float) -> str:
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
def patience(retries: int, seconds: float) -> Iterator[None]:
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


def experiment(name: str) -> str:
    """The identity of an experiment, which is made if there is none."""
    import mlflow
    from mlflow.exceptions import MlflowException

    found = mlflow.get_experiment_by_name(name)
    if found is None:
        # A server keeps artifacts where it was told to; a bare database needs a folder.
        location = None if address().startswith("http") else ARTIFACTS.absolute().as_uri()
        try:
            return str(mlflow.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            # Another process may have made it in the meantime.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = mlflow.get_experiment_by_name(name)
    return str(found.experiment_id)


def _git(*arguments: str) -> str | None:
    """What git answers; None where there is no repository or no git."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def lineage(inputs: dict[str, Path]) -> dict[str, str]:
    """Where a result comes from: git commit, whether the code is that of it, the given files' hashes, and the machine.

    Args:
        inputs: name -> file; each gives `<name>_sha256`; a missing one is left out.
    """
    commit = _git("rev-parse", "HEAD")
    # dvc.lock is written while the pipeline runs, and params.yaml is kept with every version; a new source file counts
    # as a change.
    changes = _git("status", "--porcelain", "--", "src", "dvc.yaml", "requirements")
    return {
        "git_commit": commit or "none",
        "git_clean": "unknown" if changes is None else str(not changes).lower(),
        **{f"{name}_sha256": hashing.sha256(path) for name, path in inputs.items() if path.is_file()},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def cohort_hash(clips: Path) -> str:
    """What tells this state of the cohort from others: DVC's hash of its table, else that of a file with its clips."""
    import yaml

    lock = Path("dvc.lock")
    stages = (yaml.safe_load(lock.read_text()) or {}).get("stages", {}) if lock.is_file() else {}
    for out in stages.get("cohort", {}).get("outs", []):
        if out.get("path") == "build/cohort.csv" and "md5" in out:
            return f"md5:{out['md5']}"
    return f"sha256:{hashing.sha256(clips)}"


def git_user() -> str | None:
    """The user as git knows them, as in `Name <mail> at machine`; None where it knows none."""
    name, mail = _git("config", "user.name"), _git("config", "user.email")
    return f"{name or ''} <{mail}> at {socket.gethostname()}".strip() if mail else None


def _machine() -> str:
    """What tells this machine since its start, or this container, from others that may have the same name."""
    known = [socket.gethostname()]
    with contextlib.suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        known.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(known)


def owner() -> str:
    """What tells this process from all others: its machine, its number, and when it began."""
    import psutil

    return f"{_machine()} {os.getpid()} {psutil.Process().create_time():.2f}"


def alive(whose: str) -> bool | None:
    """Whether a process is still there; None where that is not known.

    That is on another machine, in another container, and before this machine was started last.
    """
    import psutil

    machine, pid, began = whose.rsplit(" ", 2)
    # Owners of older runs have the name alone.
    if machine not in (_machine(), socket.gethostname()):
        return None
    try:
        # The number may have been given to another process since.
        return bool(abs(psutil.Process(int(pid)).create_time() - float(began)) < 1)
    except psutil.NoSuchProcess:
        return False


def kill_orphaned_runs() -> int:
    """End as killed the runs whose process on this machine is gone; returns how many there were."""
    owned = "tags.`lus.owner` LIKE '%' and attributes.status"
    open_runs = [run for status in ("RUNNING", "SCHEDULED") for run in search(f"{owned} = '{status}'")]
    dead = [run.info.run_id for run in open_runs if alive(run.data.tags[OWNER_TAG]) is False]
    for run_id in dead:
        client().set_terminated(run_id, "KILLED")
    return len(dead)


def search(condition: str, order: str = "attributes.start_time DESC", limit: int = 10_000) -> list[Run]:
    """The experiment's runs that fulfil a condition, in the words of MLflow's filters; the newest first by default."""
    import mlflow

    return list(
        mlflow.search_runs(
            experiment_names=[EXPERIMENT],
            filter_string=condition,
            order_by=[order],
            max_results=limit,
            output_format="list",
        )
    )


def client() -> MlflowClient:
    """A client of the tracking store that `connect` pointed at."""
    from mlflow import MlflowClient

    return MlflowClient()


def prefixed(tags: dict[str, str]) -> dict[str, str]:
    """Tags under this project's own prefix, as MLflow shows them beside its own."""
    return {f"lus.{name}": value for name, value in tags.items()}


def find_run(**tags: str) -> Run | None:
    """The newest finished run of the experiment with all these tags."""
    conditions = [f"tags.`lus.{name}` = '{value}'" for name, value in tags.items()]
    return next(iter(search(" and ".join([*conditions, "attributes.status = 'FINISHED'"]), limit=1)), None)
