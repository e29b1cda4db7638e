"""The registry's story on a shared server: PostgreSQL, artifacts through it, users with passwords, a browser."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from lus.cli import main
from lus.common import params_file
from lus.common.errors import BadInput
from lus.registry import aliases, journal, models, promotion
from lus.service import api_keys
from lus.tracking import client
from tests.browser import browser, needs_browser
from tests.conftest import ROOT, draw_frames, write_video
from tests.servers import end, free_port, listening, make_database, mlflow_server, postgres, refusing, wait_until_ready
from tests.versions import LEAK, NAME, add

pytestmark = pytest.mark.slow

ADMINISTRATOR, USER = ("administrator", "a long password"), ("someone", "another long password")


@contextmanager
def _server(project: Path, monkeypatch: pytest.MonkeyPatch, others_may: str = "EDIT") -> Iterator[str]:
    """The address of an MLflow server on PostgreSQL with two users."""
    with postgres() as address:
        database = make_database(address, "mlflow")
        with mlflow_server(database, project / "artifacts", dict([ADMINISTRATOR, USER]), others_may) as server:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
            yield server


def _as(who: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this process is that user."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", who[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", who[1])


@pytest.fixture
def shared(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an MLflow server; this process is the user with fewer rights."""
    with _server(project, monkeypatch) as server:
        _as(USER, monkeypatch)
        yield server


@dataclass(frozen=True)
class Done:
    """What a command printed, and what it refused."""

    printed: str
    refused: str


def _lus(*arguments: str) -> Done:
    """A command as a user types it; a refusal is what ends it with status 2."""
    found = CliRunner(env={"COLUMNS": "250", "NO_COLOR": "1"}).invoke(main.app, list(arguments))
    if found.exception is not None and not isinstance(found.exception, BadInput):
        raise found.exception
    return Done(found.stdout, str(found.exception or ""))


@contextmanager
def _nothing_left_in(folder: Path) -> Iterator[None]:
    """What is done meanwhile makes its temporary files there, and takes them away again."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        yield
    assert [path.name for path in folder.iterdir()] == []


def _aliases() -> dict[str, str]:
    return aliases.get_aliases(NAME)


def _move_in_browser(server: str, version: str, alias: str) -> None:
    """Give an alias to a version in MLflow's pages, with a real browser."""
    with browser() as chromium:
        page = chromium.new_context(http_credentials={"username": USER[0], "password": USER[1]}).new_page()
        try:
            page.goto(f"{server}/#/models/{NAME}/versions/{version}")
            edit = page.locator("button[title='Edit aliases']").or_(page.get_by_role("button", name="Add", exact=True))
            edit.first.click(timeout=60_000)
            box = page.get_by_role("dialog").get_by_role("combobox")
            box.click()
            box.type(alias)
            box.press("Enter")
            page.get_by_role("dialog").get_by_text("Add/Edit alias").click()
            page.get_by_role("button", name="Save aliases").click()
            page.get_by_role("dialog").wait_for(state="hidden", timeout=30_000)
        except Exception:
            page.screenshot(path="browser.png")  # in the test's own folder
            raise


