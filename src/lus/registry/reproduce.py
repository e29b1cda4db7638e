"""Reproduce a version: its commit, parameters and clips in a place of their own, rebuilt and compared."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lus.common.errors import BadInput
from lus.common.progress import Steps, no_progress
from lus.registry import versions
from lus.registry.versions import Lineage

TOLERANCE = 1e-3
"""Of a figure: other processors add up in another order."""
METRICS = Path("build/evaluation/metrics.json")
COHORT_TABLE = "build/cohort.csv"
LAUNCHERS = Path(".git/lus-launchers")
"""Where a checkout has its own program `lus`."""
OURS = ("MLFLOW_", "OPTUNA_", "GIT_")
"""Beginnings of the names of settings that must not reach the rebuilding: it has stores of its own."""


@dataclass(frozen=True)
class Figure:
    """A figure as it was stored and as it is now; None where there is none."""

    name: str
    stored: float | None
    now: float | None

    @property
    def difference(self) -> float:
        """How far they lie apart; infinite where one is missing."""
        if self.stored is None or self.now is None:
            return 0.0 if self.stored is self.now else float("inf")
        return abs(self.stored - self.now)


def run(name: str, what: str, folder: Path, steps: Steps = no_progress) -> list[Figure]:
    """Rebuild what a version was made from, as far as its evaluation, and compare the figures.

    Neither this project's registry nor its results are touched: the folder has an MLflow database of its own.

    Args:
        name: of the registered model.
        what: a version, an alias or a lineage id.
        folder: to be made; the project at the version's commit.
        steps: told what is under way.

    Returns:
        Every figure of the evaluation.

    Raises:
        BadInput: the version cannot be reproduced (it was made from uncommitted changes, its commit is not in this
            repository, its clips are gone or others), or the rebuilding failed.
    """
    if shutil.which("git") is None:
        raise BadInput("git: not on the path; a version is rebuilt from its commit: install git")
    steps("asking MLflow")
    found = versions.lineage(name, what)
    refuse(found, name)
    if found.params is None or found.metrics is None:
        raise BadInput(
            f"{name} version {found.row.version} carries no parameters or figures; "
            "`lus register --anew` registers another"
        )
    if folder.exists():
        raise BadInput(f"{folder}: is there already; name a folder that can be made")
    steps(f"checking out commit {found.row.commit[:12]}")
    _check_out(found.row.commit, folder)
    versions.restore_params(name, found, folder / "params.yaml")
    steps("bringing its clips")
    _bring(str(found.params["cohort"]["folder"]), folder)
    _dvc(folder, "cohort", steps)
    _refuse_other_clips(found, folder)
    _dvc(folder, "evaluate", steps)
    return compare(found.metrics, json.loads((folder / METRICS).read_text()))


def refuse(found: Lineage, name: str) -> None:
    """Refuse a version that no commit stands for.

    Raises:
        BadInput: it was made from uncommitted changes, outside of git, or its commit is not in this repository.
    """
    version, commit, clean = f"{name} version {found.row.version}", found.row.commit, found.tags.get("git_clean")
    if commit in ("", "none") or clean == "unknown":
        raise BadInput(f"{version} was made outside of git; what it was made from cannot be checked out")
    if clean != "true":
        raise BadInput(
            f"{version} was made from uncommitted changes on top of commit {commit[:12]}; what it was made from "
            "cannot be checked out: commit, then `lus register --anew` makes one that can"
        )
    asked = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        raise BadInput(f"{version} was made from commit {commit[:12]}, which is not in this repository; fetch it first")


def _check_out(commit: str, folder: Path) -> None:
    top = _run(["git", "rev-parse", "--show-toplevel"], Path.cwd()).strip()
    _run(["git", "clone", "--quiet", "--no-checkout", "--shared", top, str(folder.absolute())], Path.cwd())
    _run(["git", "-c", "advice.detachedHead=false", "checkout", "--quiet", commit], folder)
    _write_launcher(folder)


def _write_launcher(folder: Path) -> None:
    """Write the program `lus` of a commit, which its stages call: its entry point may be another than today's.

    It lies within `.git`, where it makes no change to the commit.
    """
    import tomllib

    file = folder / "pyproject.toml"
    scripts = tomllib.loads(file.read_text())["project"].get("scripts", {}) if file.is_file() else {}
    if "lus" not in scripts:
        return
    module, _, function = scripts["lus"].partition(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    launcher = folder / LAUNCHERS / "lus"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
    launcher.chmod(0o755)


def _bring(cohort: str, folder: Path) -> None:
    """Bring what git does not hold: the clips, where no stage makes them, weights, and published folds."""
    for name in (cohort, "weights", "folds"):
        source, target = Path(name), folder / name
        if source.is_absolute() or (name == cohort and (name == "phantom" or target.is_dir())):
            continue
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_link, dirs_exist_ok=True)
        elif name == cohort:
            raise BadInput(f"{source}: the folder of the version's clips is gone; bring it back")


def _link(source: str, target: str) -> None:
    if Path(target).exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _refuse_other_clips(found: Lineage, folder: Path) -> None:
    import yaml

    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    now = versions.outs(lock).get(COHORT_TABLE)
    before = found.stages.get(COHORT_TABLE)
    if now != before:
        raise BadInput(
            f"the clips are others than those of version {found.row.version}: the hash of {COHORT_TABLE} is {now}, "
            f"{before} is expected; bring the clips back as they were"
        )


def _dvc(folder: Path, stage: str, steps: Steps) -> None:
    """Rebuild a stage and those before it; each that is run is a step."""
    command = [sys.executable, "-m", "dvc", "repro", stage]
    said = []
    with subprocess.Popen(
        command, cwd=folder, env=_environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            if begun := re.match(r"Running stage '(.+)'", line):
                steps(f"rebuilding {begun[1]}")
    if process.returncode:
        raise _failed(command, folder, "".join(said))


def _run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=_environment(cwd), capture_output=True, text=True, check=False)
    if done.returncode:
        raise _failed(command, cwd, done.stderr.strip() or done.stdout)
    return done.stdout


def _failed(command: list[str], cwd: Path, said: str) -> BadInput:
    return BadInput(f"`{' '.join(command)}` failed in {cwd}: {' '.join(said.strip().splitlines()[-3:])}")


def _environment(cwd: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    # The code of that commit, not that which is installed here.
    own |= {"PYTHONPATH": str((cwd / "src").absolute()), "DVC_NO_ANALYTICS": "true"}
    programs = [(cwd / LAUNCHERS).absolute(), Path(sys.executable).parent, own.get("PATH", "")]
    own["PATH"] = os.pathsep.join(map(str, programs))
    return own


def compare(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[Figure]:
    """Every number of two `metrics.json`, intervals too."""
    first, second = _numbers(stored), _numbers(now)
    return [Figure(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]


def _numbers(values: Any, before: str = "") -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in pairs:
        name = f"{before}{key}"
        if isinstance(value, dict | list):
            found |= _numbers(value, f"{name}/")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            found[name] = value
    return found
