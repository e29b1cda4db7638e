"""Where a result comes from: git commit and user, hashes of files, and the machine."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from pathlib import Path

from lus.common import hashing


def _git(*arguments: str) -> str | None:
    """What git answers; None where there is no repository or no git."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def collect_lineage(inputs: dict[str, Path]) -> dict[str, str]:
    """Where a result comes from: git commit, whether the code is that of it, the given files' hashes, and the machine.

    Args:
        inputs: name -> file; each gives `<name>_sha256`; a missing one is left out.
    """
    commit = _git("rev-parse", "HEAD")
    # dvc.lock is written while the pipeline runs, and params.yaml is kept with every version; a new source file counts
    # as a change.
    changes = _git("status", "--porcelain", "--", "src", "dvc.yaml", "requirements")
    return {
        "git_commit": commit or "none",
        "git_clean": "unknown" if changes is None else str(not changes).lower(),
        **{f"{name}_sha256": hashing.sha256(path) for name, path in inputs.items() if path.is_file()},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def cohort_hash(clips: Path) -> str:
    """What tells this state of the cohort from others: DVC's hash of its table, else that of a file with its clips."""
    import yaml

    lock = Path("dvc.lock")
    stages = (yaml.safe_load(lock.read_text()) or {}).get("stages", {}) if lock.is_file() else {}
    for out in stages.get("cohort", {}).get("outs", []):
        if out.get("path") == "build/cohort.csv" and "md5" in out:
            return f"md5:{out['md5']}"
    return f"sha256:{hashing.sha256(clips)}"


def git_user() -> str | None:
    """The user as git knows them, as in `Name <mail> at machine`; None where it knows none."""
    name, mail = _git("config", "user.name"), _git("config", "user.email")
    return f"{name or ''} <{mail}> at {socket.gethostname()}".strip() if mail else None
