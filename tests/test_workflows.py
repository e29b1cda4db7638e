"""What the workflows promise: least rights, pinned actions, an end, and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def _steps(workflow: Path) -> list[dict[str, object]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_can_read_alone_comes_to_an_end_and_gives_way_to_a_newer_one(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {"contents": "read"}
    assert content["concurrency"]["cancel-in-progress"] is True
    assert all(0 < job["timeout-minutes"] <= 60 for job in content["jobs"].values())
    # YAML reads the key `on` as true. The canary looks at what changes elsewhere, whatever is changed here.
    begun_by = {"schedule", "workflow_dispatch"} if workflow.stem == "canary" else {"push", "pull_request"}
    assert set(content[True]) == begun_by


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflows_actions_are_pinned_by_commit(workflow: Path) -> None:
    used = [str(step["uses"]) for step in _steps(workflow) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", one) for one in used)
    # Beside each commit stands the release that it is.
    assert len(re.findall(r"uses: \S+ # v\d+\.\d+\.\d+$", workflow.read_text(), re.MULTILINE)) == len(used)
    # One action, one commit, in all workflows.
    everywhere = {str(step["uses"]) for one in WORKFLOWS for step in _steps(one) if "uses" in step}
    assert len({one.split("@")[0] for one in everywhere}) == len(everywhere)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflows_make_targets_exist(workflow: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = re.findall(r"make ([a-z-]+)", " ".join(str(step.get("run", "")) for step in _steps(workflow)))
    assert set(called) <= targets


def test_the_image_is_built_smoked_and_listed_before_it_is_kept() -> None:
    steps = _steps(ROOT / ".github/workflows/image.yml")
    runs = [str(step["run"]).split()[:2] for step in steps if "run" in step]
    assert runs[:4] == [["make", "repro"], ["make", "image"], ["make", "smoke"], ["make", "sbom"]]
    kept = steps[-1]
    assert "upload-artifact" in str(kept["uses"])
    assert "build/image.cdx.json" in str(kept["with"])
