from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
import typer
import yaml

from lus.cli import main
from lus.tracking import client
from tests.conftest import ROOT, make_cohort
from tests.servers import end, free_port, wait_until_ready

LUS = Path(sys.executable).with_name("lus")


def _lus(*arguments: str, cwd: Path = ROOT, columns: int = 120) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        [LUS, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_every_stage_is_a_verb_with_help() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    overview = _lus("--help").stdout
    for stage in stages:
        assert re.search(rf"^\W*{stage}\s", overview, re.MULTILINE), stage
        shown = _lus(stage, "--help")
        assert shown.returncode == 0
        assert f"Usage: lus {stage}" in shown.stdout


VERBS = {str(one.name or one.callback.__name__): one for one in main.app.registered_commands if one.callback}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_help_says_what_it_does_with_an_example_and_what_each_option_is(verb: str) -> None:
    shown = _lus(verb, "--help", columns=80).stdout
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert re.search(rf"^ +lus {verb}\b", shown.partition("Usage:")[2].partition("\n")[2], re.MULTILINE)
    parameters = typer.main.get_command(main.app).commands[verb].params  # type: ignore[attr-defined]
    assert [one.name for one in parameters if not one.help] == []


def test_the_verbs_stand_in_the_order_in_which_they_are_met() -> None:
    shown = _lus("--help").stdout
    places = [shown.index(f"─ {panel} ─") for panel in main.PANELS]
    assert places == sorted(places)
    first, last = shown.index("│ doctor "), shown.index("│ classify ")
    stages = [shown.index(f"│ {stage} ") for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]]
    assert [first, *stages, last] == sorted([first, *stages, last])


@pytest.mark.parametrize(
    "verb",
    [
        *("doctor", "weights", "check", "audit", "compare", "best"),
        *("models", "show", "promote", "reproduce", "validate", "classify"),
    ],
)
def test_a_verb_that_prints_a_table_has_json(verb: str) -> None:
    assert "--json" in _lus(verb, "--help").stdout


def test_the_shell_completes_verbs_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "complete -o default -F _lus_completion lus" in _lus("--show-completion", "bash").stdout
    for words, place, completed in (("lus rep", "1", "reproduce"), ("lus promote --over", "2", "--override")):
        monkeypatch.setenv("_LUS_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", place)
        assert _lus().stdout.split() == [completed]


def test_bad_input_is_one_sentence_and_status_two(project: Path) -> None:
    done = _lus("cohort", "nowhere", "out.csv", cwd=project)
    assert done.returncode == 2
    assert done.stderr.strip() == "lus: nowhere: no such folder; a folder of clips was expected"
    assert not (project / "out.csv").exists()


def test_a_place_that_cannot_be_written_is_named(project: Path) -> None:
    make_cohort(project / "own", ["a", "b"], patients=5, clips=1)
    (project / "taken").write_text("a file")
    done = _lus("cohort", "own", "taken/cohort.csv", cwd=project)
    assert done.returncode == 2
    assert done.stderr.startswith("lus: taken: ")
    assert done.stderr.endswith("; make it possible or name another place\n")


