"""The package indexes that this machine is set to use, for the build alone."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lus.common.errors import BadInput

Addresses = tuple[str, tuple[str, ...]]
"""The default index (empty: PyPI) and further ones."""


def build_environment() -> dict[str, str]:
    """Variables that take the machine's indexes to the build.

    `bentofile.yaml` names them as variables of the stage `build`: they reach pip and uv as secrets, so that no
    address is kept in the image or in its history.
    """
    default, further = _read_uv_settings()
    if not default:
        default, more = _read_pip_settings()
        further = further or more
    own = {"UV_DEFAULT_INDEX": default, "UV_INDEX": " ".join(further), "PIP_INDEX_URL": default}
    # The certificates of the base image, or those of this machine that a build of podman's sees.
    return own | {"UV_SYSTEM_CERTS": "1"}


def index_addresses() -> list[str]:
    """Each address of an index that this machine is set to use, but PyPI's, which uv itself holds."""
    found = {one for name, value in build_environment().items() if "INDEX" in name for one in value.split()}
    return sorted(one for one in found if urlsplit(one).hostname != read_pypi_host())


def _read_uv_settings() -> Addresses:
    default = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or ""
    further = os.environ.get("UV_INDEX") or os.environ.get("UV_EXTRA_INDEX_URL") or ""
    found = (default, _drop_local_folders(further.split()))
    homes = (Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"), Path("/etc"))
    for file in (home / "uv/uv.toml" for home in homes):
        if file.is_file():
            own = _parse_uv_toml(tomllib.loads(file.read_text()))
            found = (found[0] or own[0], found[1] or own[1])
    return found


def _parse_uv_toml(settings: dict[str, Any]) -> Addresses:
    indexes = settings.get("index", [])
    default = next((one["url"] for one in indexes if one.get("default")), settings.get("index-url", ""))
    further = [one["url"] for one in indexes if not one.get("default") and not one.get("explicit")]
    return str(default), _drop_local_folders(further or settings.get("extra-index-url", []))


def _read_pip_settings() -> Addresses:
    """What pip's files and variables say, as pip itself reads them."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        where, _, key = name.rpartition(".")
        if where in {"global", "install", ":env:"} and key in {"index-url", "extra-index-url"}:
            # Listed in the order in which a later one counts for more.
            settings[key] = str(ast.literal_eval(value))
    return settings.get("index-url", ""), _drop_local_folders(settings.get("extra-index-url", "").split())


def _drop_local_folders(further: list[str]) -> tuple[str, ...]:
    """Without folders of this machine, which a build does not see; the lock's hashes decide what is installed."""
    return tuple(one for one in further if not one.startswith("file:"))


@functools.cache
def read_pypi_host() -> str:
    """The host of PyPI's index, as pip's help names it where nothing is configured."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    command = [sys.executable, "-m", "pip", "--isolated", "install", "--help"]
    bare |= {"PIP_CONFIG_FILE": os.devnull, "COLUMNS": "200"}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=bare).stdout
    found = re.search(r"--index-url <url>.*?\(default\s+(\S+)\)", said, re.DOTALL)
    if found is None:
        raise BadInput("pip's help names no default of --index-url; install another pip")
    return str(urlsplit(found[1]).hostname)
