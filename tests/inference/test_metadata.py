"""A version's metadata: those of earlier code are read, those of later code are refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from lus.checks import rules
from lus.common import params_file
from lus.common.errors import BadInput
from lus.common.params import Limits
from lus.inference.metadata import NEUTRAL_LIMITS, SCHEMA, ModelMetadata
from tests.conftest import ROOT
from tests.schemas import NEXT, know_more

UNNUMBERED = """
{
  "labels": ["normal", "sick"],
  "length": 2,
  "size": 32,
  "limits": {
    "min_side": 100, "max_pixels": 4200000, "max_frames": 5000, "max_clip_pixels": 2000000000, "max_seconds": 60.0,
    "max_fps": 200.0, "min_brightness": 0.02, "max_brightness": 0.75, "min_contrast": 0.03, "min_sharpness": 0.08,
    "max_saturation": 0.4, "max_colour": 0.1, "max_blank_share": 0.1, "max_still_share": 0.5, "min_coverage": 0.1,
    "min_extent": 0.3, "max_cuts": 0, "max_flashes": 0, "report_text": 0.005, "report_colour": 0.001
  },
  "feature_set": "xception-2",
  "lineage": {"git_commit": "abc"},
  "name": "lus-classifier",
  "version": "7"
}
"""
"""As it was written before metadata had a schema."""


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this code knows a schema and a limit more."""
    know_more(monkeypatch)


def _today() -> ModelMetadata:
    limits = params_file.load_params(ROOT / "params.yaml").limits
    return ModelMetadata(("a", "b"), 20, 64, limits, "xception-20", {"git_commit": "abc"}, "lus-classifier", "7")


def test_metadata_without_a_schema_are_read() -> None:
    found = ModelMetadata.from_json(json.loads(UNNUMBERED))
    assert (found.labels, found.limits.max_saturation, found.version) == (("normal", "sick"), 0.4, "7")
    assert found.to_json() == json.loads(UNNUMBERED) | {"schema": SCHEMA}


def test_metadata_come_back_from_json_as_they_were() -> None:
    stored = json.loads(json.dumps(_today().to_json()))
    assert stored["schema"] == SCHEMA
    assert ModelMetadata.from_json(stored) == _today()


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("stored", [json.loads(UNNUMBERED), _today().to_json()], ids=["unnumbered", "today"])
def test_a_limit_that_a_version_did_not_know_gets_its_neutral_value(stored: dict[str, Any]) -> None:
    limits = ModelMetadata.from_json(stored).limits
    assert limits.model_dump() == stored["limits"] | {"max_ghosts": 1000}


@pytest.mark.usefixtures("later")
def test_a_limit_that_a_version_must_know_is_not_made_up() -> None:
    stored = _today().to_json() | {"schema": NEXT}
    with pytest.raises(BadInput, match=rf"with other limits than schema {NEXT} .*max_ghosts"):
        ModelMetadata.from_json(stored)


def test_metadata_of_a_later_schema_are_refused() -> None:
    stored = _today().to_json() | {"schema": NEXT}
    with pytest.raises(
        BadInput, match=rf"version 7 of lus-classifier has metadata of schema {NEXT}, .* up to {SCHEMA}; update"
    ):
        ModelMetadata.from_json(stored)


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda old: old | {"limits": _without(old["limits"], "max_cuts")},
            r"other limits than schema 2 .*\(max_cuts\)",
        ),
        (
            lambda old: old | {"limits": old["limits"] | {"max_ghosts": 1}},
            r"other limits than schema 2 .*\(max_ghosts\)",
        ),
        (lambda old: _without(old, "limits"), r"other fields than schema 2 .*\(limits\)"),
        (lambda old: old | {"colour": "grey"}, r"other fields than schema 2 .*\(colour\)"),
    ],
)
def test_what_a_known_schema_does_not_have_is_refused_and_never_dropped(change: Any, said: str) -> None:
    with pytest.raises(
        BadInput, match=f"version 7 of lus-classifier was registered with {said}; .*lus register --anew"
    ):
        ModelMetadata.from_json(change(_today().to_json()))


def test_each_limit_has_a_neutral_value_and_a_schema() -> None:
    assert list(NEUTRAL_LIMITS) == list(Limits.model_fields)
    assert {since for since, _ in NEUTRAL_LIMITS.values()} <= set(range(1, NEXT))


def test_schema_1_has_the_limits_that_it_had() -> None:
    first = {name for name, (since, _) in NEUTRAL_LIMITS.items() if since == 1}
    assert first == json.loads(UNNUMBERED)["limits"].keys()


def test_neutral_values_refuse_nothing() -> None:
    limits = Limits(**{name: value for name, (_, value) in NEUTRAL_LIMITS.items()})
    shares = {"brightness", "contrast", "saturation", "colour", "blank_share", "still_share", "coverage", "extent"}
    shares |= {"overlay_text", "overlay_colour"}
    # Damage and what is only remarked on have limits that are the same for every version.
    fixed = {"interlaced", "trimmed", "damaged", "damaged_share"}
    for rule in (one for one in rules.make_rules(limits, 1) if one.column not in fixed):
        # A picture has a side of 1 pixel and a clip one frame at least.
        least, most = (0, 1) if rule.column in shares else (int(rule.column in {"frames", "side"}), 1e15)
        assert not rule.broken_by(least), rule.column
        assert not rule.broken_by(most), rule.column
    assert all(rule.low == 1 for rule in rules.make_rules(limits, 1) if rule.column in {"frames", "side"})


def test_a_field_that_a_later_schema_adds_has_a_default() -> None:
    first = json.loads(UNNUMBERED).keys()
    later = [one for one in dataclasses.fields(ModelMetadata) if one.name not in first]
    assert [one.name for one in later if one.default is dataclasses.MISSING] == []
