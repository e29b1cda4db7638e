"""search: a feature set -> tried heads, for each part of the cohort; every Optuna trial is a nested MLflow run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lus.common import quiet
from lus.common import workers as pool
from lus.common.params import Folds, Search
from lus.features import featureset
from lus.features.featureset import FeatureSet
from lus.heads import model
from lus.heads.model import HeadParams
from lus.search import mlflow_runs, objective, optimize, space, storage, trials_file
from lus.search.mlflow_runs import SearchRun, TrialRun
from lus.search.objective import StudyData
from lus.search.optimize import Budget, StudySpec
from lus.search.trials import PartTrials, Trials
from lus.splits import folds, protocols
from lus.splits.folds import Part
from lus.tracking import client, runs

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Task:
    """A part of the cohort to be searched: its features, and the runs that show it."""

    data: FeatureSet
    part: Part
    params: Search
    spec: StudySpec
    run: SearchRun


def study_data(data: FeatureSet, part: Part) -> StudyData:
    """What the trials of a part's study are given; the features are read where each part has its own."""
    return StudyData(
        data.of(part.name), folds.targets(data.clips), len(folds.label_names(data.clips)), tuple(part.inner)
    )


def _tasks(folder: Path, params: Search, cut: Folds) -> list[Task]:
    """What is to be done, in order: the outer folds, then the whole cohort."""
    data, rule = featureset.read(folder), protocols.make_protocol(cut)
    first = _first(data.name, params)
    tasks = []
    for part in data.parts(cut):
        if rule.one_choice and part.name != folds.ALL:
            continue  # it takes the choice of the whole
        name = optimize.study_name(data, part, study_data(data, part), params, first)
        spec = StudySpec(name, part.name, Budget(params.trials, params.seconds), params, first)
        tasks.append(Task(data, part, params, spec, mlflow_runs.open_search(name, data, part, params, rule)))
    return tasks


def _first(feature_set: str, params: Search) -> HeadParams | None:
    """The published head, with inputs that are searched; none where it lies outside of the search space."""
    published = model.get_published(feature_set)
    head = published if published.inputs in params.inputs else replace(published, inputs=params.inputs[0])
    return head if space.fits(head, params) else None


def run_study(task: Task, told: Callable[[optuna.Study], None] | None = None) -> None:
    """Run trials of a part until its study is complete."""

    def on_trial_end(study: optuna.Study) -> None:
        mlflow_runs.close_finished_runs(study, task.run)
        if told:
            told(study)

    data = study_data(task.data, task.part)

    def try_head(trial: optuna.Trial, head: HeadParams) -> float:
        return objective.try_head(trial, head, data, task.params, TrialRun(task.run, trial, head))

    optimize.optimize(task.spec, try_head, on_trial_end)


def _clear_up(tasks: list[Task]) -> None:
    """End what processes that are gone have left behind: first the trials of these studies, then all other runs.

    A trial may have ended well before its run did: by its study that is known.
    """
    for task in tasks:
        study = storage.open_study(task.spec.name)
        storage.fail_stale_trials(study, {})
        mlflow_runs.close_finished_runs(study, task.run)
    runs.kill_orphaned_runs()


def _worker(threads: int, tasks: list[Task]) -> None:
    """A further process that runs trials."""
    limit_threads(threads)
    client.connect()
    for task in tasks:
        run_study(task)


def limit_threads(threads: int) -> None:
    """Let TensorFlow use so many processors; before it has done anything else."""
    quiet.import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def run(folder: Path, out: Path, params: Search, cut: Folds, progress: pool.Progress | None = None) -> str:
    """Search a head for a feature set, once for each part of its cohort.

    Args:
        folder: the feature set.
        out: made afresh: `trials.json`.
        params: the search space and its budget.
        cut: how the patients are cut.
        progress: called after each trial.

    Returns:
        A sentence on the best trial of the whole cohort.

    Raises:
        RuntimeError: several trials in a row failed.
    """
    client.connect()
    tasks = _tasks(folder, params, cut)
    _clear_up(tasks)
    try:
        _search_together(tasks, params.workers, progress)
    finally:
        for task in tasks:
            mlflow_runs.cancel(task.run)
    found = Trials(tasks[0].data.name, tuple(_result(task) for task in tasks))
    shutil.rmtree(out, ignore_errors=True)
    written = trials_file.write(out, found)
    for task, part in zip(tasks, found.parts, strict=True):
        mlflow_runs.finish(task.run, storage.open_study(task.spec.name), part.best, written)
    best, tried = found.of(folds.ALL).best, [trial for part in found.parts for trial in part.trials]
    return (
        f"{len(tried)} trials, {sum(trial.pruned for trial in tried)} of them pruned, for {len(found.parts)} parts in "
        f"{out}; best for all clips: trial {best.number}, validation loss {best.loss:.3f}, accuracy {best.accuracy:.2f}"
    )


def _search_together(tasks: list[Task], workers: int, progress: pool.Progress | None) -> None:
    """Search every part to its end, in this process and in others beside it."""
    if workers == 1:
        _search(tasks, progress)
        return
    threads = max(1, pool.processors() // workers)
    limit_threads(threads)
    helpers = pool.open_pool(workers - 1, None)
    try:
        helping: list[Future[None]] = [helpers.schedule(_worker, args=(threads, tasks)) for _ in range(workers - 1)]
        _search(tasks, progress)
        for future in helping:
            future.result()
    finally:
        helpers.stop()
        helpers.join()


def _search(tasks: list[Task], progress: pool.Progress | None) -> None:
    """Take part in the search of every part, and wait until each is complete."""
    trials_of_all = sum(task.spec.budget.trials for task in tasks)
    for number, task in enumerate(tasks):
        with mlflow_runs.active(task.run):
            run_study(task, partial(_tell, progress, number * task.spec.budget.trials, trials_of_all))


def _tell(progress: pool.Progress | None, before: int, of_all: int, study: optuna.Study) -> None:
    if progress:
        progress(before + len(storage.finished(study)), of_all)


def _result(task: Task) -> PartTrials:
    study = storage.open_study(task.spec.name)
    found = PartTrials(task.part.name, task.part.test, storage.result(study, task.spec.budget.trials, task.params))
    return replace(found, validation=storage.validation(study, found.best.number))
