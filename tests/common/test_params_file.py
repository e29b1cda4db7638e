from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lus.common import params_file
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
        (("search", "dropout"), [0.6, 0.1], "dropout, learning_rate and l2 are ranges"),
        (("search", "learning_rate"), [0.0, 0.1], "dropout, learning_rate and l2 are ranges"),
        (
            ("features", "weights"),
            "imagnet",
            "'imagnet' found, `imagenet`, `random`, `own` or a file in weights/ expected",
        ),
        (("features", "weights"), "lus", "'lus' found, which is now called `own`"),
        (("features", "weights"), "", "features.weights"),
        (("features", "weights"), "weights/../x.h5", "features.weights"),
        (("frames", "side"), 70, "frames.side"),
        (("register", "name"), "Not A Name", "register.name"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, keys: tuple[str, ...], value: object, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        params_file.load_params(_changed(tmp_path, *keys, value=value))


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run this in the project's top folder"):
        params_file.load_params(tmp_path / "params.yaml")


def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("search: [1,")
    with pytest.raises(BadInput, match="is not YAML"):
        params_file.load_params(path)
