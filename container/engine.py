"""The program that builds and runs images: docker where its daemon answers, else podman; ENGINE names one."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lus.common.errors import BadInput

ROOT = Path(__file__).parent.parent
SCRATCH = ROOT / ".container"
"""podman's settings, images and the base image made here; the machine's own stay as they are."""

NAME = "lus-classifier"
LATEST = f"{NAME}:latest"
PYTHON = "/app/.venv/bin/python"
"""Of the image."""
VERSION, REVISION = (f"org.opencontainers.image.{name}" for name in ("version", "revision"))
"""Labels of the image: of the model, and the commit."""

TMP = 640 << 20
"""Bytes of /tmp: each upload under way is there twice, as it arrived and as the file that is decoded."""
MEMORY = 3 << 30
"""Bytes, of /tmp too; eight clips at once took 1.7 GiB."""
PROCESSES = 256

HARDENED = (
    "--read-only",
    "--tmpfs",
    f"/tmp:rw,noexec,nosuid,nodev,size={TMP >> 20}m",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--memory",
    f"{MEMORY >> 30}g",
    "--pids-limit",
    str(PROCESSES),
)
"""How the image is meant to run: what the smoke test starts, and what `make image` and the README show."""

CERTIFICATES = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))


@dataclass(frozen=True)
class Engine:
    """docker or podman.

    Attributes:
        program: its name.
        settings: environment variables that it needs on this machine.
        building: further ones for builds.
        running: options of `run` that this machine needs.
    """

    program: str
    settings: Mapping[str, str] = field(default_factory=dict)
    building: Mapping[str, str] = field(default_factory=dict)
    running: tuple[str, ...] = ()

    @property
    def own(self) -> bool:
        """Whether images are kept in the project's scratch folder."""
        return bool(self.settings)

    def environment(self, build: bool = False) -> dict[str, str]:
        """The environment to call it in."""
        return {**os.environ, **self.settings, **(self.building if build else {})}

    def call(self, *arguments: str, build: bool = False, said: str = "") -> subprocess.CompletedProcess[str]:
        """Call it; what it prints is kept.

        Args:
            arguments: the command and its words.
            build: with what a build sees of this machine.
            said: its standard input.

        Raises:
            BadInput: it failed; with the last line of what it said.
        """
        done = self.attempt(*arguments, build=build, said=said)
        if done.returncode != 0:
            raise BadInput(f"{self.program} {arguments[0]} failed: {last_line(done)}")
        return done

    def attempt(self, *arguments: str, build: bool = False, said: str = "") -> subprocess.CompletedProcess[str]:
        """Call it, whether it fails or not."""
        command = [self.program, *arguments]
        return subprocess.run(
            command, input=said, capture_output=True, text=True, check=False, env=self.environment(build)
        )

    def has_image(self, image: str) -> bool:
        """Whether it has an image of that name."""
        return self.attempt("image", "inspect", image).returncode == 0

    def inspect_image(self, image: str) -> dict[str, Any]:
        """What it knows of an image.

        Raises:
            BadInput: there is none of that name.
        """
        (found,) = json.loads(self.call("image", "inspect", image).stdout)
        return dict(found)

    def labels(self, image: str) -> dict[str, str]:
        """The labels of an image."""
        return dict(self.inspect_image(image)["Config"].get("Labels") or {})

    def format_command(self, *arguments: str) -> str:
        """A command as one would type it."""
        words = [*(f"{name}={value}" for name, value in self.settings.items() if name.startswith("CONTAINERS_"))]
        return " ".join([*words, self.program, *arguments])


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """The last thing that a command said."""
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {done.returncode}"


def choose(wanted: str | None = None) -> Engine:
    """The engine of this machine.

    Args:
        wanted: docker or podman; without it, docker if its daemon answers, else podman.

    Raises:
        BadInput: there is none, or not the one that is wanted.
    """
    wanted = wanted or os.environ.get("ENGINE")
    if wanted not in {None, "", "docker", "podman"}:
        raise BadInput(f"ENGINE={wanted}, docker or podman is expected")
    if wanted != "podman" and _docker_answers():
        return Engine("docker")
    if wanted == "docker":
        raise BadInput("ENGINE=docker, but no docker daemon answers: start it, or leave ENGINE out to use podman")
    if shutil.which("podman") is None:
        raise BadInput(
            "no docker whose daemon answers, and no podman: install one of them "
            "(Debian: apt-get install --no-install-recommends podman runc mmdebstrap)"
        )
    return _podman_of_root() if os.geteuid() == 0 else Engine("podman")


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(asked, capture_output=True, check=False, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _podman_of_root() -> Engine:
    """Podman with settings under which it also works in a container or a sandbox without systemd."""
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # Root may not raise its limits there, and podman does without this line.
    limits = f'default_ulimits = ["nofile={open_files}:{open_files}", "nproc=16384:16384"]'
    engine = ["[engine]", 'cgroup_manager = "cgroupfs"', 'events_logger = "file"']
    if shutil.which("runc"):
        # crun refuses a machine whose cgroups are of both versions.
        engine.append('runtime = "runc"')
    mounts = ", ".join(f'"{source}:{target}:ro"' for source, target in _mounts().items())
    parts = {
        "containers.conf": ["[containers]", limits, *engine],
        "building.conf": ["[containers]", limits, f"volumes = [{mounts}]", *engine],
        "storage.conf": [
            "[storage]",
            'driver = "overlay"',
            f'graphroot = "{SCRATCH / "storage"}"',
            f'runroot = "{SCRATCH / "run"}"',
        ],
    }
    temporary = SCRATCH / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    for name, lines in parts.items():
        (SCRATCH / name).write_text("\n".join(lines) + "\n")
    settings = {
        "CONTAINERS_CONF": str(SCRATCH / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(SCRATCH / "storage.conf"),
        "TMPDIR": str(temporary),
    }
    # The timer of podman's health check is one of systemd.
    running = () if Path("/run/systemd/system").is_dir() else ("--no-healthcheck",)
    return Engine("podman", settings, {"CONTAINERS_CONF": str(SCRATCH / "building.conf")}, running)


def _mounts() -> dict[Path, str]:
    """What a build sees of this machine without keeping it: its certificates, and uv, which the base lacks."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.is_file():
        raise BadInput(f"{uv}: not found; make setup installs it")
    mounts = {uv: "/usr/local/bin/uv"}
    return mounts | ({CERTIFICATES: "/etc/ssl/certs/ca-certificates.crt"} if CERTIFICATES.is_file() else {})


def run(job: Callable[[], None]) -> None:
    """Run a program of this package: bad input ends in one sentence and exit status 2."""
    try:
        job()
    except BadInput as error:
        print(f"container: {error}", file=sys.stderr)
        sys.exit(2)
