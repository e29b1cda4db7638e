"""Promotion and rollback: what moves the aliases, one act at a time, through the gate and with an entry for good."""

from __future__ import annotations

import contextlib
import getpass
import json
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lus.common.errors import BadInput
from lus.common.params import Promote
from lus.common.progress import Steps, no_progress
from lus.inference.compiled import Parity
from lus.inference.engine_choice import EngineChoice, NoEngineHolds
from lus.inference.metadata import METADATA_FILE, ModelMetadata
from lus.registry import aliases, download, gate, journal, models, versions
from lus.registry.gate import Condition, Facts
from lus.registry.journal import AliasChange
from lus.registry.validations import read_validations
from lus.tracking import client
from lus.tracking.lineage import git_user

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def current_user() -> str:
    """The user at this machine: as git knows them, else by login."""
    return git_user() or f"{getpass.getuser()}@{socket.gethostname()}"


def conditions(
    version: ModelVersion, champion: ModelVersion | None, params: Promote, engine: str, steps: Steps = no_progress
) -> list[Condition]:
    """Look at all that the gate asks of a version, which is compiled for it and answers the clips stored with it.

    Args:
        version: to be promoted.
        champion: the version in production.
        params: of the gate.
        engine: that serves it, as in `package.engine`.
        steps: told what is under way.
    """
    facts = _facts(version, champion, engine, params.validation, steps)
    steps("comparing it with the champion" if champion else "judging it")
    return gate.judge(facts, params)


def _facts(
    version: ModelVersion, champion: ModelVersion | None, engine: str, cohorts: Sequence[str], steps: Steps
) -> Facts:
    steps("fetching its evaluation")
    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryDirectory() as of_champion:
        folder = download.download_evaluation(version, Path(own))
        theirs = download.download_evaluation(champion, Path(of_champion)) if champion else None
        metadata: ModelMetadata | str
        parity: Parity | EngineChoice | str
        try:
            metadata, parity = _served(version, engine, steps)
        except BadInput as error:
            metadata = parity = str(error)
        return Facts(
            metrics=versions.read_json(folder / "metrics.json"),
            audit=versions.read_json(folder / "audit.json"),
            predictions=_predictions(folder),
            metadata=metadata,
            parity=parity,
            champion=_number(champion),
            champion_predictions=_predictions(theirs) if theirs else None,
            former=_former_predictions(version, champion),
            validations=read_validations(version.name, str(version.version), cohorts),
            champion_validations=read_validations(champion.name, str(champion.version), cohorts) if champion else {},
        )


def _former_predictions(version: ModelVersion, champion: ModelVersion | None) -> dict[str, pd.DataFrame | None]:
    """Those of each version that the journal knows as a champion, but for this one and the champion of today.

    A version that was deleted carries none any more.
    """
    found: dict[str, pd.DataFrame | None] = {}
    for number in journal.list_champions(version.name):
        if number in (str(version.version), _number(champion)):
            continue
        found[number] = None
        with contextlib.suppress(BadInput), tempfile.TemporaryDirectory() as scratch:
            once = models.get_version(version.name, number)
            found[number] = _predictions(download.download_evaluation(once, Path(scratch)))
    return found