def _answer(folder: Path) -> httpx.Response:
    """Ask the service for one clip, over HTTP, with a key of the file that `lus serve` was told of."""
    clip = write_video(folder / "clip.avi", draw_frames(24, 120, 104, 3))
    port = free_port()
    key, digest = api_keys.new_key()
    (folder / "keys").write_text(f"somebody:{digest}\n")
    closed = os.environ | {"LUS_API_KEYS_FILE": "keys"}
    with (folder / "service.log").open("wb") as log:
        command = [str(Path(sys.executable).with_name("lus")), "serve", "--port", str(port)]
        server = subprocess.Popen(command, cwd=folder, env=closed, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/readyz", server)
            files = {"clip": (clip.name, clip.read_bytes(), "video/x-msvideo")}
            address, named = f"http://127.0.0.1:{port}/classify", {"X-API-Key": key}
            assert httpx.post(address, files=files, timeout=60).status_code == 401
            return httpx.post(address, files=files, headers=named, timeout=60)
        finally:
            end(server)


def _project_files(project: Path) -> None:
    """What `lus package` needs beside the registry."""
    for name in ("bentofile.yaml", "requirements/serving.txt"):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.browser
@needs_browser
def test_the_life_of_versions_from_registration_to_a_served_answer_and_back(
    project: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(project / "bentos"))
    _project_files(project)

    # Two versions are registered; the first goes into production, the worse one does not.
    assert [add(wrong=8), add(wrong=20)] == ["1", "2"]
    assert "version 1 is the champion" in _lus("promote", "1").printed
    with _nothing_left_in(project / "scratch"):
        worse = _lus("promote", "2")
    assert "version 2 is not promoted; champion: accuracy 0.667 against 0.867 of version 1 on 60 clips" in worse.refused
    assert re.search(r"champion\s+│\s+failed", worse.printed)

    # A better one does.
    assert add(wrong=2) == "3"
    assert "version 3 is the champion, before it version 1" in _lus("promote").printed

    # One whose figures leak does not, however good they are.
    assert add(wrong=0, findings=[LEAK]) == "4"
    assert "audit: patients: 3 patients are on both sides." in _lus("promote", "4").refused
    assert _aliases() == {"champion": "3", "previous": "1", "challenger": "4"}

    # Somebody has a reason to do it none the less, which is kept for good.
    assert "version 4 is the champion" in _lus("promote", "4", "--override", "for a demonstration").printed
    assert "over failed conditions: for a demonstration" in _lus("models", "--log").printed
    assert "for a demonstration" in models.get_version(NAME, "4").tags["lus.promotion.0003"]

    # The demonstration is over.
    assert "version 3 is the champion again, version 4 stepped back" in _lus("rollback").printed
    assert _aliases()["previous"] == "4"
    assert "holds lus-classifier version 3, the champion" in _lus("package").printed

    # What is done in MLflow's pages counts from then on.
    _move_in_browser(shared, "1", "champion")
    assert _aliases()["champion"] == "1"
    packaged = _lus("package")
    assert "holds lus-classifier version 1, the champion" in packaged.printed, packaged.refused
    assert _lus("package", "--alias", "nobody").refused.startswith(f"{NAME} has no nobody")

    # From a served answer back to all that it comes from.
    served = _answer(project)
    assert served.status_code == 200, served.text
    model = served.json()["model"]
    assert (model["name"], model["version"]) == (NAME, "1")
    assert served.headers["X-Model-Version"] == "1"
    assert served.headers["X-Model-Lineage"] == model["lineage"]
    with _nothing_left_in(project / "scratch"):
        shown = json.loads(_lus("show", model["lineage"], "--json").printed)
    assert shown["row"]["version"] == "1"
    assert shown["metrics"]["accuracy"] == pytest.approx(52 / 60)
    assert shown["params"]["register"]["name"] == NAME
    assert shown["tags"]["git_commit"] == models.get_version(NAME, "1").tags["git_commit"]
    assert [one["kind"] for one in shown["acts"]] == ["promotion", "promotion"]
    listed = json.loads(_lus("models", "--json").printed)["versions"]
    assert {one["version"]: one["aliases"] for one in listed} == {
        "4": ["challenger", "previous"],
        "3": [],
        "2": [],
        "1": ["champion"],
    }


def _may_write_the_journal(server: str) -> None:
    """The administrator gives the user the right to change the runs of the journal's experiment."""
    experiment = {"resource_type": "experiment", "resource_id": client.ensure_experiment(journal.EXPERIMENT)}
    body = experiment | {"username": USER[0], "permission": "EDIT"}
    address = f"{server}/api/3.0/mlflow/users/permissions/grant"
    answer = httpx.post(address, json=body, auth=ADMINISTRATOR, timeout=30)
    assert answer.status_code == 200, answer.text


def _promote(version: str, on_judged: Callable[[object], None] = lambda _: None) -> None:
    """Promote a version that carries no evaluation, for a reason."""
    loaded = params_file.load_params(ROOT / "params.yaml")
    new, champion = promotion.candidate(NAME, version)
    promotion.promote(new, champion, loaded.promote, loaded.package.engine, "a test's", on_judged=on_judged)


def _typed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, where no error is caught for the test."""
    command = [str(Path(sys.executable).with_name("lus")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_whoever_may_only_read_the_model_is_told_so_changes_nothing_and_keeps_nobody_waiting(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _server(project, monkeypatch, others_may="READ") as server:
        _as(ADMINISTRATOR, monkeypatch)
        for version in ("1", "2"):
            add(evaluated=False)
            _promote(version)
        _may_write_the_journal(server)
        before = _aliases()
        _as(USER, monkeypatch)
        refused = _typed("rollback")
        assert refused.returncode == 2
        advice = r"ask for that right, or mend MLFLOW_\S+ and \S+\n"
        assert re.fullmatch(rf"lus: MLflow at http://127\S+: .*; {advice}", refused.stderr)
        assert _aliases() == before
        failed = journal.acts(NAME)[-1]
        assert (failed.kind, failed.outcome) == ("rollback", "failed")
        assert "Permission denied" in failed.remark
        assert USER[1] not in failed.remark
        _as(ADMINISTRATOR, monkeypatch)
        assert "version 1 is the champion again" in _lus("rollback").printed


def test_a_server_that_fails_at_the_last_step_is_not_asked_for_minutes_and_nothing_is_changed(
    project: Path, shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1", "2"):
        add(evaluated=False)
        _promote(version)
    add(evaluated=False)
    before = _aliases()
    with refusing(shared, '"champion"') as failing:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", failing)
        began: list[float] = []
        with pytest.raises(MlflowException, match="503"):
            _promote("3", lambda _: began.append(time.monotonic()))
        assert time.monotonic() - began[0] < journal.LONGEST / 2
        assert _aliases() == before == {"champion": "2", "previous": "1", "challenger": "3"}
        failed = journal.acts(NAME)[-1]
        assert (failed.version, failed.outcome) == ("3", "failed")
        assert "503" in failed.remark


def _try(version: str, barrier: Any, answers: Any) -> None:
    try:
        _promote(version, lambda _: barrier.wait())
        answers.put((version, ""))
    except BadInput as error:
        answers.put((version, str(error)))


def test_two_people_who_promote_at_once_end_in_one_state_and_one_refusal(project: Path, shared: str) -> None:
    for _ in range(3):
        add(evaluated=False)
    _promote("1")
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    both = [context.Process(target=_try, args=(version, barrier, answers)) for version in ("2", "3")]
    for process in both:
        process.start()
    found = dict(answers.get(timeout=120) for _ in both)
    for process in both:
        process.join()
    (won,) = [version for version, refusal in found.items() if not refusal]
    (refusal,) = [refusal for refusal in found.values() if refusal]
    assert re.search("began at the same moment|is under way|it was moved in between", refusal)
    assert "nothing was changed" in refusal
    aliases = _aliases()
    assert (aliases["champion"], aliases["previous"]) == (won, "1")
    acts = journal.read(journal.journal_run(NAME))
    assert [one.version for one in acts if one.outcome == "done"] == ["1", won]
    assert all(one.outcome for one in acts)


def test_a_webhook_tells_who_deploys_that_the_champion_has_changed(project: Path, shared: str) -> None:
    told: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with listening(Receiver) as receiver:
        from mlflow import MlflowClient

        # A server that has had an alias moved knows a new webhook up to a minute later: this one comes first.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_USERNAME", ADMINISTRATOR[0])
            patch.setenv("MLFLOW_TRACKING_PASSWORD", ADMINISTRATOR[1])
            # An earlier test may have pointed MLflow itself at another server.
            MlflowClient(shared, shared).create_webhook("deploy", f"{receiver}/", ["model_version_alias.created"])
        add(evaluated=False)
        _promote("1")
        deadline = time.monotonic() + 30
        while len(told) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
    told.sort(key=lambda one: str(one["timestamp"]))
    moved = [one["data"] for one in told]
    assert moved == [{"name": NAME, "alias": alias, "version": "1"} for alias in ("challenger", "champion")]
