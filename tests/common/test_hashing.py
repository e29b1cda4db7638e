"""Digests of code: they change with what it does, and with nothing else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from lus.common import hashing

CODE = '''"""A module."""

import os
from json import dumps

SIZE = 3
"""Of something."""


class Box:
    """A box."""

    def doubled(self, value: int) -> int:
        """Twice the value."""
        # not thrice
        import math

        if value < 0:
            raise ValueError(f"found {value}, expected a number" + " from 0")
        return math.floor(2 * value)
'''


def _digest(folder: Path, code: str, name: str = "hashed") -> str:
    (folder / f"{name}.py").write_text(code)
    importlib.invalidate_caches()
    return hashing.hash_modules(name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""A better one."""'),
        ('"""Of something."""\n', ""),
        ('"""A box."""', '"""Holds."""'),
        ('        """Twice the value."""\n', ""),
        ("# not thrice", "# twice"),
        ("import os\n", "import io\n"),
        ("from json import dumps\n", "from elsewhere.json import dumps\n"),
        ("        import math\n", "        from lus import math\n"),
        ("SIZE = 3", "SIZE = (\n    3\n)"),
        ('f"found {value}, expected a number"', '"negative"'),
        (" from 0", " that is not negative"),
    ],
)
def test_what_changes_no_result_changes_no_digest(folder: Path, old: str, new: str) -> None:
    assert old in CODE
    assert _digest(folder, CODE.replace(old, new)) == _digest(folder, CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2 * value", "3 * value"),
        ("SIZE = 3", "SIZE = 4"),
        ("SIZE = 3", "SIZE = '3'"),
        ("Box", "Crate"),
        ("raise ValueError", "raise KeyError"),
        ("value < 0", "value < 1"),
    ],
)
def test_what_may_change_a_result_changes_the_digest(folder: Path, old: str, new: str) -> None:
    assert old in CODE
    assert _digest(folder, CODE.replace(old, new)) != _digest(folder, CODE)


def test_neither_a_modules_place_nor_the_order_counts(folder: Path) -> None:
    (folder / "hashed_package").mkdir()
    (folder / "hashed_package/__init__.py").touch()
    (folder / "hashed_package/moved.py").write_text(CODE)
    assert hashing.hash_modules("hashed_package.moved") == _digest(folder, CODE)
    _digest(folder, "SIZE = 3", "other")
    both = hashing.hash_modules("hashed", "other")
    assert both == hashing.hash_modules("other", "hashed") != hashing.hash_modules("hashed")


def test_a_module_is_hashed_without_being_imported_and_alike_when_it_is(folder: Path) -> None:
    digest = _digest(folder, "raise SystemExit", "unloaded")
    assert "unloaded" not in sys.modules
    assert digest != hashing.hash_modules(hashing) == hashing.hash_modules(hashing.__name__)


def test_what_has_no_source_is_refused() -> None:
    for name in ("lus.absent", "time"):
        with pytest.raises(ModuleNotFoundError, match=name):
            hashing.hash_modules(name)
