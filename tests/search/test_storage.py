"""How trials are proposed, counted and ended, with an objective that takes no time."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

from lus.clips import cohort
from lus.common import params_file
from lus.common.errors import BadInput
from lus.features.featureset import Info
from lus.heads.model import LINEAR, HeadParams
from lus.search import optimize, sampler, space, storage, trials
from lus.search.optimize import Budget, StudySpec
from lus.search.pruner import PruningReporter
from lus.tracking import processes
from tests.conftest import ROOT
from tests.feature_files import write_features

SPACE = params_file.load_params(ROOT / "params.yaml").search
PUBLISHED = HeadParams()


def _loss(trial: optuna.Trial, head: HeadParams) -> float:
    return abs(math.log(head.learning_rate / 0.001)) + head.dropout + head.units / 1024 + head.l2


def _spec(trials: int, seconds: float | None = None) -> StudySpec:
    return StudySpec("study", "all", Budget(trials, seconds), SPACE, (PUBLISHED, LINEAR))


def _heads(study: optuna.Study) -> list[HeadParams]:
    return [space.suggest(one, SPACE) for one in storage.get_finished_trials(study)]


def _ignore(study: optuna.Study) -> None:
    return None


def test_the_published_head_and_the_linear_one_lie_in_the_space_and_are_tried_first(project: Path) -> None:
    for head, without in (
        (PUBLISHED, {"units": (64,)}),
        (PUBLISHED, {"heads": ("pool",)}),
        (replace(PUBLISHED, dense=()), {}),
        (LINEAR, {"pooling": ("max",)}),
        (LINEAR, {"heads": ("lstm",)}),
        (LINEAR, {"l2": (LINEAR.l2 * 1.1, LINEAR.l2 * 2)}),
    ):
        assert not space.fits(head, SPACE.model_copy(update=without))
    assert space.fits(PUBLISHED, SPACE)
    assert space.fits(LINEAR, SPACE)
    optimize.optimize(_spec(1), _loss, _ignore)
    assert len(storage.open_study("study").trials) == 1
    optimize.optimize(_spec(3), _loss, _ignore)
    assert _heads(storage.open_study("study"))[:2] == [PUBLISHED, LINEAR]


def test_the_papers_way_draws_what_it_drew_before_there_were_pooling_heads() -> None:
    def before(trial: optuna.Trial) -> HeadParams:
        layers = trial.suggest_int("dense_layers", 1, SPACE.max_dense_layers)
        return HeadParams(
            units=trial.suggest_categorical("units", list(SPACE.units)),
            dropout=trial.suggest_float("dropout", *SPACE.dropout),
            dense=tuple(trial.suggest_categorical(f"dense_{n}", list(SPACE.dense)) for n in range(1, layers + 1)),
            learning_rate=trial.suggest_float("learning_rate", *SPACE.learning_rate, log=True),
            batch=trial.suggest_categorical("batch", list(SPACE.batch)),
            optimiser=trial.suggest_categorical("optimiser", list(SPACE.optimiser)),
            inputs=trial.suggest_categorical("inputs", list(SPACE.inputs)),
        )

    lstm = SPACE.model_copy(update={"heads": ("lstm",)})
    drawn: list[list[HeadParams]] = []
    for suggest in (before, lambda trial: space.suggest(trial, lstm)):
        study, heads = optuna.create_study(), []
        for number in range(14):  # so that TPE has begun
            study.sampler = sampler.make_sampler(11, "all", number)
            trial = study.ask()
            heads.append(suggest(trial))
            study.tell(trial, _loss(trial, heads[-1]))
        drawn.append(heads)
    assert drawn[0] == drawn[1]
    assert {head.kind for head in drawn[1]} == {"lstm"}


def test_both_kinds_are_drawn_and_a_finished_trial_gives_the_head_that_was_drawn(project: Path) -> None:
    optimize.optimize(_spec(16), _loss, _ignore)
    study = storage.open_study("study")
    tried = _heads(study)
    assert {head.kind for head in tried} == {"lstm", "pool"}
    assert {len(head.dense) for head in tried if head.kind == "pool"} > {0}
    assert all(head.l2 == 0 for head in tried if head.kind == "lstm")
    assert all(SPACE.l2[0] <= head.l2 <= SPACE.l2[1] for head in tried if head.kind == "pool")
    for head, one in zip(tried, storage.get_finished_trials(study), strict=True):
        assert space.fits(head, SPACE)
        assert space.as_suggestion(head) == one.params


def test_a_search_that_is_interrupted_proposes_what_an_unbroken_one_does(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimize.optimize(_spec(16), _loss, _ignore)
    unbroken = _heads(storage.open_study("study"))
    assert len(set(unbroken)) == 16
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{project}/other.db")
    calls = 0

    def interrupted(trial: optuna.Trial, head: HeadParams) -> float:
        nonlocal calls
        calls += 1
        if calls % 4 == 1:
            raise KeyboardInterrupt
        return _loss(trial, head)

    for _ in range(20):
        try:
            optimize.optimize(_spec(16), interrupted, _ignore)
        except KeyboardInterrupt:
            continue
        break
    assert _heads(storage.open_study("study")) == unbroken


def test_a_trial_whose_process_is_gone_is_ended_and_one_that_goes_on_is_not(project: Path) -> None:
    study = storage.open_study("study")
    gone = subprocess.run(
        [sys.executable, "-c", "from lus.tracking import processes; print(processes.owner())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    for whose in (gone, processes.owner(), f"elsewhere {os.getpid()} 1.0"):
        study._thread_local.in_optimize_loop = True
        study.ask().set_user_attr(storage.OWNER, whose)
    storage.fail_stale_trials(study, {})
    assert [one.state.name for one in study.get_trials()] == ["FAIL", "RUNNING", "RUNNING"]


def test_a_trial_that_was_killed_before_it_had_an_owner_leaves_its_number_to_the_next(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "STARTING", 0.5)
    study = storage.open_study("study")
    study._thread_local.in_optimize_loop = True
    study.ask()
    optimize.optimize(_spec(3), _loss, _ignore)
    assert [one.state.name for one in study.get_trials()] == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert [one.user_attrs[trials.NUMBER] for one in storage.get_finished_trials(study)] == [0, 1, 2]
    assert _heads(study)[0] == PUBLISHED


BEGIN = """
from lus.search import storage
study = storage.open_study("study")
study._thread_local.in_optimize_loop = True
study.ask()
"""


@pytest.mark.parametrize("zone", ["Etc/GMT+9", "Etc/GMT-9"])
def test_a_trial_that_a_machine_in_another_time_zone_has_just_begun_is_left_alone(
    project: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = storage.open_study("study")
    subprocess.run([sys.executable, "-c", BEGIN], check=True, env=os.environ | {"TZ": zone})
    monkeypatch.setattr(storage, "STARTING", 0.5)
    seen: dict[int, float] = {}
    storage.fail_stale_trials(study, seen)
    storage.fail_stale_trials(study, seen)
    assert [one.state.name for one in study.get_trials()] == ["RUNNING"]
    time.sleep(0.6)
    storage.fail_stale_trials(study, seen)
    assert [one.state.name for one in study.get_trials()] == ["FAIL"]


@pytest.mark.parametrize("tells_more", [False, True])
def test_a_trial_that_others_ended_as_that_of_the_dead_does_not_count_and_the_search_goes_on(
    project: Path, tells_more: bool
) -> None:
    def objective(trial: optuna.Trial, head: HeadParams) -> float:
        if trial.number == 1:  # as when this machine has slept for longer than others wait
            storage.open_study("study").tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if tells_more:
                trial.set_user_attr(trials.CURVES, [])
        return _loss(trial, head)

    optimize.optimize(_spec(3), objective, _ignore)
    study = storage.open_study("study")
    assert [one.state.name for one in study.get_trials()] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert [one.user_attrs[trials.NUMBER] for one in storage.get_finished_trials(study)] == [0, 1, 2]


def test_no_trial_is_begun_after_the_time_budget_but_one_is_always_finished(project: Path) -> None:
    optimize.optimize(_spec(50, seconds=1e-6), _loss, _ignore)
    assert len(storage.get_finished_trials(storage.open_study("study"))) == 1


def test_a_storage_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("postgresql://lus@127.0.0.1:1/none", "nonsense://x", "no address"):
        monkeypatch.setenv("OPTUNA_STORAGE", address)
        with pytest.raises(BadInput, match=r"Optuna's storage cannot be used .*; name another in OPTUNA_STORAGE"):
            storage.get_storage()


class _Trial:
    """What a trial is told, where the pruner lets it go on."""

    def __init__(self) -> None:
        self.reported: dict[int, float] = {}

    def report(self, value: float, step: int) -> None:
        self.reported[step] = value

    def should_prune(self) -> bool:
        return False


def test_what_a_trial_reports_orders_as_the_running_mean_does_and_never_rises() -> None:
    told = []
    for losses in ([0.3, 0.9, 0.8], [0.4, 0.5, 0.2], [9.0, math.inf, 0.5]):
        trial = _Trial()
        course = PruningReporter(trial, folds=3, epochs=8, labels=3)  # type: ignore[arg-type]
        for loss in losses:
            for epoch in range(1, 6):  # it stops early
                course.epoch(epoch, loss + 0.1 * (5 - epoch))
            course.fold(loss)
        values = list(trial.reported.values())
        assert list(trial.reported) == list(range(1, 12))
        assert values == pytest.approx(sorted(values, reverse=True))
        told.append(trial.reported)
    assert told[0][4] < told[1][4]  # after the first fold: 0.3 and 0.4
    assert told[0][8] > told[1][8]  # after the second: 0.6 and 0.45 on average
    assert told[2][4] > told[0][4]


def test_a_trial_that_falls_behind_is_pruned(project: Path) -> None:
    def objective(trial: optuna.Trial, head: HeadParams) -> float:
        course = PruningReporter(trial, folds=4, epochs=4, labels=3)
        loss = 0.2 if trial.number < 4 else 0.9
        for _ in range(4):
            for epoch in range(1, 5):
                course.epoch(epoch, loss)
            course.fold(loss)
        return loss

    optimize.optimize(_spec(6), objective, _ignore)
    done = storage.get_finished_trials(storage.open_study("study"))
    assert [one.state.name for one in done] == ["COMPLETE"] * 4 + ["PRUNED"] * 2
    assert max(done[5].intermediate_values) == 2  # in the first of its four folds
    assert [0 <= (storage.seconds_since_end(one) or -1) < 60 for one in done] == [True] * 6


NAME = """
import sys
from pathlib import Path
from lus.common import params, params_file
from lus.features import featureset
from lus.search import identity, run_search
data = featureset.read(Path(sys.argv[1]))
part = data.parts(params.Folds(seed=1, outer=2, inner=2))[0]
section = params_file.load_params(Path(sys.argv[2])).search
print(identity.study_name(data, part, run_search.study_data(data, part), section, ()))
"""
NOT_IN_THE_NAME = ("run_search", "optimize", "storage", "mlflow_runs", "mlflow_trial", "trials_file")
"""Modules of the search that change no trial."""


def _study_name(features: Path, *code: Path) -> str:
    """What a part's study is called where code is imported from these folders first."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, code))}
    command = [sys.executable, "-c", NAME, str(features), str(ROOT / "params.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


def _study_name_after(file: Path, added: str, features: Path, code: Path) -> str:
    """What the study is called with a line added to a file of the code."""
    kept = file.read_text()
    file.write_text(f"{kept}{added}\n")
    name = _study_name(features, code)
    file.write_text(kept)
    return name


def test_a_change_of_the_code_or_of_a_library_that_tries_heads_begins_a_study_of_its_own(tmp_path: Path) -> None:
    rows = {column: ["unknown"] * 12 for column in cohort.COLUMNS}
    rows |= {"label": [*"ab"] * 6, "patient": [f"p{number}" for number in range(12)]}
    features, code, libraries = (tmp_path / name for name in ("features", "code", "libraries"))
    features.mkdir()
    info = Info("xception", 4, 8, 71, 71, "random", "0" * 64)
    write_features(features, np.zeros((12, 4, 8), np.float32), pd.DataFrame(rows), info)
    shutil.copytree(ROOT / "src", code)
    before = _study_name(features, code)
    assert _study_name(features, code) == before
    names = {}
    for file in ("search/objective.py", "search/trials.py", "heads/training.py"):
        names[file] = _study_name_after(code / "lus" / file, "CHANGED = True", features, code)
        # What is only worded otherwise tries no head otherwise.
        assert _study_name_after(code / "lus" / file, '"""Words."""  # and others', features, code) == before
    for file in ("stages/search.py", *(f"search/{name}.py" for name in NOT_IN_THE_NAME)):
        assert _study_name_after(code / "lus" / file, "CHANGED = True", features, code) == before
    (libraries / "tensorflow_cpu-99.0.dist-info").mkdir(parents=True)
    (libraries / "tensorflow_cpu-99.0.dist-info/METADATA").write_text("Name: tensorflow-cpu\nVersion: 99.0\n")
    names["TensorFlow"] = _study_name(features, code, libraries)
    assert [what for what, name in names.items() if name == before] == []
    assert len({*names.values()}) == len(names)
