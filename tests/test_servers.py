"""A server that does not come up says why, so that a failure can be understood from a log."""

from __future__ import annotations

import http.server
import subprocess
from collections.abc import Iterator

import pytest

from tests.servers import free_port, listening, wait_until_ready


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for the server."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


class _Unready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"no tables yet"
        self.send_response(503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_server_that_answers_with_an_error_is_quoted(running: subprocess.Popen[bytes]) -> None:
    with listening(_Unready) as address, pytest.raises(AssertionError, match="503 Service Unavailable: no tables yet"):
        wait_until_ready(f"{address}/health", running, seconds=0.2)


def test_a_server_that_does_not_listen_is_said_to_refuse(running: subprocess.Popen[bytes]) -> None:
    with pytest.raises(AssertionError, match=r"the last try met: .*Connection refused"):
        wait_until_ready(f"http://127.0.0.1:{free_port()}/health", running, seconds=0.2)
