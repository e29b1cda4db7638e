"""Promotion and rollback: the acts that change what is in production, each with its record in the tracking store.

An act takes a lock first, so that two people never act at once. MLflow has none; but a registered model's name is
unique, so that of two who create it one fails.
"""

from __future__ import annotations

import getpass
import json
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lus import gate, registry, tracking
from lus.audit import stored
from lus.errors import BadInput
from lus.gate import Condition, Facts
from lus.params import Promote

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

EXPIRES = 600
"""Seconds after which an act that left its lock behind does not hold up others."""
PROMOTION = "promotion"


@dataclass(frozen=True)
class Act:
    """What was done.

    Attributes:
        act: promote or rollback.
        version: the champion now.
        before: the champion before; None where there was none.
        who: user and machine.
        conditions: of the gate; none for a rollback.
        override: why failed conditions were overridden; empty where none was.
    """

    act: str
    version: str
    before: str | None
    who: str
    conditions: tuple[Condition, ...] = ()
    override: str = ""


class Refused(BadInput):
    """The gate refused a version."""

    def __init__(self, name: str, version: str, conditions: Sequence[Condition]) -> None:
        failed = [one for one in conditions if not one.passed]
        listed = "; ".join(f"{one.name}: {one.found} found, {one.expected} expected" for one in failed)
        super().__init__(
            f"{name} version {version} is refused: {listed}; mend it, or go through with --override REASON, which is "
            "recorded"
        )
        self.version, self.conditions = version, tuple(conditions)


def promote(name: str, version: str | None, params: Promote, override: str = "") -> Act:
    """Make a version the champion if it passes the gate; the champion before becomes `previous`.

    Args:
        name: in the registry.
        version: its number; the challenger where none is given.
        params: of the gate.
        override: a reason to go through all the same, recorded for good.

    Raises:
        Refused: a condition fails, and there is no reason to override it.
        BadInput: there is no such version, it is the champion already, or somebody else is promoting.
    """
    with _lock(name):
        new = registry.by_number(name, version) if version else registry.by_alias(name, registry.CHALLENGER)
        old = registry.find(name, registry.CHAMPION)
        if old and str(old.version) == str(new.version):
            raise BadInput(f"{name} version {new.version} is the champion already; nothing was changed")
        looked_at = gate.conditions(facts(new, answers=True), facts(old) if old else None, params)
        failed = [one for one in looked_at if not one.passed]
        if failed and not override:
            raise Refused(name, str(new.version), looked_at)
        done = Act(
            "promote",
            str(new.version),
            str(old.version) if old else None,
            who(),
            tuple(looked_at),
            override if failed else "",
        )
        _set(name, done, old)
        return done


def rollback(name: str) -> Act:
    """Make the previous version the champion again; the champion becomes `previous`.

    Raises:
        BadInput: there is no previous version or no champion, or somebody else is promoting.
    """
    with _lock(name):
        back, old = registry.by_alias(name, registry.PREVIOUS), registry.by_alias(name, registry.CHAMPION)
        if str(back.version) == str(old.version):
            raise BadInput(f"{name} version {back.version} is both champion and previous; nothing was changed")
        done = Act("rollback", str(back.version), str(old.version), who())
        _set(name, done, old)
        return done


def _set(name: str, done: Act, old: ModelVersion | None) -> None:
    """Record an act, then do it: what was done without a record would be worse than the other way round."""
    client = tracking.client()
    run_id = _record(name, done)
    if old:
        client.set_registered_model_alias(name, registry.PREVIOUS, old.version)
    client.set_registered_model_alias(name, registry.CHAMPION, done.version)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    tags = {"promoted_by": done.who, "promoted_at": now, "promoted_in": run_id, "override": done.override}
    for key, value in tags.items():
        if value:
            client.set_model_version_tag(name, done.version, key, value)


def _record(name: str, done: Act) -> str:
    """A run for each act, which nobody has a reason to change."""
    import mlflow

    tags = {"kind": PROMOTION, "act": done.act, "version": done.version, "owner": tracking.owner(), "who": done.who}
    tags |= {"before": done.before or "none", "model": name} | ({"override": done.override} if done.override else {})
    run_name = f"{done.act} {name} {done.version}" + (" (overridden)" if done.override else "")
    with mlflow.start_run(run_name=run_name, tags=tracking.prefixed(tags)) as run:
        mlflow.log_dict(asdict(done) | {"name": name}, "promotion.json")
    return str(run.info.run_id)


def acts(name: str) -> list[Run]:
    """The runs of all acts on a model, the newest first."""
    import mlflow

    tracking.connect()
    return list(
        mlflow.search_runs(
            experiment_names=[tracking.EXPERIMENT],
            filter_string=f"tags.`lus.kind` = '{PROMOTION}' and tags.`lus.model` = '{name}'",
            order_by=["attributes.start_time DESC"],
            output_format="list",
        )
    )


def who() -> str:
    """The user and the machine, as they are known here."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@contextmanager
def _lock(name: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    tracking.connect()
    client, lock = tracking.client(), f"{name}.being-promoted"
    try:
        client.create_registered_model(lock, tags={"who": who(), "since": str(int(time.time()))})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        tags = client.get_registered_model(lock).tags
        age = time.time() - float(tags.get("since", 0))
        if age < EXPIRES:
            raise BadInput(
                f"{tags.get('who', 'somebody')} began to promote or roll back {name} {age:.0f} s ago; try again when "
                f"that is done (a lock that was left behind counts for {EXPIRES} s)"
            ) from None
        client.delete_registered_model(lock)
        client.create_registered_model(lock, tags={"who": who(), "since": str(int(time.time()))})
    try:
        yield
    finally:
        client.delete_registered_model(lock)


def facts(version: ModelVersion, answers: bool = False) -> Facts:
    """What a version carries, from the tracking store.

    Args:
        version: which one.
        answers: whether its stored clips are to be answered anew, which loads the model.
    """
    import mlflow

    with tempfile.TemporaryDirectory() as scratch:
        listed = {one.path for one in tracking.client().list_artifacts(version.run_id, "evaluation")}

        def file(name: str) -> Path | None:
            if f"evaluation/{name}" not in listed:
                return None
            return Path(
                mlflow.artifacts.download_artifacts(
                    run_id=version.run_id, artifact_path=f"evaluation/{name}", dst_path=scratch
                )
            )

        audit, predictions = file(stored.AUDIT), file(stored.PREDICTIONS)
        text = dict.fromkeys(("clip_id", "path", "patient", "label", "predicted"), str)
        return Facts(
            version.tags.get("protocol"),
            json.loads(audit.read_text()) if audit else None,
            registry.has_limits(version),
            _answers(version) if answers else None,
            pd.read_csv(predictions, dtype=text, keep_default_na=False) if predictions else None,
        )


def _answers(version: ModelVersion) -> tuple[np.ndarray, np.ndarray] | None:
    import mlflow

    listed = {one.path for one in tracking.client().list_artifacts(version.run_id, "classifier")}
    names = (f"classifier/{name}" for name in (registry.EXAMPLE_FILE, registry.ANSWER_FILE))
    if not listed.issuperset(wanted := list(names)):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        frames, answer = (
            np.load(
                mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=name, dst_path=scratch),
                allow_pickle=False,
            )
            for name in wanted
        )
    with registry.load(version) as served:
        return answer, served.probabilities(frames)
