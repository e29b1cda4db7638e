"""The gate, the aliases and their journal on a real MLflow store."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from lus.common import params_file
from lus.common.errors import BadInput
from lus.common.progress import Report
from lus.heads.numpy_head import NumpyHead
from lus.inference.compiled import CompiledClassifier
from lus.registry import aliases, gate, journal, models, promotion
from lus.registry.journal import AliasChange
from lus.tracking import client
from tests.conftest import ROOT
from tests.versions import LEAK, NAME, add

PROMOTE = params_file.load_params(ROOT / "params.yaml").promote
ENGINE = "openvino-f32"


def _promote(version: str | None = None, override: str | None = None) -> AliasChange:
    new, champion = promotion.candidate(NAME, version)
    return promotion.promote(new, champion, PROMOTE, ENGINE, override)


def _aliases() -> dict[str, str]:
    return {
        alias: str(one.version)
        for alias in ("champion", "challenger", "previous")
        if (one := aliases.find_version_by_alias(NAME, alias)) is not None
    }


def _acts() -> list[AliasChange]:
    return journal.read(journal.journal_run(NAME))


def test_a_better_version_is_promoted_and_a_rollback_brings_the_one_before_back(project: Path) -> None:
    assert [add(wrong=12), add(wrong=4)] == ["1", "2"]
    _promote("1")
    with pytest.raises(BadInput, match="version 1 is the champion already"):
        _promote("1")
    with pytest.raises(BadInput, match="has no previous; there was one champion at most"):
        promotion.rollback(NAME)
    _promote()
    assert _aliases() == {"champion": "2", "challenger": "2", "previous": "1"}
    promotion.rollback(NAME, "it is slow")
    assert _aliases() == {"champion": "1", "challenger": "2", "previous": "2"}
    acts = _acts()
    assert [(one.number, one.kind, one.version, one.champion, one.outcome) for one in acts] == [
        (1, "promotion", "1", None, "done"),
        (2, "promotion", "2", "1", "done"),
        (3, "rollback", "1", "2", "done"),
    ]
    assert acts[2].why == "it is slow"
    assert {one["name"] for one in acts[1].conditions} == set(gate.NAMES)
    assert "it is slow" in models.get_version(NAME, "1").tags["lus.rollback.0003"]


def test_the_gate_says_what_it_is_at_and_counts_the_stored_clips(project: Path) -> None:
    add(wrong=4)
    begun: list[str] = []
    counted: list[tuple[int, int]] = []

    def step(name: str) -> Report:
        begun.append(name)
        return lambda done, total: counted.append((done, total))

    new, champion = promotion.candidate(NAME, None)
    promotion.conditions(new, champion, PROMOTE, ENGINE, step)
    asked = ["fetching its evaluation", "fetching version 1", f"compiling version 1 for {ENGINE}"]
    assert begun == [*asked, "asking the stored clips", "judging it"]
    assert counted == [(1, 2), (2, 2)]


def test_a_refusal_lists_every_failed_condition_with_figures_and_changes_nothing(project: Path) -> None:
    add(wrong=4)
    _promote()
    add(wrong=20, findings=[LEAK])
    with pytest.raises(BadInput) as refused:
        _promote()
    said = str(refused.value)
    assert "audit: patients: 3 patients are on both sides." in said
    assert "protocol: nested-patient" in said
    assert "champion: accuracy 0.667 against 0.933 of version 1 on 60 clips of 60 patients" in said
    assert _aliases() == {"champion": "1", "challenger": "2"}
    assert len(_acts()) == 1


def test_an_override_needs_a_reason_and_is_kept_with_what_failed(project: Path) -> None:
    add(wrong=4)
    _promote()
    add(wrong=20)
    with pytest.raises(BadInput, match="an override without a reason"):
        _promote(override=" ")
    _promote(override="the camera was changed")
    act = _acts()[-1]
    assert (act.override, act.why) == (True, "the camera was changed")
    assert [one["name"] for one in act.conditions if not one["passed"]] == ["champion"]
    # A version that was the champion once is looked at again, though another is by now.
    add(wrong=19)
    new, champion = promotion.candidate(NAME, None)
    former = promotion.conditions(new, champion, PROMOTE, ENGINE)[gate.NAMES.index("former")]
    assert not former.passed
    assert former.found.startswith("accuracy 0.683 against 0.933 of version 1 on 60 clips")
    assert "over failed conditions: the camera was changed" in models.get_version(NAME, "2").tags["lus.promotion.0002"]
    with pytest.raises(mlflow.MlflowException, match="Changing param values is not allowed"):
        MlflowClient().log_param(journal.journal_run(NAME), "0002.begun", "{}")


@pytest.mark.parametrize("override", [None, "in haste"])
def test_whoever_promotes_is_told_every_condition_and_cannot_leave_one_out(
    project: Path, monkeypatch: pytest.MonkeyPatch, override: str | None
) -> None:
    add(wrong=4)
    told: list[str] = []
    judged, champion = promotion.candidate(NAME, None)
    judge = gate.judge
    with monkeypatch.context() as patch:
        for incomplete in (slice(0), slice(4), slice(1, None)):
            patch.setattr(gate, "judge", lambda facts, section, part=incomplete: judge(facts, section)[part])
            with pytest.raises(
                ValueError, match="audit, protocol, limits, parity, champion, former, validation are expected"
            ):
                promotion.promote(judged, champion, PROMOTE, ENGINE, override)
    assert _aliases() == {"challenger": "1"}
    promotion.promote(judged, champion, PROMOTE, ENGINE, on_judged=lambda found: told.extend(one.name for one in found))
    assert tuple(told) == gate.NAMES


def test_a_version_without_an_evaluation_is_refused_for_each_thing_that_it_lacks(project: Path) -> None:
    add(evaluated=False)
    new, champion = promotion.candidate(NAME, None)
    failed = [one.name for one in promotion.conditions(new, champion, PROMOTE, ENGINE) if not one.passed]
    assert failed == ["audit", "protocol"]


def test_a_model_that_answers_otherwise_than_when_it_was_registered_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(wrong=4)
    asked = NumpyHead.probabilities
    monkeypatch.setattr(NumpyHead, "probabilities", lambda head, features: asked(head, features)[:, ::-1])
    with pytest.raises(BadInput, match=r"parity: [12] of 2 clips labelled otherwise, largest difference"):
        _promote()


def test_an_alias_that_was_moved_elsewhere_is_what_counts(project: Path) -> None:
    for _ in range(3):
        add(wrong=4)
    _promote("1")
    MlflowClient().set_registered_model_alias(NAME, "champion", "2")
    act = _promote("3")
    assert act.champion == "2"
    assert _aliases() == {"champion": "3", "challenger": "3", "previous": "2"}


def test_a_champion_that_was_moved_after_the_gate_stops_the_promotion(project: Path) -> None:
    for _ in range(3):
        add(wrong=4)
    _promote("1")
    new, champion = promotion.candidate(NAME, "2")

    def moved(_: object) -> None:
        MlflowClient().set_registered_model_alias(NAME, "champion", "3")

    with pytest.raises(BadInput, match="the champion was version 1, and is version 3 by now"):
        promotion.promote(new, champion, PROMOTE, ENGINE, on_judged=moved)
    assert _aliases() == {"champion": "3", "challenger": "3"}
    assert _acts()[-1].outcome == "refused"


def test_a_promotion_under_way_stops_another_until_its_time_is_over(project: Path) -> None:
    add()
    run_id = journal.journal_run(NAME)
    act = AliasChange("promotion", "1", None, None, "one@here", journal.now())
    held = journal.claim(run_id, act)
    assert [one.nonce for one in _acts()] == [held.nonce]
    # Journals written so far have it under this name.
    assert json.loads(MlflowClient().get_run(run_id).data.params["0001.begun"])["mark"] == held.nonce
    with pytest.raises(BadInput, match=r"promotion of version 1 .* by one@here, .* is under way; nothing was changed"):
        _promote()
    assert _aliases() == {"challenger": "1"}
    journal.end(run_id, held, journal.REFUSED)
    late = (datetime.now(UTC) - timedelta(seconds=journal.LONGEST + 1)).isoformat()
    dead = journal.claim(run_id, replace(act, when=late, nonce="other"))
    _promote()
    assert [one.outcome for one in _acts()] == ["refused", "abandoned", "done"]
    with pytest.raises(BadInput, match="had been given up by another process"):
        journal.end(run_id, dead, journal.DONE)


def test_of_two_claims_of_one_number_one_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    run_id, act = journal.journal_run(NAME), AliasChange("promotion", "1", None, None, "one@here", journal.now())
    real, seen = journal.read, []

    def blind(run: str) -> list[AliasChange]:
        """As it was before the other wrote, the first time."""
        seen.append(run)
        return [] if len(seen) == 1 else real(run)

    journal.claim(run_id, act)
    monkeypatch.setattr(journal, "read", blind)
    with pytest.raises(BadInput, match=r"by one@here, .* began at the same moment; nothing was changed"):
        journal.claim(run_id, replace(act, who="two@there", nonce="other"))


def test_a_journal_that_was_deleted_or_a_model_of_other_hands_is_said_or_mended(project: Path) -> None:
    add()
    client.connect()
    mlflow_client = MlflowClient()
    mlflow_client.delete_registered_model_tag(NAME, journal.TAG)
    _promote()
    assert _aliases()["champion"] == "1"
    mlflow_client.delete_run(journal.journal_run(NAME))
    add()
    with pytest.raises(BadInput, match="was deleted; restore it in MLflow"):
        _promote()
    assert _aliases()["champion"] == "1"


def _in_store(*statements: str) -> None:
    """Change MLflow's database itself: what a store that denies something, or another process, does to a promotion."""
    with contextlib.closing(sqlite3.connect("mlflow.db")) as database:
        database.executescript(";".join(statements))


