"""A version rebuilt from its commit, with real git, DVC and MLflow; the pipeline is a small one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import mlflow
import pytest
import yaml

from lus.common import progress
from lus.common.errors import BadInput
from lus.registry import aliases, models, reproduce
from lus.tracking import client
from tests.conftest import ROOT
from tests.versions import NAME, add

SCRIPT = """import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
out.parent.mkdir(parents=True, exist_ok=True)
names = sorted(path.read_text() for path in pathlib.Path("clips").iterdir())
out.write_text(json.dumps({"accuracy": len(names) / 4, "interval": {"accuracy": {"low": 0.1, "high": None}}})
    if out.suffix == ".json" else "\\n".join(names))
"""
STAGES = {
    "cohort": {"cmd": "python src/make.py build/cohort.csv", "deps": ["clips"], "outs": ["build/cohort.csv"]},
    "evaluate": {
        "cmd": "python src/make.py build/evaluation/metrics.json",
        "deps": ["build/cohort.csv"],
        "metrics": ["build/evaluation/metrics.json"],
    },
}


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _commit() -> None:
    _run("git", "add", "--all")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    _run("git", *identity, "commit", "--quiet", "--message", "as it is")


@pytest.fixture
def made(project: Path) -> Path:
    """A project whose small pipeline has run, and a version registered from its figures."""
    (project / ".gitignore").write_text("/clips\n/folds\n/build\n/mlflow.db*\n/mlartifacts\n/again\n")
    (project / "clips").mkdir()
    for number in range(3):
        (project / "clips" / f"{number}.avi").write_text(str(number))
    (project / "folds").mkdir()
    (project / "folds/published.json").write_text("{}")
    (project / "src").mkdir()
    (project / "src/make.py").write_text(SCRIPT)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["cohort"]["folder"] = "clips"
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    _run("git", "init", "--quiet")
    _run("dvc", "init", "--quiet")
    _commit()
    _run("dvc", "repro")
    _register(project)
    return project


def _register(project: Path) -> None:
    add(evaluated=False)
    version = aliases.get_version_by_alias(NAME, aliases.CHALLENGER)
    mlflow.MlflowClient().log_artifacts(version.run_id, str(project / "build/evaluation"), "evaluation")


def test_a_version_is_rebuilt_to_the_figures_that_it_was_registered_with(made: Path) -> None:
    (made / "src/make.py").write_text("what is here now is not what it was made by")
    begun: list[str] = []
    found = reproduce.run(NAME, "1", made / "again", lambda step: begun.append(step) or progress.no_progress(step))
    commit = models.get_version(NAME, "1").tags["git_commit"][:12]
    rebuilt = ["rebuilding cohort", "rebuilding evaluate"]
    assert begun == ["asking MLflow", f"checking out commit {commit}", "bringing its clips", *rebuilt]
    assert {one.name: (one.stored, one.now, one.difference) for one in found} == {
        "accuracy": (0.75, 0.75, 0.0),
        "interval/accuracy/low": (0.1, 0.1, 0.0),
        "interval/accuracy/high": (None, None, 0.0),
    }
    assert len(aliases.get_aliases(NAME)) == 1
    assert (made / "again/folds/published.json").read_text() == "{}"
    with pytest.raises(BadInput, match="again: is there already"):
        reproduce.run(NAME, "1", made / "again")


def test_the_stages_of_a_commit_call_the_program_of_that_commit(made: Path) -> None:
    """Its entry point may lie where no module of today's is: `lus.cli` was a module before it was a package."""
    (made / "src/lus").mkdir()
    (made / "src/lus/__init__.py").write_text("")
    (made / "src/lus/cli.py").write_text("def main():\n    import make\n")
    (made / "pyproject.toml").write_text('[project]\nname = "lus"\n[project.scripts]\nlus = "lus.cli:main"\n')
    stages = {
        name: stage | {"cmd": stage["cmd"].replace("python src/make.py", "lus")} for name, stage in STAGES.items()
    }
    (made / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    _commit()
    _register(made)
    assert all(one.difference == 0 for one in reproduce.run(NAME, "2", made / "again"))
    (made / "src/lus/cli.py").write_text("what is here now is not what it was made by")
    assert (made / "again/.git").is_dir()
    status = ["git", "-C", str(made / "again"), "status", "--porcelain", "--untracked-files"]
    assert "lus-launchers" not in subprocess.run(status, capture_output=True, text=True, check=True).stdout


def test_clips_that_are_gone_or_others_are_said_before_anything_is_rebuilt(made: Path) -> None:
    (made / "clips/3.avi").write_text("3")
    with pytest.raises(BadInput, match=r"the clips are others than those of version 1: the hash of build/cohort\.csv"):
        reproduce.run(NAME, "1", made / "again")
    assert not (made / "again/build/evaluation").exists()
    (made / "clips").rename(made / "elsewhere")
    with pytest.raises(BadInput, match="clips: the folder of the version's clips is gone"):
        reproduce.run(NAME, "1", made / "third")


def test_a_version_of_uncommitted_changes_or_of_an_unknown_commit_is_refused(made: Path) -> None:
    (made / "src/make.py").write_text("a change")
    add(evaluated=False)
    with pytest.raises(BadInput, match="version 2 was made from uncommitted changes on top of commit"):
        reproduce.run(NAME, "2", made / "again")
    mlflow_client = client.get_client()
    mlflow_client.set_model_version_tag(NAME, "2", "git_clean", "true")
    mlflow_client.set_model_version_tag(NAME, "2", "git_commit", "0" * 40)
    with pytest.raises(BadInput, match="made from commit 000000000000, which is not in this repository"):
        reproduce.run(NAME, "2", made / "again")
    mlflow_client.set_model_version_tag(NAME, "2", "git_commit", "none")
    with pytest.raises(BadInput, match="was made outside of git"):
        reproduce.run(NAME, "2", made / "again")


def test_a_version_of_uncommitted_parameters_is_rebuilt_with_them(made: Path) -> None:
    params = (made / "params.yaml").read_text()
    (made / "params.yaml").write_text(params.replace("patients: 20", "patients: 21"))
    assert (made / "params.yaml").read_text() != params
    _register(made)
    (made / "params.yaml").write_text(params)
    assert all(one.difference == 0 for one in reproduce.run(NAME, "2", made / "again"))
    assert "patients: 21" in (made / "again/params.yaml").read_text()


def test_figures_that_one_side_lacks_count_as_differing() -> None:
    one, other = {"a": 1.0, "b": 2, "leaking": False}, {"a": 1.0005, "c": 3.0, "leaking": True}
    found = {figure.name: figure.difference for figure in reproduce.compare(one, other)}
    assert found["a"] == pytest.approx(0.0005)
    assert (found["b"], found["c"]) == (float("inf"), float("inf"))
    assert set(found) == {"a", "b", "c"}


def test_without_git_it_is_said_that_git_is_needed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match="git: not on the path"):
        reproduce.run(NAME, "1", project / "again")
