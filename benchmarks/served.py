"""What the two benchmarks of the service share: start a server on loopback, and end it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        address: where it answers.
        pid: of the process that was started.
        scratch: the folder for its temporary files.
        seconds: from its start until it was ready.
    """

    address: str
    pid: int
    scratch: Path
    seconds: float

    def memory(self) -> float:
        """MiB of all its processes, what they share counted once for each of them in equal parts."""
        total = 0.0
        for one in [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]:
            try:
                total += one.memory_full_info().pss / 2**20
            except psutil.NoSuchProcess:
                continue
        return total


def program(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(name))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], port: int, health: str, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start a server, wait until it is healthy, and end it."""
    with tempfile.TemporaryDirectory() as folder:
        scratch, log = Path(folder) / "scratch", Path(folder) / "log"
        scratch.mkdir()
        started = time.perf_counter()
        with log.open("wb") as out:
            own = os.environ | {"TMPDIR": str(scratch)} | dict(environment or {})
            process = subprocess.Popen(command, stdout=out, stderr=out, env=own, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            while True:
                if process.poll() is not None or time.perf_counter() - started > 180:
                    sys.exit(f"the server did not start:\n{log.read_text()[-3000:]}")
                try:
                    if httpx.get(address + health, timeout=2).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield Server(address, process.pid, scratch, time.perf_counter() - started)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def service(port: int) -> list[str]:
    """The command that serves the Bento of `build/package.json`."""
    return [program("lus"), "serve", "--port", str(port)]


def clips(folder: Path, count: int) -> list[Path]:
    """Some clips of a folder."""
    from lus.checks import survey

    found = survey.find_clips([folder])
    return found[:: max(1, len(found) // count)][:count]