def _denied(table: str, condition: str) -> str:
    """A statement after which the store writes nothing more into a table where the condition is met."""
    return "; ".join(
        f"create trigger {table}_{when} before {when} on {table} when {condition} "
        "begin select raise(abort, 'denied at http://me:p@ss@host/store'); end"
        for when in ("insert", "update")
    )


def test_a_move_that_is_denied_half_way_changes_nothing_and_keeps_nobody_waiting(project: Path) -> None:
    for _ in range(3):
        add(wrong=4)
    _promote("1")
    _promote("2")
    _in_store(_denied("registered_model_aliases", "new.alias = 'champion'"))
    with pytest.raises(mlflow.MlflowException, match="denied"):
        _promote("3")
    assert _aliases() == {"champion": "2", "challenger": "3", "previous": "1"}
    failed = _acts()[-1]
    assert failed.outcome == "failed"
    assert "denied at http://host/store" in failed.remark
    assert "ss@" not in failed.remark
    _in_store(*(f"drop trigger registered_model_aliases_{when}" for when in ("insert", "update")))
    promotion.rollback(NAME)
    assert _aliases() == {"champion": "1", "challenger": "3", "previous": "2"}


def test_the_second_champion_that_is_denied_leaves_no_previous(project: Path) -> None:
    for _ in range(2):
        add(wrong=4)
    _promote("1")
    _in_store(_denied("registered_model_aliases", "new.alias = 'champion'"))
    with pytest.raises(mlflow.MlflowException, match="denied"):
        _promote("2")
    assert _aliases() == {"champion": "1", "challenger": "2"}


