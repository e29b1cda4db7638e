"""Versions registered by other code than that which runs: used where their metadata can be read, else left alone."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from lus.common import params_file
from lus.common.errors import BadInput
from lus.inference import metadata
from lus.inference.metadata import ModelMetadata
from lus.registry import aliases, download, journal, models, promotion
from lus.tracking import client
from tests.conftest import ROOT, draw_frames, write_video
from tests.schemas import NEXT, know_more
from tests.versions import LABELS, NAME, add

PROMOTE = params_file.load_params(ROOT / "params.yaml").promote


def _without_schema(self: ModelMetadata) -> dict[str, Any]:
    """As `to_json` was before metadata had a schema."""
    return {key: value for key, value in _to_json(self).items() if key != "schema"}


_to_json = ModelMetadata.to_json


def _bear(**aliases: str) -> None:
    for alias, version in aliases.items():
        client.get_client().set_registered_model_alias(NAME, alias, version)


@pytest.mark.parametrize("written", [_to_json, _without_schema], ids=["today", "unnumbered"])
def test_a_version_of_earlier_code_classifies_compiles_and_is_rolled_back_to(
    written: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ModelMetadata, "to_json", written)
        assert [add(), add()] == ["1", "2"]
    _bear(champion="2", previous="1")
    know_more(monkeypatch)
    version, clip = models.get_version(NAME, "1"), write_video(project / "clip.avi", draw_frames(24, 120, 104, 0))
    with download.load_classifier(version) as classifier:
        assert classifier.metadata.limits.model_dump()["max_ghosts"] == 1000
        assert classifier.classify(clip).label in LABELS
    made = download.compile_into(version, "openvino-f32", project / "served")
    assert made.parity().holds
    stored = json.loads((project / "served" / metadata.METADATA_FILE).read_text())
    assert (stored["schema"], stored["limits"]["max_ghosts"]) == (NEXT, 1000)
    promotion.rollback(NAME)
    assert aliases.get_aliases(NAME) == {"champion": "1", "previous": "2", "challenger": "2"}


def test_a_version_of_later_code_is_refused_before_an_alias_moves(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        know_more(patch)
        assert add() == "1"
    assert add() == "2"
    _bear(champion="2", previous="1", challenger="1")
    before, refused = (
        aliases.get_aliases(NAME),
        rf"version 1 of {NAME} has metadata of schema {NEXT}, this lus knows",
    )
    with pytest.raises(BadInput, match=f"^{refused}"):
        promotion.rollback(NAME)
    for override in (None, "it is needed"):
        with pytest.raises(BadInput, match=f"^{refused}"):
            promotion.promote(*promotion.candidate(NAME, None), PROMOTE, "openvino-f32", override)
    assert aliases.get_aliases(NAME) == before
    assert journal.read(journal.journal_run(NAME)) == []


def test_a_version_without_metadata_is_refused_before_an_alias_moves(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(models, "METADATA_KEY", "something else")
        assert add() == "1"
    assert add() == "2"
    _bear(champion="2", previous="1")
    with pytest.raises(BadInput, match=f"{NAME} version 1 carries no metadata; register it"):
        promotion.rollback(NAME)
    assert aliases.get_aliases(NAME)["champion"] == "2"


def test_asking_whether_a_version_is_readable_leaves_no_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    version, scratch = models.get_version(NAME, "1"), project / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    download.require_readable(version)
    assert list(scratch.iterdir()) == []
