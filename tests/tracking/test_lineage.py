"""A result is tagged with the commit, the files and the machine that it comes from."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from lus.tracking.lineage import collect_lineage


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_lineage_names_the_commit_and_whether_the_sources_are_as_committed(project: Path) -> None:
    _git(project, "init", "--quiet")
    _git(project, "add", "params.yaml")
    _git(project, "commit", "--quiet", "--message", "one")
    assert collect_lineage({})["git_commit"] == _git(project, "rev-parse", "HEAD")
    assert collect_lineage({})["git_clean"] == "true"
    (project / "dvc.lock").write_text("made by the pipeline")
    (project / "params.yaml").write_text("kept with every version")
    assert collect_lineage({})["git_clean"] == "true"
    (project / "src").mkdir()
    (project / "src" / "new.py").write_text("pass")
    assert collect_lineage({})["git_clean"] == "false"


def test_lineage_without_a_repository_says_so(project: Path) -> None:
    found = collect_lineage({})
    assert (found["git_commit"], found["git_clean"]) == ("none", "unknown")


def test_lineage_hashes_the_files_that_are_there(project: Path) -> None:
    (project / "a").write_bytes(b"content")
    found = collect_lineage({"a": project / "a", "b": project / "b"})
    assert found["a_sha256"] == hashlib.sha256(b"content").hexdigest()
    assert "b_sha256" not in found
