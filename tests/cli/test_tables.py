"""What is printed fits the terminal, and programs get all of it."""

from __future__ import annotations

import ast
import json

import pytest

from lus.cli import registry_tables, tables
from lus.registry.reproduce import Figure
from lus.registry.versions import VersionRow
from lus.search.compare_runs import RunSummary
from tests.conftest import ROOT

MADE = "2026-01-01T00:00:00+00:00"
FIRST = ("0.467", "0.358 to 0.567", "0.467", "leave-source-out", "leak")
SECOND = ("0.683", "0.541 to 0.792", "0.644", "nested-patient", "clean")
VERSIONS = [
    VersionRow("12", ["challenger"], *SECOND, "a" * 64, "b" * 40, "3f0c5a7712be", MADE),
    VersionRow("7", ["champion"], *FIRST, "c" * 64, "d" * 40, "9e254a140b4f", MADE),
]
HEAD = {"units": "512", "dense": "[1024, 1024]", "dropout": "0.4", "optimiser": "adam", "learning_rate": "0.0001"}
TRIALS = [
    RunSummary(
        "e" * 32,
        "whole cohort 3",
        "FINISHED",
        {"feature_set": "inceptionresnetv2-20"},
        HEAD | {"batch": "32"},
        {"loss": 0.84, "accuracy": 0.67, "epochs": 8.0},
    )
]


def _versions() -> None:
    registry_tables.print_versions(VERSIONS, "lus-classifier")


def _trials() -> None:
    tables.print_best(TRIALS)


@pytest.mark.parametrize(
    ("table", "kept", "left_out"),
    [
        (_versions, ["challenger", "0.683 (0.541 to 0.792)", "0.467 (0.358 to 0.567)"], ["data", "commit"]),
        (_trials, ["inceptionresnetv2-20", "eeeeeeee", "0.840", "LSTM 512", "[1024, 1024]"], ["inputs", "batch"]),
    ],
    ids=["models", "best"],
)
def test_a_narrow_terminal_gets_fewer_columns_unbroken_and_is_told_which_are_left_out(
    table: object,
    kept: list[str],
    left_out: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert callable(table)
    monkeypatch.setenv("COLUMNS", "80")
    table()
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 80
    assert all(cell in narrow for cell in kept)
    said = " ".join(narrow.split("too wide for this terminal: ")[1].split())
    assert all(head in said for head in left_out)
    assert said.endswith("--json has all")
    monkeypatch.setenv("COLUMNS", "200")
    table()
    wide = capsys.readouterr().out
    assert "too wide" not in wide
    header = next(line for line in wide.splitlines() if "accuracy" in line)
    assert all(head in header for head in left_out)


def test_figures_that_one_side_lacks_are_null_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    registry_tables.print_metrics_json(
        [Figure("accuracy", 0.5, 0.5), Figure("brier", None, 0.1)], "lus-classifier", "7"
    )
    said = json.loads(capsys.readouterr().out)
    assert [one["difference"] for one in said["figures"]] == [0.0, None]


def test_every_verb_that_prints_a_table_prints_json_where_asked_to() -> None:
    without, with_json = [], []
    for file in sorted((ROOT / "src/lus/cli").glob("*.py")):
        for verb in ast.parse(file.read_text()).body:
            if not isinstance(verb, ast.FunctionDef):
                continue
            named = {node.id for node in ast.walk(verb) if isinstance(node, ast.Name)}
            if named & {"tables", "doctor_tables", "registry_tables"}:
                (with_json if "as_json" in {one.arg for one in verb.args.args} else without).append(verb.name)
    assert without == []
    assert {"models", "show", "best", "compare", "check", "audit", "promote", "classify", "doctor"} <= set(with_json)