def _served(version: ModelVersion, engine: str, steps: Steps) -> tuple[ModelMetadata, Parity | EngineChoice | str]:
    """The metadata, and how the engine that serves it answers the stored clips, or why none may."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, choices = Path(scratch), list[EngineChoice]()
        try:
            made = download.compile_into(version, engine, folder, steps, choices.append)
        except NoEngineHolds as error:
            return ModelMetadata.from_json(json.loads((folder / METADATA_FILE).read_text())), str(error)
        return made.metadata, choices[0] if choices else made.parity(progress=steps("asking the stored clips"))


def _predictions(folder: Path) -> pd.DataFrame | None:
    file = folder / "predictions.csv"
    text = dict.fromkeys(("clip_id", "path", "patient", "group", "label", "predicted"), str)
    return pd.read_csv(file, dtype=text, keep_default_na=False) if file.is_file() else None


def _refusal(version: ModelVersion, failed: Sequence[Condition]) -> BadInput:
    said = "; ".join(f"{one.name}: {one.found} ({one.expected} is expected)" for one in failed)
    return BadInput(
        f"{version.name} version {version.version} is not promoted; {said}; "
        '`--override "reason"` promotes it none the less, and that is kept for good'
    )


def candidate(name: str, version: str | None) -> tuple[ModelVersion, ModelVersion | None]:
    """The version to promote, the challenger where none is named, and the champion now.

    Raises:
        BadInput: there is no such version, or it is the champion already.
    """
    new = models.get_version(name, version) if version else aliases.get_version_by_alias(name, aliases.CHALLENGER)
    champion = aliases.find_version_by_alias(name, aliases.CHAMPION)
    if champion and str(champion.version) == str(new.version):
        raise BadInput(f"{name} version {new.version} is the champion already; nothing was changed")
    return new, champion


def promote(
    new: ModelVersion,
    champion: ModelVersion | None,
    params: Promote,
    engine: str,
    override: str | None = None,
    steps: Steps = no_progress,
    on_judged: Callable[[Sequence[Condition]], None] = lambda _: None,
) -> AliasChange:
    """Judge a version, and make it the champion; the champion before becomes `previous`.

    Args:
        new: the version.
        champion: the one that it is judged against: that of `candidate`.
        params: of the gate.
        engine: that serves it, as in `package.engine`.
        override: a reason to do so although a condition fails.
        steps: told what is under way.
        on_judged: told the conditions, before anything is refused or moved.

    Returns:
        What was done, as it stands in the journal.

    Raises:
        BadInput: a condition failed, another promotion is under way, the champion is another one by now, or this code
            cannot read the version's metadata; that no override changes.
    """
    if override is not None and not override.strip():
        raise BadInput("an override without a reason; say why, as it is kept for good")
    download.require_readable(new)  # before it is judged: that is no condition, which an override could pass over
    found = conditions(new, champion, params, engine, steps)
    failed = gate.failed(found)
    on_judged(tuple(found))
    if failed and override is None:
        raise _refusal(new, failed)
    steps("moving the aliases")
    return make_champion(
        "promotion",
        new,
        _number(champion),
        why=override or "",
        override=bool(failed),
        conditions=[asdict(one) for one in found],
    )


def rollback(name: str, why: str = "") -> AliasChange:
    """Make the previous version the champion again; the champion becomes `previous`.

    Raises:
        BadInput: there is no champion, no previous one, they are one version, or this code cannot read its metadata.
    """
    back = aliases.get_version_by_alias(name, aliases.PREVIOUS)
    champion = aliases.get_version_by_alias(name, aliases.CHAMPION)
    if back.version == champion.version:
        raise BadInput(f"{name} version {back.version} is champion and previous; `lus promote VERSION` names another")
    download.require_readable(back)
    return make_champion("rollback", back, _number(champion), why=why)


def _number(version: ModelVersion | None) -> str | None:
    return str(version.version) if version else None


def make_champion(kind: str, new: ModelVersion, champion: str | None, **more: Any) -> AliasChange:
    """Move the alias `champion`: the one place that does, for `promote` and `rollback` alone, which say who may.

    Args:
        kind: `promotion` or `rollback`.
        new: the version that becomes the champion; the caller has seen that this code can read its metadata.
        champion: number of the one that it is expected to take over from.
        more: of the journal's entry, as `AliasChange` has it.

    Returns:
        What was done, as it stands in the journal.

    Raises:
        BadInput: another act is under way, or the champion is another one by now.
    """
    name, version = str(new.name), str(new.version)
    run_id = journal.journal_run(name)
    previous = _number(aliases.find_version_by_alias(name, aliases.PREVIOUS))
    began = time.monotonic()
    act = journal.claim(run_id, AliasChange(kind, version, champion, previous, current_user(), journal.now(), **more))
    try:
        _set_aliases(name, run_id, act, began)
        journal.end(run_id, act, journal.DONE)
    except BaseException as error:  # Ctrl-C too: an entry without an end keeps everybody waiting
        # What goes wrong here as well, as with a server that is gone, is less to say than what went wrong before.
        with contextlib.suppress(Exception), client.limit_retries(3, journal.STEP):
            _break_off(name, run_id, act, began, error)
        raise
    _tag(name, act)
    return act


def _set_alias(name: str, alias: str, version: str | None) -> None:
    """One step, of which the server hears once and soon: tried again later it could undo what others did meanwhile."""
    mlflow_client = client.get_client()
    with client.limit_retries(0, journal.STEP / 2):
        if version is None:
            mlflow_client.delete_registered_model_alias(name, alias)
        else:
            mlflow_client.set_registered_model_alias(name, alias, version)


def _set_aliases(name: str, run_id: str, act: AliasChange, began: float) -> None:
    seen = _number(aliases.find_version_by_alias(name, aliases.CHAMPION))
    if seen != act.champion:
        remark = f"the champion was version {act.champion}, and is version {seen} by now"
        journal.end(run_id, act, journal.REFUSED, remark)
        raise BadInput(f"{remark}: it was moved in between; nothing was changed, look at it and try again")
    # What is in production changes in the last step alone, so that a process that dies on the way has changed nothing.
    if act.champion is not None:
        journal.ensure_active(run_id, act, began, steps=2)
        _set_alias(name, aliases.PREVIOUS, act.champion)
    journal.ensure_active(run_id, act, began, steps=2)  # the second one brings `previous` back where this one fails
    _set_alias(name, aliases.CHAMPION, act.version)
    if _number(aliases.find_version_by_alias(name, aliases.CHAMPION)) != act.version:
        journal.end(run_id, act, journal.REFUSED, "the champion was moved by somebody else in the same moment")
        raise BadInput(f"{name}: somebody else moved the champion in the same moment; `lus models` shows what it is")


def _break_off(name: str, run_id: str, act: AliasChange, began: float, error: BaseException) -> None:
    """End an act that an error stopped: as done where the champion has moved, else with `previous` as it was before."""
    why = client.clean_message(str(error)) or type(error).__name__
    champion = _number(aliases.find_version_by_alias(name, aliases.CHAMPION))
    if champion == act.version:
        journal.end(run_id, act, journal.DONE, f"broken off after the last step: {why}")
        return
    try:
        if champion == act.champion and _number(aliases.find_version_by_alias(name, aliases.PREVIOUS)) != act.previous:
            journal.ensure_active(run_id, act, began)
            _set_alias(name, aliases.PREVIOUS, act.previous)
    finally:
        journal.end(run_id, act, journal.FAILED, why)


def _tag(name: str, act: AliasChange) -> None:
    """Say on the version what was done; the journal has it already, so that nothing is lost where that is denied."""
    from mlflow.exceptions import MlflowException

    with contextlib.suppress(MlflowException), client.limit_retries(3, journal.STEP):
        client.get_client().set_model_version_tag(name, act.version, f"lus.{act.kind}.{act.number:04d}", str(act))
