"""What the package's modules import of each other, read from their source."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "src/lus"


def imports(path: Path) -> set[Path]:
    """The project's own files that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lus":
            package = ROOT / "src" / Path(*node.module.split("."))
            for name in node.names:
                candidates = [package / f"{name.name}.py", package / name.name / "__init__.py"]
                candidates += [package.with_suffix(".py"), package / "__init__.py"]
                found.add(next(one for one in candidates if one.is_file()))
    return found


def code_behind(*start: Path, without: frozenset[str] = frozenset()) -> set[Path]:
    """Files and all of the project's own that they import, and these in turn.

    Args:
        start: where to begin.
        without: modules, as `dotted` names them, whose own imports are not followed, unless one begins with them.
    """
    waiting, seen = list(start), set[Path]()
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imports(path) if path in start or dotted(path) not in without else ()
    return seen


def dotted(path: Path) -> str:
    """The name of a module within the package: `clips.decode`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def file_of(module: str) -> Path:
    """The file of a module, by its name within the package."""
    path = PACKAGE / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def room(path: Path) -> str:
    """The room in which a module stands."""
    return path.relative_to(PACKAGE).parts[0]
