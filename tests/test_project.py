"""What the project's own files promise."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.imports import code_behind, imports, room

CODE = sorted((ROOT / "src/lus").rglob("*.py"))
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


def _declared(name: str) -> set[str]:
    """The packages that a file of requirements, or `pyproject.toml`, names."""
    text = (ROOT / name).read_text()
    lines = tomllib.loads(text)["project"]["dependencies"] if name == "pyproject.toml" else text.splitlines()
    return {_normal(re.split(r"[^\w.-]", line)[0]) for line in lines}


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def _third_party(path: Path, at_once: bool = False) -> set[str]:
    """The modules of others that a file imports, wherever in it the import stands, or when it is imported itself."""
    module = ast.parse(path.read_text())
    nodes: Iterable[ast.AST] = module.body if at_once else ast.walk(module)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    ours = {one.stem for one in path.parent.iterdir()} | {"lus", "container"}
    return found - ours - sys.stdlib_module_names


def _undeclared(modules: set[str], declared: set[str]) -> set[str]:
    """Modules that no declared package holds."""
    return {one for one in modules if declared.isdisjoint(map(_normal, _distributions().get(one, ())))}


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """The packages that hold a module; looking through all that are installed takes a third of a second."""
    return packages_distributions()


@pytest.mark.parametrize("folder", ["src", "container", "benchmarks"])
def test_every_package_that_is_imported_is_declared(folder: str) -> None:
    declared = _declared("pyproject.toml")
    if folder != "src":
        declared |= _declared("requirements/dev.in")
    imported = {path.name: _third_party(path) for path in (ROOT / folder).rglob("*.py")}
    assert any(imported.values())
    undeclared = {name: _undeclared(modules, declared) for name, modules in imported.items()}
    assert {name: modules for name, modules in undeclared.items() if modules} == {}


def test_every_package_that_the_service_starts_with_is_declared_for_serving() -> None:
    started = {one for path in (ROOT / "src/lus/service").glob("*.py") for one in _third_party(path, at_once=True)}
    assert {"bentoml", "starlette"} <= started
    assert _undeclared(started, _declared("requirements/serving.in")) == set()


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in CODE}
    assert {name: count for name, count in lines.items() if count > 350} == {}


def test_every_module_stands_in_a_room() -> None:
    assert {path.name for path in CODE if path.parent == ROOT / "src/lus"} == {"__init__.py"}


def test_benchmarks_and_the_container_import_no_stage() -> None:
    files = [path for folder in ("benchmarks", "container") for path in (ROOT / folder).glob("*.py")]
    assert [path.name for path in files for one in imports(path) if room(one) == "stages"] == []


ALIASES = ("set_registered_model_alias", "delete_registered_model_alias")
"""What MLflow moves aliases by."""


def _mentions(name: str) -> set[str]:
    """The functions of the package, each as module.function, in which a name is used, whatever it is used for."""
    found = set()
    for path in (ROOT / "src/lus").rglob("*.py"):
        for top in ast.parse(path.read_text()).body:
            inside = [node for node in ast.walk(top) if name in (getattr(node, "id", ""), getattr(node, "attr", ""))]
            found |= {f"{path.stem}.{getattr(top, 'name', '')}"} if inside else set()
    return found


def test_nothing_but_promotion_and_rollback_moves_the_champion() -> None:
    assert set().union(*map(_mentions, ALIASES)) == {"aliases.make_challenger", "promotion._set_alias"}
    assert _mentions("_set_alias") == {"promotion._set_aliases", "promotion._break_off"}
    assert _mentions("_set_aliases") == _mentions("_break_off") == {"promotion.make_champion"}
    assert _mentions("make_champion") == {"promotion.promote", "promotion.rollback"}
    # And nothing reaches for these by a name in quotes.
    quoted = {
        node.value
        for path in (ROOT / "src/lus").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not quoted & {*ALIASES, "_set_alias", "_set_aliases", "_break_off", "make_champion"}


WITHOUT_RESULTS = {"tracking": "runs in MLflow"}
"""Rooms that a stage's results do not depend on, and what they are for instead."""


def _code_behind(stage: str) -> set[str]:
    """The rooms that a stage's code is made of and its own file, as `deps` in dvc.yaml names them."""
    own = ROOT / f"src/lus/stages/{stage}.py"
    rooms = {room(path) for path in code_behind(own)} - {"stages", "__init__.py", *WITHOUT_RESULTS}
    return {own.relative_to(ROOT).as_posix(), *(f"src/lus/{room}" for room in rooms)}


STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_the_code_behind_it(stage: str) -> None:
    named = {dependency for dependency in STAGES[stage]["deps"] if dependency.startswith("src/")}
    assert named == ({"src/lus"} if stage == "package" else _code_behind(stage))
    assert "requirements/pipeline.txt" in STAGES[stage]["deps"]


def _writes(module: Path) -> bool:
    """Whether a module calls anything that writes a file."""
    called = [node.func for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
    names = {func.attr for func in called if isinstance(func, ast.Attribute)}
    return any(re.match(r"write_(text|bytes|table|json|image)|to_(csv|json|parquet)|save|dump$", one) for one in names)


def test_a_room_that_writes_results_is_among_the_dependencies() -> None:
    writing = {room(path) for path in CODE if path.parent != ROOT / "src/lus" and _writes(path)}
    assert not writing & set(WITHOUT_RESULTS)
    # It tells them by what those that do write have in common.
    assert {"evaluation", "features", "search", "metrics"} <= writing


def test_a_bento_holds_the_rooms_behind_the_service_and_no_other() -> None:
    included = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["include"]
    held = {path for pattern in included for path in ROOT.glob(pattern) if path.suffix == ".py"}
    needed = code_behind(ROOT / "src/lus/service/app.py")
    assert needed - held == set()
    assert {room(path) for path in held} - {"__init__.py"} == {room(path) for path in needed} - {"__init__.py"}


def test_compiled_files_do_not_count_as_dependencies() -> None:
    assert {"__pycache__", "*.pyc"} <= set((ROOT / ".dvcignore").read_text().splitlines())
