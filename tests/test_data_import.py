"""The pinned import of the public clips, from a local repository that git is told to take in the public one's place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT

URL = "https://github.com/jannisborn/covid19_ultrasound"


def test_the_import_is_pinned_to_one_commit() -> None:
    pinned = yaml.safe_load((ROOT / "data.dvc").read_text())
    (dependency,) = pinned["deps"]
    assert pinned["frozen"]
    assert dependency["path"] == "data"
    assert dependency["repo"]["url"] == URL
    assert dependency["repo"]["rev"] == dependency["repo"]["rev_lock"] == "9e254a140b4faa2c200b8bb5cee2347b7198fbef"


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def public_repository(upstream: Path, tmp_path: Path) -> tuple[Path, str]:
    """A repository with the clips at hand, laid out as the public one; and its commit."""
    repository = tmp_path / "public"
    shutil.copytree(upstream / "jannisborn/covid19_ultrasound", repository)
    _git(repository, "init", "--quiet")
    _git(repository, "add", "--all")
    _git(repository, "commit", "--quiet", "--message", "clips")
    return repository, _git(repository, "rev-parse", "HEAD")


@pytest.mark.real
def test_the_clips_are_fetched_once_and_the_pipeline_then_runs_on_them_without_the_repository(
    public_repository: tuple[Path, str], tmp_path: Path
) -> None:
    repository, commit = public_repository
    home, project = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "{repository.as_uri()}"]\n\tinsteadOf = {URL}\n')
    project.mkdir()
    _git(project, "init", "--quiet")
    shutil.copytree(ROOT / ".dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    for name in ("params.yaml", "dvc.yaml", "Makefile", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, project)
    for name in ("src", "requirements"):
        (project / name).symlink_to(ROOT / name)
    # The clips at hand have a commit of their own; all else of the import stays as it is.
    (project / "data.dvc").write_text(re.sub(r"\b[0-9a-f]{40}\b", commit, (ROOT / "data.dvc").read_text()))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"HOME": str(home), "PATH": path}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("make", "--old-file=.venv/.ready", "data")
    # From here on the repository is out of reach.
    (home / ".gitconfig").unlink()
    shutil.rmtree(repository)
    run("lus", "use", "data")
    run("dvc", "repro", "cohort")
    table = pd.read_csv(project / "build/cohort.csv", dtype=str)
    assert len(table) == 119
    assert table["path"].str.startswith("data/pocus_videos/convex/").all()
    metadata = pd.read_csv(project / "data/dataset_metadata.csv", dtype=str)
    assert set(table["licence"]) <= set(metadata["License"].str.strip())
    assert "up to date" in run("dvc", "repro", "cohort")
