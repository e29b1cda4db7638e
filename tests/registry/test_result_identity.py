"""What a classifier depends on: its digest changes with that, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lus.common import params_file
from lus.features.featureset import FeatureSet, Info
from lus.registry import result_identity
from tests.conftest import ROOT
from tests.small_runs import made_clips

LIMITS = params_file.load_params(ROOT / "params.yaml").limits
INFO = Info("xception", 2, 4, 71, 71, "random", "0" * 64)
LINEAGE = {name: name for name in result_identity.INPUTS} | {"git_commit": "a" * 40, "machine": "x86_64, 2 cores"}
CLIPS = made_clips(8)
DATA = FeatureSet(Path("features"), np.zeros((8, 2, 4), np.float32), CLIPS, INFO)


def _digest(**changes: Any) -> str:
    given: dict[str, Any] = {"data": DATA, "lineage": LINEAGE, "limits": LIMITS, "seed": 3} | changes
    return result_identity.digest_trained(**given)


@pytest.mark.parametrize(
    "changes",
    [
        *({"lineage": LINEAGE | {name: "other"}} for name in result_identity.INPUTS),
        {"lineage": {name: value for name, value in LINEAGE.items() if name != "environment_sha256"}},
        {"data": replace(DATA, info=replace(INFO, backbone="mobilenetv2"))},
        {"data": replace(DATA, info=replace(INFO, seen=96))},
        {"data": replace(DATA, clips=CLIPS.assign(label=CLIPS["label"].iloc[::-1].to_numpy()))},
        {"limits": LIMITS.model_copy(update={"max_frames": LIMITS.max_frames + 1})},
        {"seed": 4},
    ],
)
def test_what_the_classifier_depends_on_changes_its_digest(changes: dict[str, Any]) -> None:
    assert _digest(**changes) != _digest()


def test_commit_machine_and_the_engine_of_the_same_features_do_not() -> None:
    elsewhere = LINEAGE | {"git_commit": "b" * 40, "machine": "aarch64, 8 cores"}
    assert _digest(lineage=elsewhere, data=replace(DATA, info=replace(INFO, engine="openvino-bf16"))) == _digest()


@pytest.mark.parametrize("name", result_identity.CODE)
def test_other_code_that_trains_or_joins_it_changes_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _digest()
    monkeypatch.setattr(
        result_identity, "CODE", tuple("lus.common.errors" if one == name else one for one in result_identity.CODE)
    )
    assert _digest() != before


def _imported(head: Path, **changes: Any) -> str:
    given: dict[str, Any] = {"file": head, "feature_set": "xception-5", "backbone_digest": "0" * 64}
    return result_identity.digest_imported(
        **given | {"labels": ("a", "b"), "size": 96, "seen": 96, "limits": LIMITS} | changes
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"feature_set": "xception-6"},
        {"backbone_digest": "1" * 64},
        {"labels": ("b", "a")},
        {"size": 128},
        {"seen": 128},
        {"limits": LIMITS.model_copy(update={"max_frames": LIMITS.max_frames + 1})},
    ],
)
def test_what_an_imported_classifier_depends_on_changes_its_digest(changes: dict[str, Any], tmp_path: Path) -> None:
    head = tmp_path / "head.h5"
    head.write_bytes(b"weights")
    before = _imported(head)
    assert _imported(head, **changes) != before
    copied = tmp_path / "copy.h5"
    copied.write_bytes(b"weights")
    assert _imported(copied) == before
    copied.write_bytes(b"others")
    assert _imported(copied) != before


@pytest.mark.parametrize("name", result_identity.IMPORT_CODE)
def test_other_code_that_reads_or_joins_an_imported_head_changes_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = tmp_path / "head.h5"
    head.write_bytes(b"weights")
    before = _imported(head)
    others = tuple("lus.common.errors" if one == name else one for one in result_identity.IMPORT_CODE)
    monkeypatch.setattr(result_identity, "IMPORT_CODE", others)
    assert _imported(head) != before
