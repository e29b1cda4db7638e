"""The service itself, started by BentoML in a process of its own, with a small registered version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page

from lus.registry import download, models
from tests.browser import browser
from tests.conftest import ROOT, draw_frames, write_video
from tests.servers import end, free_port, wait_until_ready
from tests.service import pages
from tests.versions import NAME, add


@dataclass(frozen=True)
class Service:
    """A running service.

    Attributes:
        address: where it answers.
        scratch: the folder for its temporary files.
        log: what it has written.
        pid: of its process group.
    """

    address: str
    scratch: Path
    log: Path
    pid: int

    def post(self, path: str, *clips: Path, field: str = "clip", **more: object) -> httpx.Response:
        """Send clips, each as a file under its own name."""
        files = [(field, (one.name, one.read_bytes())) for one in clips]
        return httpx.post(self.address + path, files=files, timeout=120, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A project folder in which a version has been compiled into `build/served`."""
    project = tmp_path_factory.mktemp("served")
    shutil.copy(empty_database, project / "mlflow.db")
    shutil.copy(ROOT / "params.yaml", project / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        add()
        download.compile_into(models.get_version(NAME, "1"), "openvino", project / "build/served")
    return project


@contextmanager
def serving(
    project: Path, home: Path, environment: Mapping[str, str] | None = None, ready: bool = True
) -> Iterator[Service]:
    """Start the service, wait until it is ready if it is to be, and end it."""
    scratch = home / "scratch"
    scratch.mkdir(parents=True)
    port, log = free_port(), home / "service.log"
    command = [str(Path(sys.executable).with_name("bentoml")), "serve", "lus.service.app:LungUltrasound"]
    own = {"TMPDIR": str(scratch), "BENTOML_HOME": str(home / "bentoml"), "PYTHONPATH": str(ROOT / "src")}
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=project,
            env=os.environ | own | dict(environment or {}),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            try:
                if ready:
                    wait_until_ready(f"http://127.0.0.1:{port}/readyz", server)
            except AssertionError as error:
                raise AssertionError(f"{error}; {log.read_text()[-3000:]}") from None
            yield Service(f"http://127.0.0.1:{port}", scratch, log, server.pid)
        finally:
            end(server)


@pytest.fixture(scope="session")
def service(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service, with the bounds that it has by itself."""
    with serving(served, tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A usable clip, under a name that must not be repeated."""
    return write_video(tmp_path_factory.mktemp("clips") / "Jane-Doe-1970.avi", draw_frames(24, 120, 104, 3))


@pytest.fixture(scope="session")
def short(clip: Path) -> Path:
    """A clip that is no video."""
    path = clip.with_name("John-Doe.avi")
    path.write_bytes(b"nothing that can be decoded" * 40)
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser. Playwright has one at a time, so that it ends with the file of tests."""
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Browser, service: Service) -> Iterator[Page]:
    """The service's page."""
    with pages.opened(chromium, service.address) as opened:
        yield opened
