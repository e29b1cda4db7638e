"""Optuna studies: in a storage that outlives the process, each with its trials and what these found."""

from __future__ import annotations

import functools
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lus.common import quiet
from lus.common.errors import BadInput
from lus.common.params import Search
from lus.search import pruner, space
from lus.search.trials import FOLDS, NUMBER, VALIDATION, FoldScore, Trial
from lus.tracking.processes import alive

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
OWNER, ERROR, ENDED = "owner", "error", "ended"
"""Attributes of a trial: its process, what it raised, and when its process ended it, in UTC."""


def get_storage() -> optuna.storages.RDBStorage:
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
    left = MEETINGS
    while True:
        left -= 1
        try:
            with quiet.allow_optuna_experiments():
                return optuna.storages.RDBStorage(
                    url, engine_kwargs=options, heartbeat_interval=HEARTBEAT, grace_period=GRACE
                )
        except (SQLAlchemyError, ImportError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            met = isinstance(error, SQLAlchemyError) and re.search(r"already exists|duplicate key|UNIQUE", str(error))
            if not (met and left):
                raise BadInput(
                    f"Optuna's storage cannot be used ({reason}); name another in OPTUNA_STORAGE, or unset it to use "
                    f"{DATABASE} here"
                ) from None
            time.sleep(0.5)


def open_study(name: str) -> optuna.Study:
    """The study of that name, new or with the trials that it has."""
    import optuna

    return optuna.create_study(study_name=name, storage=get_storage(), load_if_exists=True, pruner=pruner.make_pruner())


def get_counted_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that were tried, or are being or about to be: all but those that were killed or not needed."""
    from optuna.trial import TrialState

    return [one for one in study.get_trials(deepcopy=False) if one.state != TrialState.FAIL or ERROR in one.user_attrs]


def get_finished_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that count for the budget: those that ran to their end and those that were pruned, by their numbers."""
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted(done, key=lambda one: int(one.user_attrs[NUMBER]))


def fail_stale_trials(study: optuna.Study, seen: dict[int, float]) -> None:
    """End as failed the running trials whose process is gone: on this machine at once, elsewhere by their heartbeat.

    Args:
        study: of these trials.
        seen: when this process first saw a trial without an owner, by the trial's number: the caller keeps it from
            call to call. The time that a trial says is of the clock and time zone of the machine that began it.
    """
    import optuna

    now = time.monotonic()
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        whose = trial.user_attrs.get(OWNER)
        if now - seen.setdefault(trial.number, now) > STARTING if whose is None else alive(whose) is False:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
    with quiet.allow_optuna_experiments():
        optuna.storages.fail_stale_trials(study)


def write_end(trial: optuna.Trial) -> None:
    """Write down that a trial's process ends it now.

    The time that Optuna keeps bears no time zone, and is of the machine that told the storage, whichever that was.
    """
    trial.set_user_attr(ENDED, datetime.now(UTC).isoformat())


def seconds_since_end(trial: optuna.trial.FrozenTrial) -> float | None:
    """Since its process ended a trial; None where it has not: the trial goes on, or others ended it."""
    ended = trial.user_attrs.get(ENDED)
    return None if ended is None else (datetime.now(UTC) - datetime.fromisoformat(ended)).total_seconds()


def get_trial(study: optuna.Study, number: int) -> optuna.trial.FrozenTrial:
    """The trial with this number in the search, which counts for the budget."""
    return next(one for one in get_finished_trials(study) if one.user_attrs[NUMBER] == number)


def read_trials(study: optuna.Study, budget: int, section: Search) -> tuple[Trial, ...]:
    """The study's trials, as many as the budget says, by their numbers."""
    return tuple(_as_trial(one, section) for one in get_finished_trials(study)[:budget])


def _as_trial(one: optuna.trial.FrozenTrial, section: Search) -> Trial:
    """A finished trial of Optuna's as one of this project's."""
    scores = tuple(FoldScore(**fold) for fold in one.user_attrs.get(FOLDS, []))
    return Trial(int(one.user_attrs[NUMBER]), space.suggest(one, section), scores, one.state.name == "PRUNED")


def read_validation(study: optuna.Study, number: int) -> tuple[tuple[float, ...], ...]:
    """The probabilities (labels) that the trial with this number gave each validation clip, fold after fold."""
    return tuple(tuple(row) for row in get_trial(study, number).user_attrs[VALIDATION])
