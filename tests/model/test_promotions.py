"""Promotions on a real MLflow store, of versions whose evaluations are made for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest

from lus import params, promotions, registry, tracking
from lus.audit import stored
from lus.classifier import Card
from lus.errors import BadInput
from tests.conftest import ROOT

ALL = params.load(ROOT / "params.yaml")
NAME, SIZE, LENGTH = "lus-classifier", 71, 4


def _register(wrong: int, protocol: str = "nested-patient", leaks: tuple[str, ...] = ()) -> str:
    """A version whose evaluation called the clips of so many of 30 patients wrongly."""
    frames = keras.Input((LENGTH, SIZE, SIZE, 3), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling3D()(keras.layers.Rescaling(1 / 255)(frames))
    model = keras.Model(frames, keras.layers.Dense(2, activation="softmax")(pooled))
    labels = ["ab"[number % 2] for number in range(30)]
    said = ["ba"[number % 2] if number < wrong else label for number, label in enumerate(labels)]
    table = pd.DataFrame({"clip_id": [f"c{n}" for n in range(30)], "patient": [f"p{n}" for n in range(30)]})
    table = table.assign(label=labels, predicted=said)
    findings = [{"check": name, "level": "leak"} for name in leaks]
    tracking.connect()
    with mlflow.start_run():
        mlflow.log_text(table.to_csv(index=False), f"evaluation/{stored.PREDICTIONS}")
        mlflow.log_text(json.dumps({"leaking": bool(leaks), "findings": findings}), f"evaluation/{stored.AUDIT}")
        card = Card(("a", "b"), LENGTH, SIZE, ALL.limits, "made-up", {})
        example = np.random.default_rng(0).integers(0, 255, (2, LENGTH, SIZE, SIZE, 3), dtype=np.uint8)
        version = registry.register(NAME, model, card, {"protocol": protocol}, example)
    return str(version.version)


def _aliases() -> dict[str, str]:
    found = {alias: registry.find(NAME, alias) for alias in ("champion", "previous")}
    return {alias: str(one.version) for alias, one in found.items() if one}


def test_the_gate_stands_before_every_promotion_and_an_override_is_recorded_for_good(project: Path) -> None:
    first = _register(6)
    promotions.promote(NAME, first, ALL.promote)
    leaking = _register(0, protocol="published", leaks=("protocol", "weights"))
    with pytest.raises(promotions.Refused, match=r"audit: leaks: protocol, weights found.*protocol: published: "):
        promotions.promote(NAME, leaking, ALL.promote)
    worse = _register(15)
    with pytest.raises(promotions.Refused, match=r"no worse than the champion: difference -0\.300 .* expected"):
        promotions.promote(NAME, None, ALL.promote)
    assert _aliases() == {"champion": first}
    better = _register(2)
    done = promotions.promote(NAME, better, ALL.promote)
    assert (done.version, done.before, done.override) == (better, first, "")
    done = promotions.promote(NAME, worse, ALL.promote, "asked for by the ward")
    assert (done.before, done.override) == (better, "asked for by the ward")
    assert _aliases() == {"champion": worse, "previous": better}
    promotions.rollback(NAME)
    assert _aliases() == {"champion": better, "previous": worse}

    version = registry.by_number(NAME, worse)
    assert version.tags["override"] == "asked for by the ward"
    assert version.tags["promoted_by"] == promotions.who()
    runs = promotions.acts(NAME)
    told = [(run.data.tags["lus.act"], run.data.tags["lus.version"], run.data.tags["lus.before"]) for run in runs]
    assert told == [
        ("rollback", better, worse),
        ("promote", worse, better),
        ("promote", better, first),
        ("promote", first, "none"),
    ]
    record = mlflow.artifacts.load_dict(f"runs:/{runs[1].info.run_id}/promotion.json")
    assert record["override"] == "asked for by the ward"
    assert [one["name"] for one in record["conditions"] if not one["passed"]] == ["no worse than the champion"]
    with pytest.raises(BadInput, match="is the champion already"):
        promotions.promote(NAME, better, ALL.promote)
    with pytest.raises(BadInput, match="has no version 9; it has 4, 3, 2, 1"):
        promotions.promote(NAME, "9", ALL.promote)


def test_an_alias_that_was_moved_by_hand_is_honoured(project: Path) -> None:
    first, second = _register(6), _register(6)
    promotions.promote(NAME, first, ALL.promote)
    tracking.client().set_registered_model_alias(NAME, "champion", second)
    third = _register(6)
    assert promotions.promote(NAME, third, ALL.promote).before == second
    assert _aliases() == {"champion": third, "previous": second}


def test_of_two_who_promote_at_once_one_is_refused(project: Path) -> None:
    first = _register(6)
    lock = f"{NAME}.being-promoted"
    tracking.client().create_registered_model(lock, tags={"who": "ann@ward", "since": str(int(time.time()))})
    with pytest.raises(BadInput, match=r"ann@ward began to promote or roll back lus-classifier \d+ s ago"):
        promotions.promote(NAME, first, ALL.promote)
    assert _aliases() == {}
    # Left behind by somebody who is gone.
    long_ago = str(int(time.time()) - promotions.EXPIRES - 1)
    tracking.client().set_registered_model_tag(lock, "since", long_ago)
    assert promotions.promote(NAME, first, ALL.promote).version == first
    assert [one.name for one in tracking.client().search_registered_models()] == [NAME]


def test_the_command_shows_the_conditions_and_ends_with_status_two_where_it_refuses(project: Path) -> None:
    _register(0, protocol="published", leaks=("protocol",))

    def lus(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        command = [Path(sys.executable).with_name("lus"), *arguments]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)

    refused = lus("promote")
    assert refused.returncode == 2
    assert "failed" in refused.stdout
    assert "leaks: protocol" in refused.stdout
    assert "lus-classifier version 1 is refused: audit: leaks: protocol found" in refused.stderr
    done = lus("promote", "--override", "a demonstration", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["override"] == "a demonstration"
