"""Runs side by side: those that a user names, the best trials of a search, and the best of each feature set."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lus.common.errors import BadInput
from lus.splits.folds import ALL
from lus.tracking import client
from lus.tracking.runs import search_runs

if TYPE_CHECKING:
    from mlflow.entities import Run

TAGS = ("kind", "state", "feature_set", "part", "protocol", "leaking", "cohort", "features_sha256", "git_commit")
"""This project's tags that tell what a run is and what it was run on."""
LISTED = 5
"""Runs that are named where a name fits several."""
LEADING = 3
"""Trials that are compared where no run is named."""


@dataclass(frozen=True)
class RunSummary:
    """A run as it is compared.

    Attributes:
        run_id, name, status: as MLflow has them.
        about: what it is and what it was run on.
        params, metrics: as logged; without the metrics of the machine.
    """

    run_id: str
    name: str
    status: str
    about: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


def runs(names: Sequence[str]) -> list[RunSummary]:
    """The runs that are meant, in the order they are named.

    Args:
        names: for each its id, the beginning of it (four characters or more), its name, or the beginning of that.

    Raises:
        BadInput: a name fits no run, or several.
    """
    client.connect()
    known = search_runs("")
    return [_shown(_meant(name, known)) for name in names]


def _meant(name: str, known: Sequence[Run]) -> Run:
    by_id = [run for run in known if re.fullmatch(r"[0-9a-f]{4,32}", name) and run.info.run_id.startswith(name)]
    by_name = [run for run in known if run.info.run_name == name]
    fitting = by_id or by_name or [run for run in known if (run.info.run_name or "").startswith(name)]
    if not fitting:
        raise BadInput(f"{name!r} is no run of this project; `lus best` or `lus ui` shows runs with their ids")
    if len(fitting) > 1:
        few = ", ".join(f"{run.info.run_id[:8]} ({run.info.run_name})" for run in fitting[:LISTED])
        more = f" and {len(fitting) - LISTED} more" if len(fitting) > LISTED else ""
        raise BadInput(f"{name!r} fits {len(fitting)} runs: {few}{more}; give the beginning of one's id")
    return fitting[0]


def _shown(run: Run) -> RunSummary:
    tags = {name: run.data.tags.get(f"lus.{name}") for name in TAGS}
    return RunSummary(
        run.info.run_id,
        run.info.run_name or "",
        run.info.status,
        {name: value for name, value in tags.items() if value is not None},
        dict(run.data.params),
        {name: _value(value) for name, value in run.data.metrics.items() if not name.startswith("system/")},
    )


def _value(value: float) -> float:
    """As it was logged: MLflow's databases keep an infinite value as the largest number."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def best() -> list[RunSummary]:
    """The best trial of each feature set's newest search on the whole cohort, the lowest loss first.

    Raises:
        BadInput: nothing has been searched yet.
    """
    newest: dict[str, Run] = {}
    for search in _searches():
        newest.setdefault(search.data.tags["lus.feature_set"], search)
    found = [trial for search in newest.values() for trial in _trials(search, 1)]
    return sorted(map(_shown, found), key=lambda one: one.metrics["loss"])


def leading() -> list[RunSummary]:
    """The three best trials of the newest search on the whole cohort, the lowest loss first.

    Raises:
        BadInput: nothing has been searched yet.
    """
    return [_shown(trial) for trial in _trials(_searches()[0], LEADING)]


def _searches() -> list[Run]:
    """Finished searches on the whole cohort, the newest first; at least one."""
    client.connect()
    finished = f"tags.`lus.kind` = 'search' and tags.`lus.part` = '{ALL}' and attributes.status = 'FINISHED'"
    found = search_runs(finished)
    if not found:
        raise BadInput("no finished search in MLflow; `dvc repro search` makes one")
    return found


def _trials(search: Run, count: int) -> list[Run]:
    """The best finished trials of a search, the lowest loss first."""
    nested = f"tags.`mlflow.parentRunId` = '{search.info.run_id}' and tags.`lus.state` = 'finished'"
    return search_runs(nested, order="metrics.loss ASC", limit=count)
