"""What the project's own files promise."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from lus import assembly, engines, optimize
from lus.stages import features, pretrain
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
    distributions = packages_distributions()
    return {one for one in modules if declared.isdisjoint(map(_normal, distributions.get(one, ())))}


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


LAYERS = [
    {"cli"},
    {"cli_registry", "cli_serving"},
    {"cli_stages"},
    {"show_doctor", "show_registry"},
    {"stages", "service", "show"},
    {"adoption", "promotions", "reports", "reproduce", "mlflow_runs"},
    {"versions"},
    {"cross_validation", "optimize"},
    {"assembly", "candidates", "compare_runs", "doctor", "registry", "storage", "survey"},
    {"gate", "modelcard", "explain", "keras_model"},
    {"compiled"},
    {"classifier", "featureset", "frameset", "store", "objective", "trials_file", "pretraining", "pretrained", "audit"},
    {"baselines", "comparisons", "protocols"},
    {"folds", "metrics", "figures", "backbones", "engines", "plots", "space", "suites", "calibration", "patterns"},
    {"training", "plainhead", "pruner", "reader", "sampler", "trials"},
    {"loop"},
    {"heads", "checks", "datadocs", "legacy"},
    {"keras2", "measures", "cohort", "leaks", "phantom"},
    {"layouts"},
    {"jobs", "journal"},
    {"clip", "tracking"},
    {"dicom"},
    {"codestream", "dicom_header"},
    {"metadata"},
    {"params", "pool", "ports", "progress", "quiet"},
    {"arrays", "hashing", "changed_inputs"},
    {"errors"},
]
"""Modules of the package from the top down: each imports from below itself only."""


def _imports(path: Path, at_once: bool = False) -> set[Path]:
    """The project's own files that a file imports, wherever in it the import stands, or when it is imported itself."""
    found = set()
    module = ast.parse(path.read_text())
    for node in module.body if at_once else ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lus":
            package = ROOT / "src" / Path(*node.module.split("."))
            for name in node.names:
                candidates = [package / f"{name.name}.py", package / name.name / "__init__.py"]
                found |= {one for one in [*candidates, package.with_suffix(".py")] if one.is_file()}
    return found


