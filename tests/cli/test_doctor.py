from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lus.cli import doctor, doctor_tables
from lus.cli.doctor import CheckResult, Place
from lus.common import params_file
from tests.conftest import ROOT, make_cohort
from tests.servers import answering, free_port, postgres


def _lus(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lus"), "doctor", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def _only(results: list[CheckResult]) -> CheckResult:
    (result,) = results
    return result


def test_this_clone_has_what_it_needs() -> None:
    states = {one.name: one.state for one in doctor.run_checks(Place(ROOT, {}))}
    assert "missing" not in {states[name] for name in ("Python", "git", "DVC", "params.yaml", "MLflow", "Optuna")}


def test_a_folder_that_is_no_project_lacks_clone_stages_and_parameters(tmp_path: Path) -> None:
    done = _lus(tmp_path, "--json")
    assert done.returncode == 2
    said = json.loads(done.stdout)
    assert said["ready"] is False
    missing = {one["name"]: one for one in said["checks"] if one["state"] == "missing"}
    assert set(missing) == {"git", "DVC", "params.yaml"}
    assert all(one["advice"] for one in missing.values())
    assert done.stderr == "lus: needed and missing: git, DVC, params.yaml; each has what to do beside it\n"
    assert list(tmp_path.iterdir()) == []


def test_the_table_fits_a_terminal_of_eighty_columns_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = _lus(tmp_path)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "run this in the" in done.stdout


def test_a_port_that_is_taken_is_noted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taker:
        taken = _only(doctor.check_port(taker.getsockname()[1], "lus ui"))
    assert (taken.state, taken.found, taken.advice) == ("note", "taken", "lus ui --port names another")
    assert _only(doctor.check_port(free_port(), "lus ui")).state == "ok"


def test_a_tracking_server_must_answer() -> None:
    with answering(200) as uri:
        assert _only(doctor.check_mlflow(Place(environment={"MLFLOW_TRACKING_URI": f"{uri}/"}))).state == "ok"
    with answering(503) as uri:
        ill = _only(doctor.check_mlflow(Place(environment={"MLFLOW_TRACKING_URI": uri})))
    assert ill.state == "missing"
    assert ill.found.endswith(" answers 503")
    gone = _only(
        doctor.check_mlflow(Place(environment={"MLFLOW_TRACKING_URI": f"http://me:secret@127.0.0.1:{free_port()}"}))
    )
    assert gone.state == "missing"
    assert "does not answer" in gone.found
    assert "secret" not in gone.found
    assert _only(doctor.check_mlflow(Place(environment={"MLFLOW_TRACKING_URI": "http://a:b"}))).state == "missing"


def test_a_tracking_server_that_asks_for_a_password_is_there() -> None:
    with answering(401) as uri:
        assert _only(doctor.check_mlflow(Place(environment={"MLFLOW_TRACKING_URI": uri}))).state == "ok"


def test_a_tracking_server_is_asked_by_way_of_the_proxy_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering(200) as proxy:
        # What a proxy is asked for is the whole address, which this one does not know.
        monkeypatch.setenv("http_proxy", proxy.removesuffix("/base"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (
            _only(doctor.check_mlflow(Place(environment={"MLFLOW_TRACKING_URI": "http://mlflow.invalid"}))).state
            == "ok"
        )


def test_the_searches_database_must_answer_and_its_password_is_not_shown() -> None:
    place = f"127.0.0.1:{free_port()}/optuna"
    url = f"postgresql://me:secret@{place}"
    gone = _only(doctor.check_optuna(Place(environment={"OPTUNA_STORAGE": url})))
    assert gone.state == "missing"
    assert f"{place} cannot be used" in gone.found
    assert "secret" not in gone.found
    own = _only(doctor.check_optuna(Place(environment={"OPTUNA_STORAGE": "mysql://me:secret@host/x"})))
    assert own.found == "mysql of yours"
    odd = _only(
        doctor.check_optuna(Place(environment={"OPTUNA_STORAGE": "postgresql://me:se/cret@127.0.0.1:1/optuna"}))
    )
    assert odd.found.startswith("127.0.0.1:1/optuna cannot be used")


def test_a_database_that_answers_is_found() -> None:
    with postgres() as address:
        for url in (f"{address}/postgres", f"{address}/postgres".replace("postgresql:", "postgresql+psycopg:")):
            found = _only(doctor.check_optuna(Place(environment={"OPTUNA_STORAGE": url}))).found
            assert found == f"{address.rpartition('@')[2]}/postgres answers"
        nothing = _only(doctor.check_optuna(Place(environment={"OPTUNA_STORAGE": f"{address}/nothing"})))
    assert nothing.state == "missing"
    assert "does not exist" in nothing.found


@pytest.mark.parametrize(
    ("backbone", "file"),
    # As Keras names them in its cache.
    [
        ("xception", "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("resnet152v2", "resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("mobilenetv2", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        ("nasnetlarge", "nasnet_large_no_top.h5"),
        ("inceptionresnetv2", "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("efficientnetb0", "efficientnetb0_notop.h5"),
    ],
)
def test_weights_of_imagenet_are_looked_for_where_keras_keeps_them(backbone: str, file: str, project: Path) -> None:
    text = (project / "params.yaml").read_text().replace("backbones: [xception]", f"backbones: [{backbone}]")
    (project / "params.yaml").write_text(text)
    params_file.change_params({"features.weights": "imagenet"})
    place = Place(project, {"KERAS_HOME": str(project / "keras")})
    absent = _only(doctor.check_weights(place))
    assert absent.state == "note"
    assert "without a network" in absent.advice
    (project / "keras/models").mkdir(parents=True)
    (project / "keras/models" / file.replace("notop", "top").replace("no_top", "top")).touch()
    assert _only(doctor.check_weights(place)).state == "note"
    (project / "keras/models" / file).touch()
    assert _only(doctor.check_weights(place)).state == "ok"


def test_a_weight_file_that_is_not_there_is_missing(project: Path) -> None:
    params_file.change_params({"features.weights": "weights/own.h5"})
    assert _only(doctor.check_weights(Place(project, {}))).found == "no weights/own.h5"
    (project / "weights").mkdir()
    (project / "weights/own.h5").touch()
    assert _only(doctor.check_weights(Place(project, {}))).state == "ok"


def test_the_cohorts_folder_must_hold_clips_unless_the_pipeline_makes_it(project: Path) -> None:
    place = Place(project, {})
    assert _only(doctor.check_cohort(place)).state == "ok"
    params_file.change_params({"cohort.folder": "data"})
    assert _only(doctor.check_cohort(place)).advice == "make data fetches them"
    params_file.change_params({"cohort.folder": "own"})
    assert _only(doctor.check_cohort(place)).found == "no folder own"
    (project / "own").mkdir()
    (project / "own/notes.txt").touch()
    assert _only(doctor.check_cohort(place)).state == "missing"
    shutil.rmtree(project / "own")
    make_cohort(project / "own", ["a", "b"], patients=1, clips=1)
    assert _only(doctor.check_cohort(place)).found == "2 clips in own"


def test_a_docker_whose_daemon_does_not_answer_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {one.name: one for one in doctor.check_programs(Place())}["container"]
    assert (found.state, found.found) == ("note", "docker, whose daemon does not answer")
    assert found.advice == "start docker's daemon, or install podman"


def test_a_machine_that_has_all_is_told_so_and_the_table_fits_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    doctor_tables.print_results(
        [CheckResult("git", "ok", "commit 1234567", "a git clone"), CheckResult("GPU", "note", "x " * 60, "none")]
    )
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == "all that the project needs is here; a note concerns one job alone"
    assert all(len(line) <= 80 for line in shown)
    doctor_tables.print_results([CheckResult("git", "missing", "no git", "a git clone", "install git")])
    assert "all that the project needs" not in capsys.readouterr().out
