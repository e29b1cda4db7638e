"""What the project's own files promise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_every_package_with_hashes_and_names_no_index(lock: Path) -> None:
    entries = [entry for entry in lock.read_text().replace("\\\n", " ").splitlines() if entry.strip()]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,._-]+\])?==\S+ ", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in lock.read_text()


def test_the_serving_lock_agrees_with_the_pipelines() -> None:
    def pinned(name: str) -> dict[str, str]:
        return dict(
            re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE)
        )

    pipeline, serving, dev = pinned("pipeline.txt"), pinned("serving.txt"), pinned("dev.txt")
    assert serving.keys() <= pipeline.keys()
    assert {name: pipeline[name] for name in serving} == serving
    assert {name: dev[name] for name in pipeline} == pipeline


def test_make_alone_lists_the_targets() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in ("repro", "test", "ui", "serve", "image", "bench", "lint", "clean"):
        assert re.search(rf"^\s+make {target}\s+\S", listed, re.MULTILINE), target


def test_modules_import_downwards_only() -> None:
    """cli and stages above, then registry and tracking, then learning, then clips and parameters."""
    layers = [
        {"cli"},
        {"stages", "service"},
        {"registry"},
        {"classifier", "tracking", "featureset", "frameset", "trials"},
        {"folds", "metrics", "figures", "backbones"},
        {"heads", "checks", "cohort", "phantom"},
        {"clip", "params", "progress", "quiet"},
        {"errors"},
    ]
    height = {name: level for level, names in enumerate(layers) for name in names}
    upwards = []
    for path in sorted((ROOT / "src/lus").rglob("*.py")):
        own = path.relative_to(ROOT / "src/lus").with_suffix("").parts[0]
        if own == "__init__":
            continue
        text = path.read_text()
        lists = re.findall(r"^\s*from lus import (.+)$", text, re.MULTILINE)
        names = {name.strip().split(" as ")[0] for line in lists for name in line.split(",")}
        names |= set(re.findall(r"^\s*from lus\.(\w+)", text, re.MULTILINE))
        upwards += [f"{own} -> {name}" for name in names if name != own and height[name] < height[own]]
    assert upwards == []