def test_a_promotion_that_ctrl_c_ends_says_so_in_the_journal(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(wrong=4)

    def interrupted(*_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _promote()
    assert [(one.outcome, one.remark) for one in _acts()] == [("failed", "KeyboardInterrupt")]
    _promote()
    assert _aliases()["champion"] == "1"


def test_a_promotion_whose_tag_is_denied_is_done_and_the_journal_says_so(project: Path) -> None:
    add(wrong=4)
    _in_store(_denied("model_version_tags", "new.key like 'lus.promotion%'"))
    _promote()
    assert _aliases()["champion"] == "1"
    assert [one.outcome for one in _acts()] == ["done"]


def test_an_act_that_was_given_up_while_it_hung_moves_nothing_more(project: Path) -> None:
    for _ in range(3):
        add(wrong=4)
    _promote("1")
    # Another process comes while the first step is on its way: it writes this act off, and version 3 is the champion.
    _in_store(
        "create trigger slow after insert on registered_model_aliases when new.alias = 'previous' begin "
        """insert into params (key, value, run_uuid) select '0002.ended', '{"outcome": "abandoned"}', run_uuid """
        "from params where key = '0002.begun'; "
        "update registered_model_aliases set version = 3 where alias = 'champion'; end"
    )
    with pytest.raises(BadInput, match=r"promotion of version 2 .* had been given up by another process"):
        _promote("2")
    assert _aliases()["champion"] == "3"
    assert [one.outcome for one in _acts()] == ["done", "abandoned"]


def test_an_act_that_others_may_soon_give_up_moves_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(wrong=4)
    monkeypatch.setattr(journal, "LONGEST", 2 * journal.STEP)
    with pytest.raises(BadInput, match=r"promotion of version 1 .* took too long; nothing more was changed, try again"):
        _promote("1")
    assert _aliases() == {"challenger": "1"}
    assert [one.outcome for one in _acts()] == ["failed"]


def test_an_engine_that_is_chosen_is_named_with_those_that_were_tried(project: Path) -> None:
    add(wrong=4)
    found = {one.name: one for one in promotion.conditions(*promotion.candidate(NAME, None), PROMOTE, "auto")}
    assert found["parity"].passed
    assert found["parity"].found.startswith("the fastest engine that answers as registered is openvino-")
    assert "openvino-f32" in found["parity"].found


def test_where_no_engine_answers_as_registered_parity_alone_fails(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(wrong=4)
    asked = CompiledClassifier.probabilities
    monkeypatch.setattr(CompiledClassifier, "probabilities", lambda self, frames, **more: asked(self, frames) + 0.05)
    found = {one.name: one for one in promotion.conditions(*promotion.candidate(NAME, None), PROMOTE, "auto")}
    assert [name for name, one in found.items() if not one.passed] == ["parity"]
    said = "no engine answers as the model did when it was registered: openvino-int8: 0 of"
    assert found["parity"].found.startswith(said)
