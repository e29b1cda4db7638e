from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pytest

from lus.cli import tables
from lus.common.errors import BadInput
from lus.search import compare_runs
from lus.tracking import client, runs

PARAMS = {"units": 8, "dropout": 0.1, "dense": [4], "optimiser": "adam", "learning_rate": 0.001, "batch": 8}


def _search(feature_set: str, losses: list[float], part: str = "all") -> list[str]:
    """A search with its trials, the last one pruned; the trials' ids."""
    ids = []
    tags = {"feature_set": feature_set, "part": part, "cohort": "md5:1"}
    with mlflow.start_run(run_name=f"search {feature_set}", tags=runs.prefix_tags(tags | {"kind": "search"})):
        for number, loss in enumerate(losses):
            state = "pruned" if number == len(losses) - 1 else "finished"
            own = runs.prefix_tags(tags | {"kind": "trial", "state": state})
            with mlflow.start_run(run_name=f"{part} {number:02d}: {feature_set}", nested=True, tags=own) as run:
                mlflow.log_params(PARAMS | {"number": number})
                mlflow.log_metrics({"loss": loss, "accuracy": 0.5, "epochs": 3, "system/cpu": 50})
            ids.append(run.info.run_id)
    return ids


def test_the_best_finished_trial_of_each_feature_sets_newest_search_is_shown(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    client.connect()
    _search("aaa-20", [0.01, 0.02, 0.03])  # an older one
    first = _search("aaa-20", [0.9, 0.5, 0.1])
    second = _search("bbb-5", [0.4, 0.6, 0.2])
    _search("bbb-5", [0.001, 0.002, 0.003], part="fold-0")
    found = compare_runs.best()
    assert [one.run_id for one in found] == [second[0], first[1]]
    tables.print_best(found)
    printed = capsys.readouterr().out
    assert second[0][:8] in printed
    assert printed.index("bbb-5") < printed.index("aaa-20")
    tables.print_runs_json(found)
    assert [one["metrics"]["loss"] for one in json.loads(capsys.readouterr().out)] == [0.4, 0.5]


def test_without_a_name_the_three_best_trials_of_the_newest_search_are_compared(project: Path) -> None:
    with pytest.raises(BadInput, match="no finished search"):
        compare_runs.leading()
    _search("aaa-20", [0.01, 0.02, 0.03])
    first, second, third, *_ = _search("bbb-5", [0.5, 0.4, 0.7, 0.9, 0.1])
    _search("bbb-5", [0.001, 0.002, 0.003], part="fold-0")
    assert [one.run_id for one in compare_runs.leading()] == [second, first, third]


def test_runs_are_found_by_id_by_the_beginning_of_it_and_by_name(project: Path) -> None:
    client.connect()
    first, second, _ = _search("aaa-20", [0.9, float("inf"), 0.1])
    named = compare_runs.runs([first, second[:12], "all 00: aaa-20", "all 02", "search aaa-20"])
    assert [one.run_id for one in named[:3]] == [first, second, first]
    assert [one.name for one in named[3:]] == ["all 02: aaa-20", "search aaa-20"]
    assert named[0].about == {
        "kind": "trial",
        "state": "finished",
        "feature_set": "aaa-20",
        "part": "all",
        "cohort": "md5:1",
    }
    assert "system/cpu" not in named[0].metrics


def test_what_differs_stands_apart_from_what_is_shared(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    client.connect()
    first, second, _ = _search("aaa-20", [0.9, float("inf"), 0.1])
    tables.print_runs(compare_runs.runs([first, second]))
    differs, shared = capsys.readouterr().out.split("What they share")
    assert "metrics.loss" in differs
    assert "params.number" in differs
    assert "params.units" not in differs
    assert "params.units" in shared
    tables.print_runs_json(compare_runs.runs([second]))
    assert json.loads(capsys.readouterr().out)[0]["metrics"]["loss"] is None


def test_a_name_that_fits_no_run_or_several_is_refused(project: Path) -> None:
    client.connect()
    with pytest.raises(BadInput, match="no finished search in MLflow; `dvc repro search` makes one"):
        compare_runs.best()
    _search("aaa-20", [0.9, 0.2])
    with pytest.raises(BadInput, match=r"'nothing' is no run of this project; `lus best`"):
        compare_runs.runs(["nothing"])
    with pytest.raises(BadInput, match=r"'all 0' fits 2 runs: .* give the beginning of one's id"):
        compare_runs.runs(["all 0"])
