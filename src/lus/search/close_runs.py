"""Ending the runs of trials in MLflow, as what the trials ended as: this process's own, and those of the dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lus.search import storage
from lus.search.mlflow_log import log_to_run
from lus.search.mlflow_runs import STATES, SearchRun
from lus.tracking import client, processes, runs

if TYPE_CHECKING:
    import optuna
    from mlflow.entities import Run


def close_finished_runs(study: optuna.Study, search: SearchRun) -> None:
    """End the runs of trials that have ended, as what they ended as: this process's own, and those of the dead."""
    still = runs.search_runs(f"tags.`mlflow.parentRunId` = '{search.run_id}' and attributes.status = 'RUNNING'")
    by_number = {str(one.number): one for one in study.get_trials(deepcopy=False)} if still else {}
    for run in still:
        whose = run.data.tags[runs.OWNER_TAG]
        trial = by_number.get(run.data.tags["lus.trial"])
        if trial is not None and trial.user_attrs.get(storage.OWNER) != whose:
            trial = None  # of a study in another storage, shown in the same place
        here = whose == processes.owner() or processes.alive(whose) is False
        if (trial is None or trial.state.is_finished()) if here else _abandoned(trial):
            _end(run, trial)


def _abandoned(trial: optuna.trial.FrozenTrial | None) -> bool:
    """Whether a trial of another process has ended, and the process will not end its run any more.

    Either it ended so long ago that the process can't be about to, or others ended it because the process is gone.
    """
    if trial is None or not trial.state.is_finished():
        return False
    seconds = storage.seconds_since_end(trial)
    return seconds is None or seconds > storage.GRACE


def _end(run: Run, trial: optuna.trial.FrozenTrial | None) -> None:
    error = trial.user_attrs.get(storage.ERROR) if trial else None
    killed = trial is None or (trial.state.name == "FAIL" and error is None)
    tags = {"state": "killed" if trial is None or killed else STATES[trial.state.name]}
    log_to_run(run.info.run_id, tags=runs.prefix_tags(tags | ({"error": error} if error else {})))
    client.get_client().set_terminated(run.info.run_id, "KILLED" if killed else "FAILED" if error else "FINISHED")
