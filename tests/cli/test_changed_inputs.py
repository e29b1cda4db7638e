"""What changes while DVC runs a stage: with the real DVC, in a small pipeline of the project's own verb."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from lus.cli import changed_inputs
from lus.common.errors import BadInput
from tests.conftest import ROOT

PIPELINE = {
    "stages": {
        "simulate": {
            "cmd": "python while_it_runs.py simulate phantom",
            "deps": ["code", "${cohort.folder}"],
            "params": ["simulate", "features.seed"],
            "outs": ["phantom"],
        },
        "features": {
            "matrix": {"backbone": "${features.backbones}"},
            "cmd": "true",
            "deps": ["build/${item.backbone}"],
            "params": ["features.seed"],
        },
    }
}
AT_THE_END_OF_THE_STAGE = """
import sys
from pathlib import Path
from lus.cli import main
from lus.stages import simulate

def run(*given, _run=simulate.run):
    said = _run(*given)
    exec(Path("change.py").read_text())
    return said

simulate.run = run
if __name__ == "__main__":  # and not in the processes that it starts
    main.main()
"""
PARAMETERS = """
import yaml
params = yaml.safe_load(Path("params.yaml").read_text())
params["{}"]["{}"] = {}
Path("params.yaml").write_text(yaml.safe_dump(params))
"""


@pytest.fixture
def pipeline(project: Path) -> Path:
    """A DVC project with one stage that is a verb; what `change.py` holds is done while that stage runs."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["simulate"] |= {"patients": 1, "clips": 1, "frames": 24}
    params["cohort"]["folder"] = "clips"
    params["features"]["backbones"] = ["xception", "vgg16"]
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    (project / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (project / "while_it_runs.py").write_text(AT_THE_END_OF_THE_STAGE)
    (project / ".dvcignore").write_text((ROOT / ".dvcignore").read_text())
    for name in ("code/first.py", "code/second.py", "clips/one.avi", "build/xception/file", "build/vgg16/file"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("as it was")
    Repo.init(no_scm=True)
    return project


def _dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (PARAMETERS.format("simulate", "seed", 3), "simulate.seed"),
        ("Path('code/first.py').write_text('changed')", "code/first.py"),
        ("Path('params.yaml').write_text('simulate: [')", "params.yaml"),
    ],
)
def test_a_stage_is_not_recorded_whose_parameters_or_sources_changed_while_it_ran(
    change: str, named: str, pipeline: Path
) -> None:
    (pipeline / "change.py").write_text(change)
    done = _dvc("repro", "simulate")
    assert done.returncode != 0
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("lus: ")]
    assert said.startswith(f"lus: {named}")
    assert "`dvc repro` again" in said
    assert "exited with 2" in done.stderr
    assert not (pipeline / "dvc.lock").exists()


HARMLESS = [
    PARAMETERS.format("register", "name", "'other'"),
    PARAMETERS.format("features", "batch", 3),
    PARAMETERS.format("cohort", "folder", "'elsewhere'"),  # DVC records the folder that it was when DVC began
    "Path('code/__pycache__').mkdir(); Path('code/__pycache__/first.pyc').write_text('compiled')",
]


@pytest.mark.parametrize("changes", [[], HARMLESS])
def test_what_the_stage_does_not_name_may_change_while_it_runs(changes: list[str], pipeline: Path) -> None:
    (pipeline / "change.py").write_text("\n".join(changes))
    done = _dvc("repro", "simulate")
    assert done.returncode == 0, done.stderr
    assert "simulate" in yaml.safe_load((pipeline / "dvc.lock").read_text())["stages"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (PARAMETERS.format("simulate", "labels", "{}"), "simulate.labels"),
        (PARAMETERS.format("features", "seed", 8), "features.seed"),
        ("Path('clips/deep').mkdir(); Path('clips/deep/two.avi').write_text('new')", "clips/deep/two.avi"),
        ("Path('code/first.py').unlink()", "code/first.py"),
        ("for name in 'abcd': Path('code', name).touch()", "code/a, code/b, code/c and 1 more"),
    ],
)
def test_what_changed_is_named(change: str, named: str, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "simulate")
    monkeypatch.setenv("DVC_ROOT", str(pipeline))
    (pipeline / "change.py").write_text(f"from pathlib import Path\n{change}")
    with pytest.raises(BadInput) as caught, changed_inputs.refuse_changed_inputs():
        runpy.run_path("change.py")
    assert str(caught.value) == (
        f"{named} changed while simulate ran: its results may be of the old or of the new and are not recorded; "
        "run `dvc repro` again"
    )


def test_of_a_stage_of_a_matrix_its_own_item_alone_counts(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "features@xception")
    monkeypatch.setenv("DVC_ROOT", str(pipeline))
    with changed_inputs.refuse_changed_inputs():
        (pipeline / "build/vgg16/file").write_text("changed")
    with (
        pytest.raises(BadInput, match=r"^build/xception/file changed while features@xception ran"),
        changed_inputs.refuse_changed_inputs(),
    ):
        (pipeline / "build/xception/file").write_text("changed")


def test_a_stage_that_is_gone_from_the_pipeline_does_not_begin(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "features@nasnetlarge")
    monkeypatch.setenv("DVC_ROOT", str(pipeline))
    with pytest.raises(BadInput, match="features@nasnetlarge"), changed_inputs.refuse_changed_inputs():
        pass


def test_a_verb_that_dvc_does_not_run_compares_nothing(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage, root in (("", pipeline), ("simulate", pipeline.parent)):
        monkeypatch.setenv("DVC_STAGE", stage)
        monkeypatch.setenv("DVC_ROOT", str(root))
        with changed_inputs.refuse_changed_inputs():
            (pipeline / "code/first.py").write_text(f"changed for {stage}")
