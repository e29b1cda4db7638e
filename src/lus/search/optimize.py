"""A study's trials, run by any number of processes together until its budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lus.common import quiet
from lus.common.params import Search
from lus.heads.model import HeadParams
from lus.search import sampler, space, storage
from lus.search.storage import ERROR, OWNER
from lus.search.trials import NUMBER
from lus.tracking.processes import owner

if TYPE_CHECKING:
    import optuna

MAX_FAILURES = 3
"""Trials in a row that may raise before the search gives up."""


@dataclass(frozen=True)
class Budget:
    """How many trials a study gets, and seconds after which none is begun (one is always finished)."""

    trials: int
    seconds: float | None = None


@dataclass(frozen=True)
class StudySpec:
    """A study to be done.

    Attributes:
        name, part: of the study, and of the part of the cohort.
        budget, space: how much is to be tried, and of what.
        first: the heads that are tried first, in this order.
    """

    name: str
    part: str
    budget: Budget
    space: Search
    first: tuple[HeadParams, ...]


Objective = Callable[["optuna.Trial", HeadParams], float]
"""Tries a head: the trial and the head -> the loss. May raise `optuna.TrialPruned`."""


class _NotNeeded(Exception):
    """A trial was begun that others had begun already: it ends without having done anything."""


def optimize(spec: StudySpec, objective: Objective, on_trial_end: Callable[[optuna.Study], None]) -> None:
    """Run trials of a study until it has its budget, together with whoever else works on it.

    Args:
        spec: the study.
        objective: tries a head.
        on_trial_end: called whenever a trial of this study may have ended.

    Raises:
        RuntimeError: several trials in a row raised.
    """
    study = storage.open_study(spec.name)
    started, failures = time.monotonic(), 0
    seen: dict[int, float] = {}
    while True:
        storage.fail_stale_trials(study, seen)
        on_trial_end(study)
        done = storage.get_finished_trials(study)
        late = spec.budget.seconds is not None and time.monotonic() - started > spec.budget.seconds
        if len(done) >= spec.budget.trials or (late and any(one.state.name == "COMPLETE" for one in done)):
            return
        begun = _begun(study)
        if len(begun) >= spec.budget.trials or any(OWNER not in one.user_attrs for one in begun):
            # Others are at the last ones, and may die; or one may have died as it began, and its number is free then.
            time.sleep(0.1)
            continue
        _offer(study, spec)
        error = _run_trial(study, spec, objective)
        on_trial_end(study)
        failures = failures + 1 if error else 0
        if failures == MAX_FAILURES:
            raise RuntimeError(f"{MAX_FAILURES} trials of {spec.name} in a row failed, the last one with: {error}")


def _run_trial(study: optuna.Study, spec: StudySpec, objective: Objective) -> str:
    """Run one trial; returns what it raised, or nothing."""
    import optuna

    raised, number = "", -1

    def run(trial: optuna.Trial) -> float:
        nonlocal raised, number
        number = trial.number
        trial.set_user_attr(OWNER, owner())
        in_search = _assign_number(study, trial, spec.budget.trials)
        trial.set_user_attr(NUMBER, in_search)
        # Optuna draws when it is asked for the first value: the sampler for this number is in time.
        study.sampler = sampler.make_sampler(spec.space.seed, spec.part, in_search)
        try:
            loss = objective(trial, space.suggest(trial, spec.space))
        except Exception as error:
            if not isinstance(error, optuna.TrialPruned):
                raised = f"{type(error).__name__}: {error}"
                trial.set_user_attr(ERROR, raised[:2000])
            storage.write_end(trial)
            raise
        storage.write_end(trial)
        return loss

    try:
        with quiet.allow_optuna_experiments():
            study.optimize(run, n_trials=1, catch=(Exception,))
    except Exception:
        if not _ended_by_others(study, number):
            raise
        return ""
    return raised


def _ended_by_others(study: optuna.Study, number: int) -> bool:
    """Whether others took this process for dead and ended its trial, as after a long sleep: it is then tried anew."""
    found = [one for one in study.get_trials(deepcopy=False) if one.number == number]
    return any(one.state.name == "FAIL" and ERROR not in one.user_attrs for one in found)


def _offer(study: optuna.Study, spec: StudySpec) -> None:
    """Put the first of the first heads in the queue that is neither there nor was tried.

    One at a time: after one that was killed, the next would have its number else.
    """
    known = [one.system_attrs.get("fixed_params") for one in storage.get_counted_trials(study)]
    left = [one for one in map(space.as_suggestion, spec.first[: spec.budget.trials]) if one not in known]
    if left:
        study.enqueue_trial(left[0])


def _assign_number(study: optuna.Study, trial: optuna.Trial, budget: int) -> int:
    """The number in the search of a trial that was begun.

    Optuna's own numbers are given out one by one, whoever asks, and so say who was first.

    Raises:
        _NotNeeded: the budget, or this one of the heads to be tried first, was taken by trials that were begun before.
    """
    counting = storage.get_counted_trials(study)
    earlier = [one for one in counting if one.number < trial.number]
    fixed = next(one for one in counting if one.number == trial.number).system_attrs.get("fixed_params")
    twice = fixed is not None and any(one.system_attrs.get("fixed_params") == fixed for one in earlier)
    if twice or len([one for one in earlier if ERROR not in one.user_attrs]) >= budget:
        raise _NotNeeded
    taken = {one.user_attrs[NUMBER] for one in counting if NUMBER in one.user_attrs}
    unnumbered = sum(NUMBER not in one.user_attrs for one in earlier)
    free = (number for number in range(len(taken) + unnumbered + 1) if number not in taken)
    return [*free][unnumbered]


def _begun(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that count for the budget, or may."""
    return [
        one for one in storage.get_counted_trials(study) if one.state.name != "WAITING" and ERROR not in one.user_attrs
    ]
