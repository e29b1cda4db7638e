"""The base image: python:3.11-slim from a registry, or the same made from Debian's packages where none answers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from container.engine import SCRATCH, Engine, last_line
from lus.common.errors import BadInput

IMAGE = "docker.io/library/python:3.11-slim"
"""What BentoML's Dockerfile begins with, in full."""

MADE = "lus.base"
"""The label of a base image that was made here: which recipe it is from."""

DEBIAN = (
    "mmdebstrap",
    "--quiet",
    "--variant=essential",
    "--include=passwd,python3.11-minimal,libpython3.11-stdlib,ca-certificates,libstdc++6",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    # The names of this machine and of its name server are none of the image's business.
    '--customize-hook=rm -f "$1/etc/resolv.conf" "$1/etc/hostname"',
    "bookworm",
)
"""The Debian release that has Python 3.11, without apt. OpenVINO and OpenCV's headless build need libstdc++ alone."""

MAX_AGE = 7 * 24 * 3600
"""Seconds after which a base image is made anew, for Debian's security updates."""


def ensure_base(engine: Engine, fresh: bool = False) -> str:
    """See to it that the engine has the base image.

    Args:
        engine: docker or podman.
        fresh: pull it or make it anew, whatever there is.

    Returns:
        A sentence that says where it comes from.

    Raises:
        BadInput: no registry answers, and it cannot be made here.
    """
    recipe = hashlib.sha256(json.dumps(DEBIAN).encode()).hexdigest()[:12]
    kept = SCRATCH / f"base-{recipe}.tar"
    young = kept.is_file() and time.time() - kept.stat().st_mtime < MAX_AGE
    if engine.has_image(IMAGE) and not fresh:
        made = engine.labels(IMAGE).get(MADE)
        if made is None:
            return "python:3.11-slim was pulled before"
        if made == recipe and young:
            return "the base image made from Debian's packages is still good"
    pulled = engine.attempt("pull", "--quiet", IMAGE)
    if pulled.returncode == 0:
        return "python:3.11-slim was pulled"
    _require_mmdebstrap(engine, last_line(pulled))
    if fresh or not young:
        _make_archive(kept)
    change = ("--change", f"LABEL {MADE}={recipe}", "--change", 'CMD ["python3.11"]')
    engine.call("import", "--quiet", *change, str(kept), IMAGE)
    return "no image registry answers: the base image is made from Debian's packages"


def _require_mmdebstrap(engine: Engine, said: str) -> None:
    lacking = f"{engine.program} cannot pull {IMAGE} ({said})"
    if not engine.own:
        raise BadInput(f"{lacking}: let it reach a registry, or run this as root on Debian with podman and mmdebstrap")
    if shutil.which("mmdebstrap") is None:
        raise BadInput(
            f"{lacking}, and without mmdebstrap it cannot be made from Debian's packages: apt-get install mmdebstrap"
        )


def _make_archive(kept: Path) -> None:
    for old in SCRATCH.glob("base-*.tar"):
        old.unlink()
    # Under a name of its own until it is complete: what was broken off must not be taken for a base image.
    partial = kept.with_suffix(f".{os.getpid()}.tar")
    done = subprocess.run([*DEBIAN, str(partial)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        partial.unlink(missing_ok=True)
        raise BadInput(f"mmdebstrap failed: {last_line(done)}; it needs a mirror of Debian's packages")
    partial.rename(kept)
