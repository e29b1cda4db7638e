"""The Bento of `lus package` as a hardened container image: `python -m container.build [--fresh]`, or `make image`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from container import base, engine, indexes
from container.engine import HARDENED, LATEST, NAME, ROOT, SCRATCH, Engine
from lus.common import progress
from lus.common.errors import BadInput

PACKAGED = Path("build/package.json")
BENTO_IMAGE = f"{NAME}:bento"


def main() -> None:
    """Build the image, and say what it is called, how large it is and how it runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="pull or make the base image anew")
    options = parser.parse_args()
    packaged = _read_packaged()
    chosen = engine.choose()
    numbered = f"{NAME}:v{packaged['version']}"
    with progress.steps() as step:
        step("base image")
        started = time.monotonic()
        print(f"{base.ensure_base(chosen, options.fresh)} ({time.monotonic() - started:.0f} s)", flush=True)
        step("bentoml containerize")
        started = time.monotonic()
        _containerize(chosen, packaged["bento"])
        print(f"bentoml containerize {packaged['bento']} ({time.monotonic() - started:.0f} s)", flush=True)
        step("hardened image")
        _harden_image(chosen, packaged["version"], [LATEST, numbered])
        if chosen.own:
            # What an earlier build called by these names takes room, and nobody else's images are kept here.
            chosen.call("image", "prune", "--force")
    size = int(chosen.inspect_image(LATEST)["Size"])
    holds = f"{packaged['name']} version {packaged['version']}"
    print(f"\n{LATEST}, {numbered}: {size / 1e6:.0f} MB, {holds}. It runs with:\n")
    print(chosen.format_command("run", "--rm", "-p", "127.0.0.1:3000:3000", *chosen.running, *HARDENED, numbered))


def _read_packaged() -> dict[str, str]:
    if not PACKAGED.is_file():
        raise BadInput(f"{PACKAGED}: not found; make repro builds the Bento first")
    return dict(json.loads(PACKAGED.read_text()))


def _containerize(chosen: Engine, bento: str) -> None:
    """Let BentoML build its image, named `lus-classifier:bento`."""
    # Whether it worked is read off the image: BentoML's exit status is 0 where the build failed, too.
    chosen.attempt("rmi", "--no-prune", BENTO_IMAGE)
    command = [str(Path(sys.executable).with_name("bentoml")), "containerize", bento]
    command += ["--backend", chosen.program, "--image-tag", BENTO_IMAGE]
    if chosen.program == "podman":
        # The base image is here already, and an index on loopback is within reach.
        command += ["--opt", "pull-never", "--opt", "network=host"]
    # BuildKit's syntax, which podman knows too, is what keeps secrets out of the image.
    secrets = indexes.build_environment()
    environment = chosen.environment(build=True) | secrets | {"DOCKER_BUILDKIT": "1"}
    if chosen.program == "podman":
        environment["PATH"] = f"{_write_podman_wrapper(secrets)}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not chosen.has_image(BENTO_IMAGE):
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise BadInput(f"bentoml containerize {bento} failed; what it said stands above")


def _write_podman_wrapper(variables: Iterable[str]) -> Path:
    """A folder with a `podman` that does not see these variables, for which BentoML makes files.

    Podman takes a variable for the content of a secret of its name, and then reads it by the name of the file.
    """
    program = SCRATCH / "bin/podman"
    program.parent.mkdir(parents=True, exist_ok=True)
    unset = " ".join(f"--unset={name}" for name in variables)
    program.write_text(f'#!/bin/sh\nexec env {unset} {shutil.which("podman")} "$@"\n')
    program.chmod(0o755)
    return program.parent


def _harden_image(chosen: Engine, version: str, names: list[str]) -> None:
    only_here = ["--pull-never", "--format", "docker"] if chosen.program == "podman" else []
    arguments = {"BENTO_IMAGE": BENTO_IMAGE, "VERSION": version, "REVISION": _git_revision()}
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    tags = [word for name in names for word in ("--tag", name)]
    folder = ROOT / "container"
    chosen.call("build", *only_here, *words, *tags, "--file", str(folder / "Containerfile"), str(folder), build=True)


def _git_revision() -> str:
    """The commit that this is built from, marked where files differ from it."""
    asked = ["git", "describe", "--always", "--abbrev=40", "--match=", "--dirty"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode != 0:
        raise BadInput(f"not a git clone ({done.stderr.strip()}): the image's label names the commit; run git init")
    return done.stdout.strip()


if __name__ == "__main__":
    engine.run(main)
