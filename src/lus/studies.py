"""Optuna studies: one for each part of a cohort, in a storage that outlives the process.

A study is named for all that its results depend on. So a search that was ended goes on where it stopped, a larger
budget adds trials, other machines join in, and whatever is changed begins a study of its own.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lus import heads, loop, space, training, trials
from lus.errors import BadInput
from lus.featureset import FeatureSet
from lus.folds import Part
from lus.heads import HeadParams
from lus.params import Search
from lus.tracking import alive, owner
from lus.trials import FoldScore, Trial

if TYPE_CHECKING:
    import optuna

DATABASE = Path(".lus/optuna.db")
"""Beside the pipeline's outputs and not among them: DVC empties those before it runs a stage."""
HEARTBEAT, GRACE = 15, 60
"""Seconds between a running trial's signs of life, and without one until it counts as dead."""
STARTING = 10
"""Seconds that a trial may be without an owner: it gets one as soon as it is begun, unless it is killed just then."""
MEETINGS = 10
"""Times that the storage is opened anew because another process makes its tables at the same moment."""
MAX_FAILURES = 3
"""Trials in a row that may raise before the search gives up."""
OWNER, PLACE, ERROR = "owner", "place", "error"
"""Attributes of a trial: its process, its number in the search, and what it raised."""
FOLDS, CONFUSION, CURVES, VALIDATION = "folds", "confusion", "curves", "validation"
"""And what came out: its scores on the inner folds, their confusion matrices added up, its losses by epoch, and the
probabilities of the validation clips."""
NO_RESULT = ("trials", "seconds", "workers")
"""Parameters of the search that its trials do not depend on."""
_CODE = (*(module.__file__ or "" for module in (heads, loop, space, training)), __file__)


def storage() -> optuna.storages.RDBStorage:
    """`OPTUNA_STORAGE`, or a database beside the project's outputs.

    Raises:
        BadInput: it cannot be used.
    """
    url = os.environ.get("OPTUNA_STORAGE")
    if not url:
        DATABASE.parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{DATABASE.absolute()}"
    # SQLAlchemy takes the name alone for an older driver.
    scheme, _, rest = url.partition("://")
    return _open_storage(f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url)


