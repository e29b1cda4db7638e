from __future__ import annotations

import pytest
import yaml

from lus.common import params_file
from tests.conftest import ROOT


def test_the_projects_own_parameters_are_valid() -> None:
    loaded = params_file.load_params(ROOT / "params.yaml")
    assert loaded.cohort.folder == "phantom"
    assert loaded.register_.name == "lus-classifier"


def test_sections_are_the_stages_of_the_pipeline() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    files = {path.stem for path in (ROOT / "src/lus/stages").glob("*.py")} - {"__init__"}
    shared = {"limits", "folds", "promote"}
    assert set(stages) | shared == set(sections) == files | shared


def test_parameters_cannot_be_changed() -> None:
    loaded = params_file.load_params(ROOT / "params.yaml")
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
