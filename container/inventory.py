"""Runs in the container: prints as JSON what is installed there, and the hashes of the model's files."""

import hashlib
import importlib.metadata
import json
import os
import subprocess
from pathlib import Path


def list_python_packages() -> list[dict[str, str]]:
    """Name, version and licence of each package of the environment."""
    found = []
    for one in importlib.metadata.distributions():
        licence = str(one.metadata.json.get("license_expression", ""))
        found.append({"name": one.metadata["Name"], "version": one.version, "licence": licence})
    return sorted(found, key=lambda package: package["name"].lower())


def list_debian_packages() -> list[dict[str, str]]:
    """Name, version and architecture of each package of Debian's."""
    form = "${Package}\t${Version}\t${Architecture}\n"
    listed = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={form}"], capture_output=True, text=True, check=True
    )
    keys = ("name", "version", "architecture")
    return [dict(zip(keys, line.split("\t"), strict=True)) for line in listed.stdout.splitlines()]


def list_model_files() -> list[dict[str, str]]:
    """Path and SHA-256 of each file that `lus package` put beside the code."""
    top = Path(os.environ["BENTO_PATH"], "src/build/served")
    files = sorted(path for path in top.rglob("*") if path.is_file())
    return [
        {"name": path.relative_to(top).as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in files
    ]


if __name__ == "__main__":
    print(json.dumps({"python": list_python_packages(), "debian": list_debian_packages(), "model": list_model_files()}))
