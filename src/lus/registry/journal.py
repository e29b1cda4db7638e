"""The journal of a registered model: who moved its aliases, when, from which version, why; written once for good.

It is one MLflow run whose parameters are the entries. MLflow's store lets nobody change a parameter, and of two
processes that write the same one at the same moment it refuses one: so an entry is also the lock by which one promotion
at a time goes on. Each act has two entries: `0007.begun`, which claims the number, and `0007.ended`.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from lus.common.errors import BadInput
from lus.tracking import client

EXPERIMENT = "lus-registry"
TAG = "lus.journal"
"""Tag of the registered model: the run that is its journal."""
BEGUN, ENDED = "begun", "ended"
DONE, ABANDONED, REFUSED, FAILED = "done", "abandoned", "refused", "failed"
NONCE_KEY = "mark"
"""Under which an entry holds its nonce; it stays as it is, as every journal so far has it."""
LARGEST = 6000
"""Characters of a parameter in MLflow."""
LONGEST = 120
"""Seconds after which an act that has not ended is taken for dead; one takes a second."""
STEP = 20
"""Seconds that one step of an act takes at most; as much is left for clocks that differ."""


@dataclass(frozen=True)
class AliasChange:
    """One move of the aliases.

    Attributes:
        kind: `promotion` or `rollback`.
        version: that becomes the champion.
        champion, previous: the versions that bore these aliases before; None where none did.
        who, when: user at host; UTC as ISO 8601 has it.
        why: the reason that was given, if one was.
        override: whether it was done although a condition failed.
        conditions: of the gate: name, passed, found, expected.
        nonce: tells this act from any other.
        number: its place in the journal; 0 before it is written.
        outcome: `done`, `abandoned`, `refused`, `failed`, or empty while it goes on.
        remark: what there is to say of the outcome.
    """

    kind: str
    version: str
    champion: str | None
    previous: str | None
    who: str
    when: str
    why: str = ""
    override: bool = False
    conditions: Sequence[Mapping[str, Any]] = ()
    nonce: str = field(default_factory=lambda: uuid.uuid4().hex)
    number: int = 0
    outcome: str = ""
    remark: str = ""

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.when)).total_seconds()

    def __str__(self) -> str:
        came = f"from version {self.champion}" if self.champion else "as the first champion"
        what = f"{self.kind} of version {self.version} {came} by {self.who}, {self.when}"
        why = f": {self.why}" if self.why else ""
        return f"{what}{', over failed conditions' if self.override else ''}{why}"


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def create() -> str:
    """A new journal; returns its run's identity."""
    mlflow_client = client.get_client()
    note = "Each parameter is an entry in the journal of a registered model: MLflow lets nobody change one."
    tags = {"lus.kind": "journal", "mlflow.note.content": note}
    run = mlflow_client.create_run(client.ensure_experiment(EXPERIMENT), run_name="promotions and rollbacks", tags=tags)
    mlflow_client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def journal_run(name: str) -> str:
    """The journal of a registered model.

    A model that this project registered has had one from its first moment. For another one it is made here; two
    processes that do so for the first time within the same milliseconds could each make one, the later of which counts.
    """
    mlflow_client = client.get_client()
    tags = mlflow_client.get_registered_model(name).tags
    if TAG not in tags:
        mlflow_client.set_registered_model_tag(name, TAG, create())
        tags = mlflow_client.get_registered_model(name).tags
    return str(tags[TAG])


def acts(name: str) -> list[AliasChange]:
    """All acts on a registered model, the oldest first; none where it has no journal yet."""
    run_id = client.get_client().get_registered_model(name).tags.get(TAG)
    return read(run_id) if run_id else []


def list_champions(name: str) -> list[str]:
    """The numbers of all versions that were ever the champion of a registered model, as far as its journal knows.

    Also one that somebody made the champion in MLflow alone is known, from the act that took over from it.
    """
    known = acts(name)
    took = {act.version for act in known if act.outcome == DONE}
    return sorted(took | {act.champion for act in known if act.champion is not None}, key=int)


