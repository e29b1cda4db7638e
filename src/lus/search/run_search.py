"""Searches side by side: a study for each part of the cohort, run by one process or several, shown in MLflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lus.common import quiet, workers
from lus.common.params import Folds, Search
from lus.common.workers import Progress
from lus.features.featureset import FeatureSet
from lus.heads.model import LINEAR, HeadParams, get_published
from lus.search import identity, mlflow_runs, objective, optimize, space, storage
from lus.search.close_runs import close_finished_runs
from lus.search.mlflow_runs import SearchRun
from lus.search.mlflow_trial import TrialRun
from lus.search.objective import StudyData
from lus.search.optimize import Budget, StudySpec
from lus.search.trials import PartTrials, Trials
from lus.splits import folds, protocols
from lus.splits.folds import Part
from lus.tracking import client, runs

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class PartStudy:
    """The study of a part of the cohort: its features, what is to be tried, and the run that shows it."""

    data: FeatureSet
    part: Part
    params: Search
    spec: StudySpec
    run: SearchRun


def study_data(data: FeatureSet, part: Part) -> StudyData:
    """What the trials of a part's study are given; the features are read where each part has its own."""
    return StudyData(
        data.for_part(part.name), folds.targets(data.clips), len(folds.label_names(data.clips)), tuple(part.inner)
    )


def open_studies(data: FeatureSet, params: Search, cut: Folds) -> list[PartStudy]:
    """The studies of a search, in order: those of the outer folds, then that of the whole cohort; each with its run.

    Args:
        data: the feature set.
        params: the search space and its budget.
        cut: how the patients are cut.
    """
    rule = protocols.make_protocol(cut)
    first = _first_heads(data.name, params)
    studies = []
    for part in data.parts(cut):
        if rule.one_choice and part.name != folds.ALL:
            continue  # it takes the choice of the whole
        name = identity.study_name(data, part, study_data(data, part), params, first)
        spec = StudySpec(name, part.name, Budget(params.trials, params.seconds), params, first)
        studies.append(PartStudy(data, part, params, spec, mlflow_runs.open_search(name, data, part, params, rule)))
    return studies


def _first_heads(feature_set: str, params: Search) -> tuple[HeadParams, ...]:
    """The published head, and the linear one with each of the inputs; without what the search space has not."""
    published = get_published(feature_set)
    if published.inputs not in params.inputs:
        published = replace(published, inputs=params.inputs[0])
    heads = (published, *(replace(LINEAR, inputs=inputs) for inputs in params.inputs))
    return tuple(head for head in heads if space.fits(head, params))


def run_search(studies: Sequence[PartStudy], processes: int, progress: Progress | None = None) -> Trials:
    """Run every study to its end, first clearing up what killed processes left; returns what was found.

    Args:
        studies: of one feature set.
        processes: that run trials, this one among them.
        progress: called after each trial.

    Raises:
        RuntimeError: several trials in a row failed.
    """
    _clear_up(studies)
    try:
        _run_studies_together(studies, processes, progress)
    finally:
        for study in studies:
            mlflow_runs.cancel_run(study.run)
    return Trials(studies[0].data.name, tuple(_result(study) for study in studies))


def log_results(studies: Sequence[PartStudy], found: Trials, written: Path) -> None:
    """Log in each study's run what it found.

    Args:
        studies: of a search.
        found: by them, a part each, in their order.
        written: the file with the trials of all.
    """
    for study, part in zip(studies, found.parts, strict=True):
        mlflow_runs.log_findings(study.run, storage.open_study(study.spec.name), part.best, written)


def _clear_up(studies: Sequence[PartStudy]) -> None:
    """End what processes that are gone have left behind: first the trials of these studies, then all other runs.

    A trial may have ended well before its run did: by its study that is known.
    """
    for study in studies:
        stored = storage.open_study(study.spec.name)
        storage.fail_stale_trials(stored, {})
        close_finished_runs(stored, study.run)
    runs.kill_orphaned_runs()


def _run_studies_together(studies: Sequence[PartStudy], processes: int, progress: Progress | None) -> None:
    """Run every study to its end, in this process and in others beside it."""
    if processes == 1:
        _run_studies(studies, progress)
        return
    threads = max(1, workers.count_processors() // processes)
    limit_threads(threads)
    helpers = workers.open_pool(processes - 1, None)
    try:
        helping: list[Future[None]] = [helpers.schedule(_worker, args=(threads, studies)) for _ in range(processes - 1)]
        _run_studies(studies, progress)
        for future in helping:
            future.result()
    finally:
        helpers.stop()
        helpers.join()


def limit_threads(threads: int) -> None:
    """Let TensorFlow use so many processors; before it has done anything else."""
    quiet.import_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _worker(threads: int, studies: Sequence[PartStudy]) -> None:
    """A further process that runs trials."""
    limit_threads(threads)
    client.connect()
    for study in studies:
        run_study(study)


def _run_studies(studies: Sequence[PartStudy], progress: Progress | None) -> None:
    """Take part in every study, and wait until each is complete."""
    trials_of_all = sum(study.spec.budget.trials for study in studies)
    for number, study in enumerate(studies):
        with mlflow_runs.activate_run(study.run):
            run_study(study, partial(_tell, progress, number * study.spec.budget.trials, trials_of_all))


def _tell(progress: Progress | None, before: int, of_all: int, study: optuna.Study) -> None:
    if progress:
        progress(before + len(storage.get_finished_trials(study)), of_all)


def run_study(study: PartStudy, told: Callable[[optuna.Study], None] | None = None) -> None:
    """Run trials of a part until its study is complete."""

    def on_trial_end(stored: optuna.Study) -> None:
        close_finished_runs(stored, study.run)
        if told:
            told(stored)

    data = study_data(study.data, study.part)

    def try_head(trial: optuna.Trial, head: HeadParams) -> float:
        return objective.try_head(trial, head, data, study.params, TrialRun(study.run, trial, head))

    optimize.optimize(study.spec, try_head, on_trial_end)


def _result(study: PartStudy) -> PartTrials:
    stored = storage.open_study(study.spec.name)
    found = PartTrials(
        study.part.name, study.part.test, storage.read_trials(stored, study.spec.budget.trials, study.params)
    )
    return replace(found, validation=storage.read_validation(stored, found.best.number))
