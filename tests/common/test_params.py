from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lus.common import params
from lus.common.errors import BadInput
from tests.conftest import ROOT


def _changed(tmp_path: Path, *keys: str, value: object) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_projects_own_parameters_are_valid() -> None:
    loaded = params.load(ROOT / "params.yaml")
    assert loaded.cohort.folder == "phantom"
    assert loaded.register_.name == "lus-classifier"


def test_sections_are_the_stages_of_the_pipeline() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    files = {path.stem for path in (ROOT / "src/lus/stages").glob("*.py")} - {"__init__"}
    shared = {"limits", "folds", "promote"}
    assert set(stages) | shared == set(sections) == files | shared


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("search", "trails"), 3, "search.trails"),
        (("search", "trials"), 0, "search.trials"),
        (("search", "trials"), "many", "search.trials"),
        (("limits", "min_contrast"), 2.0, "limits.min_contrast"),
        (("limits", "min_brightness"), 0.9, "min_brightness must be below"),
        (("simulate", "labels"), {"one": {"a-lines": 1.0}}, "1 label found, two or more expected"),
        (("simulate", "labels", "healthy"), {"z-lines": 1.0}, "simulate.labels.healthy"),
        (("search", "dropout"), [0.6, 0.1], "dropout and learning_rate are ranges"),
        (("search", "learning_rate"), [0.0, 0.1], "dropout and learning_rate are ranges"),
        (
            ("features", "weights"),
            "imagnet",
            "'imagnet' found, `imagenet`, `random`, `lus` or a file in weights/ expected",
        ),
        (("features", "weights"), "", "features.weights"),
        (("features", "weights"), "weights/../x.h5", "features.weights"),
        (("frames", "side"), 70, "frames.side"),
        (("register", "name"), "Not A Name", "register.name"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, keys: tuple[str, ...], value: object, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        params.load(_changed(tmp_path, *keys, value=value))


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run this in the project's top folder"):
        params.load(tmp_path / "params.yaml")


def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("search: [1,")
    with pytest.raises(BadInput, match="is not YAML"):
        params.load(path)


def test_parameters_cannot_be_changed() -> None:
    loaded = params.load(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        loaded.search.trials = 3  # type: ignore[misc]


def test_dvc_sees_every_change_of_a_parameter() -> None:
    # DVC takes keys of these names for facts about files and leaves them out of what it knows a run by: where only
    # `size` changed it checks the old outputs out and says that the stage is cached (its issue 10296, in 3.67.1).
    def keys(section: object) -> set[str]:
        if isinstance(section, list):
            return set().union(*map(keys, section))
        if not isinstance(section, dict):
            return set()
        return set(section).union(*map(keys, section.values()))

    found = keys(yaml.safe_load((ROOT / "params.yaml").read_text()))
    assert "trials" in found
    assert not found & {"size", "nfiles"}