def read(run_id: str) -> list[AliasChange]:
    """All acts, the oldest first."""
    entries = client.get_client().get_run(run_id).data.params
    found = []
    for key in sorted(key for key in entries if key.endswith(f".{BEGUN}")):
        number = key.split(".")[0]
        begun, ended = json.loads(entries[key]), json.loads(entries.get(f"{number}.{ENDED}", "{}"))
        nonce = {"nonce": begun.pop(NONCE_KEY)}
        found.append(AliasChange(**begun | nonce | {"number": int(number)} | ended))
    return found


def claim(run_id: str, act: AliasChange) -> AliasChange:
    """Write that an act begins; it has its number from then on, and no other can begin before it ends.

    Raises:
        BadInput: another act goes on, or began at the same moment.
    """
    before = read(run_id)
    last = before[-1] if before else None
    if last is not None and not last.outcome:
        if last.age < LONGEST:
            raise BadInput(
                f"a {last} is under way; nothing was changed, try again when it has ended, at the latest in "
                f"{LONGEST - last.age:.0f} s"
            )
        end(run_id, last, ABANDONED, f"it had not ended after {LONGEST} s; {act.who} found it so")
    number = last.number + 1 if last else 1
    if not _write(run_id, number, BEGUN, _plain(act)):
        first = next(one for one in read(run_id) if one.number == number)
        raise BadInput(f"a {first} began at the same moment; nothing was changed, look at it and try again")
    return replace(act, number=number)


def ensure_active(run_id: str, act: AliasChange, began: float, steps: int = 1) -> None:
    """Make sure that an act may go on: nobody has written it off, and nobody can while its next steps are on their way.

    Args:
        run_id: the journal.
        act: as it was claimed.
        began: by `time.monotonic`, before it was claimed.
        steps: that are to be made before the next look.

    Raises:
        BadInput: it may not.
    """
    if next(one for one in read(run_id) if one.number == act.number).outcome:
        raise _given_up(act)
    if time.monotonic() - began >= LONGEST - (steps + 1) * STEP:
        raise BadInput(f"the {act} took too long; nothing more was changed, try again when the server answers faster")


def _given_up(act: AliasChange) -> BadInput:
    return BadInput(f"the {act} had been given up by another process; look at `lus models` and do it again")


def end(run_id: str, act: AliasChange, outcome: str, remark: str = "") -> None:
    """Write that an act has ended.

    Raises:
        BadInput: another process has written so before.
    """
    if not _write(run_id, act.number, ENDED, {"outcome": outcome, "remark": remark}):
        raise _given_up(act)


def _plain(act: AliasChange) -> dict[str, Any]:
    stored = {key: value for key, value in asdict(act).items() if key not in ("number", "outcome", "remark")}
    return {NONCE_KEY if key == "nonce" else key: value for key, value in stored.items()}


def _write(run_id: str, number: int, what: str, content: Mapping[str, Any]) -> bool:
    """Write an entry; False where there is another one already."""
    from mlflow.exceptions import MlflowException

    value, key = json.dumps(content), f"{number:04d}.{what}"
    if len(value) > LARGEST:
        raise BadInput(f"the entry has {len(value)} characters, at most {LARGEST} are expected; give a shorter reason")
    mlflow_client = client.get_client()
    with contextlib.suppress(MlflowException):
        mlflow_client.log_param(run_id, key, value)
    # What stands there now is what counts, whatever an error on the way said.
    stands = mlflow_client.get_run(run_id)
    if stands.info.lifecycle_stage != "active":
        raise BadInput(f"the journal, MLflow run {run_id}, was deleted; restore it in MLflow, then try again")
    if key not in stands.data.params:
        raise BadInput(
            f"the journal, MLflow run {run_id}, could not be written; may you change experiment {EXPERIMENT}?"
        )
    return bool(stands.data.params[key] == value)