@functools.cache
def _open_storage(url: str) -> optuna.storages.RDBStorage:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    for left in reversed(range(MEETINGS)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.storages.RDBStorage(
                    url, engine_kwargs=options, heartbeat_interval=HEARTBEAT, grace_period=GRACE
                )
        except (SQLAlchemyError, ImportError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            met = isinstance(error, SQLAlchemyError) and re.search(r"already exists|duplicate key|UNIQUE", str(error))
            if not (met and left):
                raise BadInput(f"Optuna's storage cannot be used ({reason}); see OPTUNA_STORAGE") from None
            time.sleep(0.5)
    raise AssertionError("unreachable")


def name_of(data: FeatureSet, part: Part, params: Search) -> str:
    """A study's name: feature set, part, and a digest of what its trials depend on.

    That is the features, labels and patients of the part's own clips, its inner folds, the search space and seed, and
    the code and libraries that train. The part's test clips are not in it.
    """
    from importlib.metadata import version

    digest = hashlib.sha256(data.of(part.name)[part.train].tobytes())
    own = data.clips.iloc[part.train][["clip_id", "label", "patient"]]
    libraries = [version(name) for name in ("keras", "optuna", "numpy")]
    content = (
        own.to_csv(index=False),
        [(inner.train.tolist(), inner.test.tolist()) for inner in part.inner],
        sorted(params.model_dump(exclude=set(NO_RESULT)).items()),
        [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in _CODE],
        libraries,
    )
    digest.update(repr(content).encode())
    return f"{data.name}/{part.name}/{digest.hexdigest()[:16]}"


def open_study(name: str) -> optuna.Study:
    """The study of that name, new or with the trials that it has."""
    import optuna

    return optuna.create_study(study_name=name, storage=storage(), load_if_exists=True, pruner=pruner())


def sampler(seed: int, part: str, place: int) -> optuna.samplers.BaseSampler:
    """What proposes the trial with this number: TPE over all parameters jointly.

    Each trial gets one of its own, seeded by its number, so that a search that was ended and goes on proposes what an
    unbroken one would.
    """
    import optuna

    digest = hashlib.sha256(f"{seed}/{part}/{place}".encode()).digest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=int.from_bytes(digest[:4], "big"),
            n_startup_trials=STARTUP,
            multivariate=True,
            group=True,
        )


STARTUP = 8
"""Trials drawn at random before TPE learns from them."""
TO_COMPARE_WITH = 3
"""Finished trials before any is pruned."""
CHECKS = 4
"""Times in each inner fold at which a trial is compared with others."""


def pruner() -> optuna.pruners.BasePruner:
    """The median rule over the folds and epochs of a trial, on the values that `Course` reports.

    Of Optuna's other rules none fits a handful of folds: Wilcoxon's test of four pairs has no p below 1/16, so it could
    stop nothing before the last fold; Hyperband and successive halving compare with trials that were killed half-way
    too, so that a search which was ended would go on otherwise, and their brackets want hundreds of trials.
    """
    import optuna

    return optuna.pruners.MedianPruner(n_startup_trials=TO_COMPARE_WITH, n_warmup_steps=2, n_min_trials=2)


class Course:
    """What a trial reports on its way, so that it can be pruned.

    The value at a step is what the trial's loss would be if the folds not yet run came out no better than guessing. At
    one step that orders trials as their running means do; and it never rises, which the median rule relies on: it
    takes the lowest value that a trial had so far, and a plain running mean has that on the easiest of the first folds.

    The steps are quarters of a fold's epochs. A fold that stopped early counts in the rest of its quarters as it ended.
    """

    def __init__(self, trial: optuna.Trial, folds: int, epochs: int, labels: int) -> None:
        self._trial, self._folds, self._guess = trial, folds, math.log(labels)
        self._checks = [math.ceil(epochs * quarter / CHECKS) for quarter in range(1, CHECKS + 1)]
        self._done: list[float] = []
        self._next = 0

    def epoch(self, epoch: int, lowest: float) -> None:
        """Report an epoch of the current fold and its lowest validation loss so far.

        Raises:
            optuna.TrialPruned: others were better at this step.
        """
        while self._next < CHECKS and epoch >= self._checks[self._next]:
            self._report(lowest)

    def fold(self, loss: float) -> None:
        """Report the end of a fold.

        Raises:
            optuna.TrialPruned: others were better at this step.
        """
        while self._next < CHECKS:
            self._report(loss)
        self._done.append(min(loss, self._guess))
        self._next = 0

    def _report(self, loss: float) -> None:
        import optuna

        step = len(self._done) * CHECKS + self._next + 1
        self._next += 1
        if step == self._folds * CHECKS:
            return  # the end: nothing is left to be saved
        known = [*self._done, min(loss, self._guess)]
        left = self._folds - len(known)
        self._trial.report((sum(known) + left * self._guess) / self._folds, step)
        if self._trial.should_prune():
            raise optuna.TrialPruned


@dataclass(frozen=True)
class Budget:
    """How many trials a study gets, and seconds after which none is begun (one is always finished)."""

    trials: int
    seconds: float | None = None


@dataclass(frozen=True)
class Work:
    """A study to be done.

    Attributes:
        name, part: of the study, and of the part of the cohort.
        budget, space: how much is to be tried, and of what.
        first: the head that is tried first.
    """

    name: str
    part: str
    budget: Budget
    space: Search
    first: HeadParams | None


Objective = Callable[["optuna.Trial", HeadParams], float]
"""Tries a head: the trial and the head -> the loss. May raise `optuna.TrialPruned`."""


class _NotNeeded(Exception):
    """A trial was begun that others had begun already: it ends without having done anything."""


def join(work: Work, objective: Objective, settled: Callable[[optuna.Study], None]) -> None:
    """Run trials of a study until it has its budget, together with whoever else works on it.

    Args:
        work: the study.
        objective: tries a head.
        settled: called whenever a trial of this study may have ended.

    Raises:
        RuntimeError: several trials in a row raised.
    """
    study = open_study(work.name)
    started, failures = time.monotonic(), 0
    while True:
        bury(study)
        settled(study)
        done = finished(study)
        late = work.budget.seconds is not None and time.monotonic() - started > work.budget.seconds
        if len(done) >= work.budget.trials or (late and any(_complete(one) for one in done)):
            return
        begun = _begun(study)
        if len(begun) >= work.budget.trials or any(OWNER not in one.user_attrs for one in begun):
            # Others are at the last ones, and may die; or one may have died as it began, and its number is free then.
            time.sleep(0.1)
            continue
        _offer(study, work)
        error = _one(study, work, objective)
        settled(study)
        failures = failures + 1 if error else 0
        if failures == MAX_FAILURES:
            raise RuntimeError(f"{MAX_FAILURES} trials of {work.name} in a row failed, the last one with: {error}")


def _one(study: optuna.Study, work: Work, objective: Objective) -> str:
    """Run one trial; returns what it raised, or nothing."""
    import optuna

    raised = ""

    def run(trial: optuna.Trial) -> float:
        nonlocal raised
        trial.set_user_attr(OWNER, owner())
        place = _claim(study, trial, work.budget.trials)
        trial.set_user_attr(PLACE, place)
        # Optuna draws when it is asked for the first value: the sampler for this number is in time.
        study.sampler = sampler(work.space.seed, work.part, place)
        try:
            return objective(trial, space.suggest(trial, work.space))
        except optuna.TrialPruned:
            raise
        except Exception as error:
            raised = f"{type(error).__name__}: {error}"
            trial.set_user_attr(ERROR, raised[:2000])
            raise

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.optimize(run, n_trials=1, catch=(Exception,))
    return raised


def _offer(study: optuna.Study, work: Work) -> None:
    """Put the first head in the queue, unless it is there or was tried."""
    if work.first is None:
        return
    wanted = space.as_suggestion(work.first)
    if not any(one.system_attrs.get("fixed_params") == wanted for one in _counting(study)):
        study.enqueue_trial(wanted)


def _claim(study: optuna.Study, trial: optuna.Trial, budget: int) -> int:
    """The number in the search of a trial that was begun.

    Optuna's own numbers are given out one by one, whoever asks, and so say who was first.

    Raises:
        _NotNeeded: the budget, or the head to be tried first, was taken by trials that were begun before.
    """
    counting = _counting(study)
    earlier = [one for one in counting if one.number < trial.number]
    fixed = next(one for one in counting if one.number == trial.number).system_attrs.get("fixed_params")
    twice = fixed is not None and any(one.system_attrs.get("fixed_params") == fixed for one in earlier)
    if twice or len([one for one in earlier if ERROR not in one.user_attrs]) >= budget:
        raise _NotNeeded
    taken = {one.user_attrs[PLACE] for one in counting if PLACE in one.user_attrs}
    unplaced = sum(PLACE not in one.user_attrs for one in earlier)
    free = (place for place in range(len(taken) + unplaced + 1) if place not in taken)
    return [*free][unplaced]


def _counting(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that were tried, or are being or about to be: all but those that were killed or not needed."""
    from optuna.trial import TrialState

    return [one for one in study.get_trials(deepcopy=False) if one.state != TrialState.FAIL or ERROR in one.user_attrs]


def _begun(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that count for the budget, or may."""
    return [one for one in _counting(study) if one.state.name != "WAITING" and ERROR not in one.user_attrs]


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that count for the budget: those that ran to their end and those that were pruned, by their numbers."""
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted(done, key=lambda one: int(one.user_attrs[PLACE]))


def _complete(trial: optuna.trial.FrozenTrial) -> bool:
    return bool(trial.state.name == "COMPLETE")


def bury(study: optuna.Study) -> None:
    """End as failed the running trials whose process is gone: on this machine at once, elsewhere by their heartbeat."""
    import optuna

    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        whose = trial.user_attrs.get(OWNER)
        age = (datetime.now() - (trial.datetime_start or datetime.now())).total_seconds()
        if age > STARTING if whose is None else alive(whose) is False:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def result(study: optuna.Study, budget: int, space_: Search) -> tuple[Trial, ...]:
    """The study's trials, as many as the budget says, by their numbers."""
    return tuple(as_trial(one, space_) for one in finished(study)[:budget])


def validation(study: optuna.Study, number: int) -> tuple[tuple[float, ...], ...]:
    """The probabilities that the trial with this number gave the validation clips, fold after fold."""
    trial = next(one for one in finished(study) if one.user_attrs[PLACE] == number)
    return tuple(tuple(row) for row in trial.user_attrs[VALIDATION])


def as_trial(one: optuna.trial.FrozenTrial, space_: Search) -> Trial:
    """A finished trial of Optuna's as one of this project's."""
    scores = tuple(FoldScore(**fold) for fold in one.user_attrs.get(FOLDS, []))
    head = space.suggest(one, space_)
    return trials.Trial(int(one.user_attrs[PLACE]), head, scores, not _complete(one))