def _part(path: Path) -> str:
    return path.relative_to(ROOT / "src/lus").with_suffix("").parts[0]


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "src/lus").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert len(places) > 100
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_modules_import_downwards_only() -> None:
    height = {name: level for level, names in enumerate(LAYERS) for name in names}
    upwards = [
        f"{_part(path)} -> {_part(imported)}"
        for path in sorted((ROOT / "src/lus").rglob("*.py"))
        for imported in _imports(path)
        if path.name != "__init__.py" or "phantom" in path.parts
        if _part(imported) != _part(path) and height[_part(imported)] <= height[_part(path)]
    ]
    assert upwards == []


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
    assert set().union(*map(_mentions, ALIASES)) == {"registry.make_challenger", "promotions._set_alias"}
    assert _mentions("_set_alias") == {"promotions._set_aliases", "promotions._break_off"}
    assert _mentions("_set_aliases") == _mentions("_break_off") == {"promotions.make_champion"}
    assert _mentions("make_champion") == {"promotions.promote", "promotions.rollback"}
    # And nothing reaches for these by a name in quotes.
    quoted = {
        node.value
        for path in (ROOT / "src/lus").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not quoted & {*ALIASES, "_set_alias", "_set_aliases", "_break_off", "make_champion"}


PACKAGES = {"phantom", "datadocs"}
"""Packages that a stage depends on as a whole: one with all its modules, one with its templates."""
WITHOUT_RESULTS = {
    "arrays": "names of types",
    "journal": "a registered model's history, in MLflow",
    "params": "its values reach DVC as parameters",
    "plots": "a page that MLflow shows",
    "progress": "a bar on the terminal",
    "quiet": "fewer notices on the terminal",
    "mlflow_runs": "what MLflow shows of a search",
    "tracking": "the runs in MLflow",
}
"""Modules that a stage's results do not depend on, and what they are for instead."""
WRITERS = {"params", "plots"}
"""Those of them that write files all the same: params.yaml at a user's word, and the page for MLflow."""


def _code_behind(stage: str) -> set[str]:
    """The files and packages that a stage's code is made of, as `deps` in dvc.yaml names them."""
    waiting, seen = [ROOT / f"src/lus/stages/{stage}.py"], set()
    while waiting:
        path = waiting.pop()
        if path not in seen and _part(path) not in WITHOUT_RESULTS:
            seen.add(path)
            waiting += _imports(path)
    return {
        f"src/lus/{_part(path)}" if _part(path) in PACKAGES else path.relative_to(ROOT).as_posix()
        for path in seen
        if path.name != "__init__.py" or _part(path) in PACKAGES
    }


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


def test_a_module_that_writes_results_is_among_the_dependencies() -> None:
    assert {name for name in WITHOUT_RESULTS if _writes(ROOT / f"src/lus/{name}.py")} == WRITERS
    # It tells them by what those that do write have in common.
    assert all(
        _writes(ROOT / f"src/lus/{name}.py") for name in ("figures", "featureset", "reports", "trials_file", "store")
    )


WITHOUT_EFFECT = {
    "arrays": "names of types",
    "cohort": "the table of clips, of which each is named by its content",
    "errors": "how what is refused is worded",
    "folds": "classes of row numbers, which the names hold themselves",
    "hashing": "the names themselves",
    "params": "classes of values, which the names hold themselves",
    "phantom": "frames by which random weights get their statistics; the names hold the digest of the weights",
    "pool": "where work is done",
    "quiet": "fewer notices on the terminal",
}
"""Modules that no trial, feature or trained weight depends on, though what makes them imports them; and why not."""
KEPT = {
    "studies": (optimize.IDENTITY, ("objective", "pruner", "sampler", "space")),
    "features": ([module.__name__ for module in (*features.CODE, engines)], ("backbones", "frameset", "engines")),
    "weights": ([module.__name__ for module in pretrain.CODE], ("pretraining", "frameset")),
}
"""What is kept for the next run, by a name that holds the code of these modules; and where that code is entered."""


def test_a_versions_digest_knows_all_the_code_that_trains_and_joins_a_classifier() -> None:
    # What these make is hashed itself. The phantom has a part in random weights alone: here the CNN's are of a file.
    given = {"featureset", "folds", "hashing", "metadata", "params", "phantom"}
    given |= {"compiled", "engines", "plainhead"}  # what is served is made of a version that exists
    waiting, behind = [ROOT / "src/lus/assembly.py"], set()
    while waiting:
        if (part := _part(path := waiting.pop())) not in behind:
            behind.add(part)
            waiting += _imports(path) if part not in given else ()
    code = {name.removeprefix("lus.") for name in assembly.CODE}
    # The kinds of arrays and the wording of errors change no weight.
    assert behind == code | given | {"arrays", "errors"}


def _code_without(entered: Iterable[str], without: Collection[str]) -> set[str]:
    """These modules of the package and all that they import, but for some and what only those import."""
    waiting, seen = {ROOT / f"src/lus/{name}.py" for name in entered}, set[Path]()
    while waiting:
        seen |= waiting
        waiting = {one for path in waiting if _part(path) not in without for one in _imports(path)} - seen
    return {_part(path) for path in seen}


@pytest.mark.parametrize("kept", KEPT)
def test_what_is_kept_is_named_for_all_the_code_that_makes_it(kept: str) -> None:
    hashed, entered = KEPT[kept]
    assert {f"lus.{name}" for name in _code_without(entered, WITHOUT_EFFECT) - WITHOUT_EFFECT.keys()} == set(hashed)


def test_every_module_without_effect_on_what_is_kept_would_be_missed() -> None:
    met = {name for _, entered in KEPT.values() for name in _code_without(entered, WITHOUT_EFFECT)}
    assert WITHOUT_EFFECT.keys() <= met


def test_what_a_bento_holds_needs_no_other_code_of_the_project_to_be_imported() -> None:
    held = {
        path
        for pattern in yaml.safe_load((ROOT / "bentofile.yaml").read_text())["include"]
        for path in ROOT.glob(pattern)
        if path.suffix == ".py"
    }
    assert ROOT / "src/lus/service/app.py" in held
    needed = {path: _imports(path, at_once=True) - held for path in held}
    assert {path.name: missing for path, missing in needed.items() if missing} == {}
    # And nothing that it does not need.
    package = {path for path in held if path.parent == ROOT / "src/lus" and path.name != "__init__.py"}
    imported = {one for path in held for one in _imports(path)}
    assert {path.name for path in package - imported} == set()


def test_compiled_files_do_not_count_as_dependencies() -> None:
    assert {"__pycache__", "*.pyc"} <= set((ROOT / ".dvcignore").read_text().splitlines())
