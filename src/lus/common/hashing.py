"""Digests: of a file by its content, of arrays by their values, of code by what it does."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray


def describe_code(*modules: ModuleType) -> dict[str, object]:
    """What computed pixels and features depend on beside their inputs: the code of modules, and the libraries.

    TensorFlow, Keras and OpenCV are looked at where they are loaded, the others where they are installed.
    """
    from importlib.metadata import version

    loaded = ("tensorflow", "keras", "cv2")
    libraries = {name: str(getattr(sys.modules[name], "__version__", "")) for name in loaded if name in sys.modules}
    libraries |= {name: version(name) for name in ("av", "openvino", "pydicom", "python-gdcm")}
    return {"code": hash_modules(*modules), "libraries": libraries}


def hash_modules(*modules: ModuleType | str) -> str:
    """SHA-256 of what the source of modules does, 64 hexadecimal digits; their order does not matter.

    Comments, docstrings, what errors say, layout, import statements and the names of the modules do not count, so that
    code which is reworded, reformatted or moved keeps its digest. What a module imports has to be named beside it. The
    digest holds within one minor version of Python, whose syntax trees it is made from.

    Args:
        modules: each loaded, or by its dotted name; of a package its `__init__` alone.

    Raises:
        ModuleNotFoundError: a module has no source file.
    """
    dumps = sorted(ast.dump(_Normalised().visit(ast.parse(_source(module).read_bytes()))) for module in modules)
    return hashlib.sha256("\n".join(dumps).encode()).hexdigest()


def _source(module: ModuleType | str) -> Path:
    spec = find_spec(module) if isinstance(module, str) else module.__spec__
    if spec is None or not spec.has_location or spec.origin is None:
        raise ModuleNotFoundError(f"{module} has no source file")
    return Path(spec.origin)


class _Normalised(ast.NodeTransformer):
    """Leaves out of a syntax tree what does not change a result."""

    def visit_Import(self, node: ast.Import) -> None:
        """Leave it out: where code lies is not what it does."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Leave it out, as `visit_Import` does."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Leave out a string that stands for itself: a docstring, of a module, class, function or attribute."""
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Leave out the strings of what is raised: which error it is counts, and not how it is worded."""
        return _Unworded().generic_visit(self.generic_visit(node))


class _Unworded(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, _node: ast.JoinedStr) -> ast.Constant:
        return ast.Constant("")


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_arrays(arrays: Sequence[NDArray[Any]]) -> str:
    """SHA-256 of arrays in their order, each with its shape and type, 64 hexadecimal digits."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(str((array.shape, array.dtype)).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