def test_outside_the_project_it_says_where_to_run(tmp_path: Path) -> None:
    done = _lus("frames", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "lus: params.yaml: not found; run this in the project's top folder\n"


def test_use_switches_the_cohort_and_keeps_the_comments(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    (project / "my clips").mkdir()
    done = _lus("use", "my clips", "--weights", "imagenet", cwd=project)
    assert (
        done.stdout
        == "cohort my clips, weights imagenet, protocol nested-patient; `dvc repro package` rebuilds the rest\n"
    )
    after = (project / "params.yaml").read_text()
    assert after.count("#") == before.count("#")
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert [line.split("#")[0].strip() for line in changed] == ["folder: my clips", "weights: imagenet"]


def test_a_folder_outside_of_the_clone_is_found_wherever_the_clone_is(project: Path, tmp_path: Path) -> None:
    clone = project / "clone"
    clone.mkdir()
    (project / "params.yaml").rename(clone / "params.yaml")
    (project / "my-clips").mkdir()
    assert _lus("use", "../my-clips", cwd=clone).stdout.startswith(f"cohort {project.resolve() / 'my-clips'}, ")


def test_a_protocol_that_is_set_and_set_back_leaves_the_parameters_as_they_were(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    for protocol in ("leave-source-out", "published-fresh", "nested-patient"):
        assert f"protocol {protocol}" in _lus("use", "--protocol", protocol, cwd=project).stdout
    assert (project / "params.yaml").read_bytes() == before


def test_use_changes_what_it_is_told_and_nothing_else(project: Path) -> None:
    done = _lus("use", "--weights", "random", cwd=project)
    assert done.stdout.startswith("cohort phantom, weights random, protocol nested-patient;")
    assert _lus("use", "data", cwd=project).stdout.startswith(
        "cohort data, weights random, protocol nested-patient; `make data` fetches"
    )
    done = _lus("use", "phantom", "--weights", "own", "--start", "random", cwd=project)
    assert done.stdout.startswith("cohort phantom, weights own (trained from random), protocol nested-patient;")


def test_use_refuses_what_is_not_there_or_not_known_and_changes_nothing(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    assert _lus("use", "nowhere", cwd=project).returncode == 2
    refused = _lus("use", "data", "--weights", "imagnet", cwd=project)
    assert refused.returncode == 2
    assert "`imagenet`, `random`, `own` or a file in weights/ expected" in refused.stderr
    assert (project / "params.yaml").read_text() == before


def test_the_pages_of_a_shared_server_are_pointed_to(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    done = _lus("ui", cwd=project)
    assert done.returncode == 2
    assert "open http://mlflow.example.org in a browser" in done.stderr


def test_the_address_of_the_database_is_in_no_process_table_while_the_pages_are_served(project: Path) -> None:
    client.connect()
    port = free_port()
    secret = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{project / 'mlflow.db'}?secret"}
    secret |= {"MLFLOW_BACKEND_STORE_URI": "sqlite:///another.db"}  # what was set for something else does not count
    with (project / "ui.log").open("wb") as log:
        command = [str(LUS), "ui", "--port", str(port)]
        server = subprocess.Popen(command, cwd=project, env=secret, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/health", server, seconds=180)
            whole = psutil.Process(server.pid)
            shown = [" ".join(one.cmdline()) for one in (whole, *whole.children(recursive=True))]
            asked = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=lus"
            with urllib.request.urlopen(asked, timeout=60) as answer:
                assert answer.status == 200
        finally:
            end(server)
    assert len(shown) > 1
    assert not [one for one in shown if "secret" in one]


def test_a_bento_that_is_gone_is_named_with_what_to_do(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(project / "bentos"))
    (project / "build").mkdir()
    (project / "build/package.json").write_text('{"bento": "lus-classifier:v1-00000000"}')
    done = _lus("serve", cwd=project)
    assert done.returncode == 2
    assert (
        "lus-classifier:v1-00000000 is not in this machine's Bento store; `lus package` builds it again" in done.stderr
    )


def test_nothing_registered_yet_is_said_with_what_to_do(project: Path) -> None:
    done = _lus("promote", cwd=project)
    assert done.returncode == 2
    assert "`dvc repro register` registers a challenger" in done.stderr


def test_serving_before_packaging_says_what_to_do(project: Path) -> None:
    done = _lus("serve", cwd=project)
    assert done.returncode == 2
    assert done.stderr == "lus: build/package.json: not found; `dvc repro` builds the Bento first\n"


@pytest.mark.parametrize("module", sorted((ROOT / "src/lus").rglob("*.py")), ids=lambda path: path.stem)
def test_importing_a_module_has_no_effect_and_loads_nothing_heavy(module: Path, tmp_path: Path) -> None:
    name = ".".join(module.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    allowed = {"bentoml"} if name == "lus.service.app" else set()
    heavy = {
        "tensorflow",
        "keras",
        "mlflow",
        "great_expectations",
        "sklearn",
        "matplotlib",
        "optuna",
        "bentoml",
    } - allowed
    code = f"import sys, {name}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_telemetry_is_off_for_every_library() -> None:
    from lus.cli.main import ENVIRONMENT

    makefile = (ROOT / "Makefile").read_text()
    for name in ("MLFLOW_DISABLE_TELEMETRY", "BENTOML_DO_NOT_TRACK", "DO_NOT_TRACK"):
        assert ENVIRONMENT[name].lower() in {"true", "1"}
        assert f"export {name} := {ENVIRONMENT[name]}" in makefile
    # And for who activates the environment and calls `mlflow` or `bentoml` without this project's command.
    activate = Path(sys.prefix) / "bin/activate"
    shown = subprocess.run(
        ["bash", "-c", f'. "{activate}" && env'],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"MLFLOW_DISABLE_TELEMETRY=true", "BENTOML_DO_NOT_TRACK=True", "DO_NOT_TRACK=1"} <= set(shown.stdout.split())
    dvc = (ROOT / ".dvc/config").read_text()
    assert "analytics = false" in dvc
    assert "check_update = false" in dvc
