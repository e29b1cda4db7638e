"""Real servers on loopback, begun and ended by the tests that need them: PostgreSQL, and MLflow on it."""

from __future__ import annotations

import http.client
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError

import httpx
import psutil
import psycopg
import pytest

from lus.cli import doctor

POSTGRES = sorted(doctor.POSTGRES.glob("*/bin"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, server: subprocess.Popen[bytes], seconds: float = 90) -> None:
    """Wait until a server answers at an address; where it does not, say what the last try met."""
    deadline = time.monotonic() + seconds
    met = "nothing was tried"
    while time.monotonic() < deadline:
        assert server.poll() is None, f"the server ended; the last try met: {met}"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError as error:
            met = _describe_error(error)
            time.sleep(0.5)
    raise AssertionError(f"{url} did not answer within {seconds} s; the last try met: {met}")


def _describe_error(error: OSError) -> str:
    """An HTTP error with its status and the beginning of its body, or what went wrong on the way."""
    if not isinstance(error, HTTPError):
        return repr(error)
    with error:
        try:
            body = error.read(500).decode(errors="replace")
        except (OSError, http.client.HTTPException) as unread:
            body = f"unreadable body: {unread!r}"
    return f"{error.code} {error.reason}: {body}"


def end(server: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """End a server in a process group of its own, and what it started, in whatever group."""
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(server.pid).children(recursive=True)
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(seconds)
        for left in psutil.wait_procs(started, timeout=5)[1]:
            with suppress(psutil.NoSuchProcess):
                left.kill()


def _program(name: str) -> str:
    found = shutil.which(name) or next((str(folder / name) for folder in POSTGRES if (folder / name).is_file()), None)
    if found is None:
        pytest.skip(f"needs {name}: install Debian's package postgresql")
    return str(Path(found).resolve())


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL without data; gives its address, `postgresql://...:PORT`, to which a database's name is added."""
    initdb, program = _program("initdb"), _program("postgres")
    folder = Path(tempfile.mkdtemp(prefix="lus-postgres-"))
    # It refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    port = free_port()
    options = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    data = str(folder / "data")
    try:
        made = [initdb, "--no-sync", "--auth", "trust", "--username", "lus", "--encoding", "UTF8", data]
        subprocess.run(made, check=True, timeout=120, **options)
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=60"]
        server = subprocess.Popen(
            [program, "-D", data, "-p", str(port), *(part for one in settings for part in ("-c", one))],
            start_new_session=True,
            **options,
        )
        try:
            address = f"postgresql://lus@127.0.0.1:{port}"
            _wait_for_postgres(f"{address}/postgres", server)
            yield address
        finally:
            end(server)
    finally:
        shutil.rmtree(folder)


def _wait_for_postgres(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    met = "nothing was tried"
    while time.monotonic() < deadline:
        assert server.poll() is None, f"PostgreSQL ended; the last try met: {met}"
        try:
            psycopg.connect(address, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            met = str(error)
            time.sleep(0.1)
    raise AssertionError(f"PostgreSQL did not answer within 60 s; the last try met: {met}")


def make_database(address: str, name: str) -> str:
    """Make a database; returns its address."""
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")  # type: ignore[call-overload]
    return f"{address}/{name}"


def _authentication(folder: Path, administrator: str, password: str, others_may: str) -> dict[str, str]:
    """Settings under which MLflow's server knows its users."""
    settings = {
        "default_permission": others_may,
        "database_uri": f"sqlite:///{folder / 'users.db'}",
        "admin_username": administrator,
        # A password is hashed at length for every request otherwise.
        "auth_cache_ttl_seconds": "60",
    }
    file = folder / "basic-auth.ini"
    file.write_text("[mlflow]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(file),
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a test",
    }


@contextmanager
def mlflow_server(
    database: str, artifacts: Path, passwords: Mapping[str, str] | None = None, others_may: str = "EDIT"
) -> Iterator[str]:
    """MLflow's server on a PostgreSQL database, through which artifacts go too; gives its address.

    With passwords it asks for one: these are its users, the first of them the administrator; the others have one of
    MLflow's permissions in everything, by default that to change it.
    """
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", database.replace("postgresql://", "postgresql+psycopg://")),
        *("--artifacts-destination", str(artifacts)),
    ]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment = own | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment |= {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
    artifacts.mkdir(parents=True, exist_ok=True)
    if passwords:
        command += ["--app-name", "basic-auth"]
        environment |= _authentication(artifacts, *next(iter(passwords.items())), others_may)
    with (artifacts / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_ready(f"{address}/health", server, seconds=180)
            for user, password in list((passwords or {}).items())[1:]:
                body = {"username": user, "password": password}
                made = httpx.post(
                    f"{address}/api/2.0/mlflow/users/create", json=body, auth=next(iter(passwords.items())), timeout=30
                )
                assert made.status_code == 200, made.text
            yield address
        finally:
            end(server)


@contextmanager
def listening(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server of a test's own, which answers as the handler does; gives its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(status: int, otherwise: int = 404) -> Iterator[str]:
    """A server that answers /base/health with this status, and all else with another."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/base/health" else otherwise)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with listening(Handler) as address:
        yield f"{address}/base"


@contextmanager
def refusing(server: str, what: str) -> Iterator[str]:
    """Stands before a server; answers 503 to every request whose body has this in it, and hands on all others."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if what.encode() in body:
                self.send_error(503)
                return
            asked = {name: value for name, value in self.headers.items() if name not in ("Host", "Accept-Encoding")}
            found = httpx.request(self.command, f"{server}{self.path}", content=body, headers=asked, timeout=60)
            self.send_response(found.status_code)
            self.send_header("Content-Type", found.headers.get("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        do_GET = do_PATCH = do_PUT = do_DELETE = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with listening(Handler) as address:
        yield address
