"""The whole road in a copy of the project: clips to a served answer, through the commands that a user types."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT, draw_frames, make_cohort, write_video
from tests.servers import end, free_port, listening, wait_until_ready

pytestmark = pytest.mark.slow

SMALL = {
    "simulate": {"patients": 4, "clips": 1, "frames": 24},
    "frames": {"side": 71},
    "features": {"weights": "random", "seen": 71, "engine": "keras"},
    "search": {
        "trials": 2,
        "epochs": 2,
        "units": [8],
        "dense": [8],
        "max_dense_layers": 1,
    },
    "folds": {"outer": 2, "inner": 2},
    "evaluate": {"bootstrap": 200},
    "cohort": {"min_patients": 2},
}
"""Changes to the parameters under which the pipeline takes a minute."""


REAL = {name: values for name, values in SMALL.items() if name not in ("frames", "features")}
REAL |= {"package": {"engine": "openvino-f32"}}
"""The same with frames, CNN, weights and engine as they are by default; trying every engine would take minutes."""


class Project:
    """A copy of the project's tracked files, with parameters of its own, as a user's clone."""

    def __init__(self, folder: Path, changes: dict[str, dict[str, object]]) -> None:
        self.folder = folder
        listed = self._run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], ROOT).stdout.splitlines()
        for name in listed:
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        for section, values in changes.items():
            params[section] |= values
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        self.run("git", "init", "--quiet")
        self.run("git", "add", "--all")
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        self.run("git", *identity, "commit", "--quiet", "--message", "as cloned")

    def _run(self, command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=cwd, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    @property
    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "OPTUNA_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return own | {"PATH": path, "BENTOML_HOME": str(self.folder / "bentoml"), "NO_COLOR": "1", "COLUMNS": "200"}

    def run(self, *command: str) -> str:
        """Run a command in the copy; it must succeed."""
        return self._run(list(command), self.folder).stdout

    def json(self, name: str) -> dict[str, object]:
        """A JSON file of the copy."""
        return dict(json.loads((self.folder / name).read_text()))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The phantom, rebuilt from nothing."""
    project = Project(tmp_path_factory.mktemp("project"), SMALL)
    project.run("dvc", "repro")
    return project


def test_repro_ends_with_a_registered_model_and_a_bento(built: Project) -> None:
    registered, packaged = built.json("build/register.json"), built.json("build/package.json")
    assert (registered["name"], registered["version"]) == ("lus-classifier", "1")
    assert (packaged["version"], packaged["alias"]) == ("1", "challenger")
    assert str(packaged["bento"]) in built.run("bentoml", "list")
    summary = built.json("build/evaluation/metrics.json")
    assert summary["clips"] == 12
    assert summary["patients"] == 12


def test_the_tracking_store_shows_the_search_with_its_nested_trials(built: Project) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{built.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lus")
    runs = client.search_runs([experiment.experiment_id])
    kinds = [run.data.tags["lus.kind"] for run in runs]
    # Two outer folds and the whole cohort, two trials each.
    assert sorted(kinds) == ["evaluation"] + ["search"] * 3 + ["trial"] * 6
    parents = {run.info.run_id: run for run in runs if run.data.tags["lus.kind"] == "search"}
    trials = [run for run in runs if run.data.tags["lus.kind"] == "trial"]
    nested = Counter(run.data.tags["mlflow.parentRunId"] for run in trials)
    assert nested == dict.fromkeys(parents, 2)
    assert {run.info.status for run in runs} == {"FINISHED"}
    lock = yaml.safe_load((built.folder / "dvc.lock").read_text())
    (cohort,) = [out for out in lock["stages"]["cohort"]["outs"] if out["path"] == "build/cohort.csv"]
    assert {run.data.tags["lus.cohort"] for run in trials} == {f"md5:{cohort['md5']}"}
    version = client.get_model_version_by_alias("lus-classifier", "challenger")
    commit = built.run("git", "rev-parse", "HEAD").strip()
    assert {version.tags["git_commit"]} == {run.data.tags["lus.git_commit"] for run in parents.values()} == {commit}


def test_a_second_repro_does_nothing(built: Project) -> None:
    started = time.monotonic()
    printed = built.run("dvc", "repro")
    assert "Data and pipelines are up to date." in printed
    assert time.monotonic() - started < 10


def test_importing_the_code_makes_no_stage_run_again(built: Project) -> None:
    code = "import compileall; assert compileall.compile_dir('src', quiet=1)"
    built.run(sys.executable, "-c", code)
    assert any((built.folder / "src").rglob("__pycache__"))
    assert "Data and pipelines are up to date." in built.run("dvc", "repro")


def test_a_change_of_the_head_rebuilds_neither_frames_nor_features(built: Project) -> None:
    params = built.folder / "params.yaml"
    before = params.read_text()
    changed = yaml.safe_load(before)
    changed["search"]["seed"] += 1
    try:
        params.write_text(yaml.safe_dump(changed, sort_keys=False))
        would_run = built.run("dvc", "repro", "--dry")
    finally:
        params.write_text(before)
    assert "Running stage 'search@xception-20'" in would_run
    for stage in ("simulate", "cohort", "frames", "features@xception-20"):
        assert f"Stage '{stage}' didn't change" in would_run


def test_the_same_parameters_give_the_same_results_in_another_place(
    built: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Project(tmp_path_factory.mktemp("again"), SMALL)
    other.run("dvc", "repro", "evaluate")
    files = [
        "build/cohort.csv",
        "build/features/xception-20/features.npy",
        "build/features/xception-20/cnn.weights.h5",
        "build/search/xception-20/trials.json",
        "build/evaluation/metrics.json",
        "build/evaluation/choice.json",
        "build/evaluation/predictions.csv",
    ]
    for name in files:
        assert (built.folder / name).read_bytes() == (other.folder / name).read_bytes(), name


@contextmanager
def _server(project: Project, verb: str, path: str) -> Iterator[str]:
    """Run `lus <verb>` until it answers at `path`; gives its address, and ends it."""
    port = free_port()
    with (project.folder / f"{verb}.log").open("wb") as log:
        server = subprocess.Popen(
            ["lus", verb, "--port", str(port)],
            executable=shutil.which("lus", path=project.environment["PATH"]),
            cwd=project.folder,
            env=project.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_until_ready(f"http://127.0.0.1:{port}{path}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            end(server)


@pytest.fixture(scope="module")
def served(built: Project) -> Iterator[str]:
    """The address of the running service."""
    with _server(built, "serve", "/readyz") as address:
        yield address


def test_the_pages_show_the_nested_trials_and_the_registered_version(built: Project) -> None:
    with _server(built, "ui", "/health") as address:
        assert "<title>MLflow</title>" in httpx.get(address, timeout=30).text
        api = f"{address}/api/2.0/mlflow"
        named = httpx.get(f"{api}/experiments/get-by-name", params={"experiment_name": "lus"}, timeout=30).json()
        body = {"experiment_ids": [named["experiment"]["experiment_id"]], "filter": "tags.`lus.kind` = 'trial'"}
        runs = httpx.post(f"{api}/runs/search", json=body, timeout=30).json()["runs"]
        parents = {tag["value"] for run in runs for tag in run["data"]["tags"] if tag["key"] == "mlflow.parentRunId"}
        assert (len(runs), len(parents)) == (6, 3)
        version = httpx.get(f"{api}/model-versions/get", params={"name": "lus-classifier", "version": "1"}, timeout=30)
        assert version.json()["model_version"]["aliases"] == ["challenger"]


def _send(address: str, path: Path) -> tuple[int, str, dict[str, object]]:
    """Status, content type and body of the answer to a clip."""
    response = httpx.post(f"{address}/classify", files={"clip": (path.name, path.read_bytes())}, timeout=60)
    return response.status_code, response.headers["content-type"], response.json()


def _a_clip(project: Project) -> Path:
    return next(path for path in sorted((project.folder / "phantom").iterdir()) if path.suffix != ".csv")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_readmes_curl_command_is_answered(built: Project, served: str) -> None:
    command = ["curl", "--silent", "--fail", "-F", f'clip=@"{_a_clip(built)}"', f"{served}/classify"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (answer["model"]["name"], answer["model"]["version"]) == ("lus-classifier", "1")


def test_the_service_answers_a_clip_as_the_command_line_does(built: Project, served: str) -> None:
    clip = _a_clip(built)
    status, _, answer = _send(served, clip)
    assert status == 200
    assert (answer["model"]["name"], answer["model"]["version"]) == ("lus-classifier", "1")
    probabilities = dict(answer["probabilities"])
    assert answer["label"] == max(probabilities, key=probabilities.__getitem__)
    assert set(probabilities) == {"covid-19", "healthy", "pneumonia"}
    table = built.run("lus", "classify", str(clip))
    assert "lus-classifier version 1 (challenger)" in table
    (same,) = json.loads(built.run("lus", "classify", "--json", str(clip)))
    assert probabilities == pytest.approx(same["answer"]["probabilities"], abs=1e-3)
    for value in same["answer"]["probabilities"].values():
        assert f"{value:.3f}" in table


def test_the_service_refuses_what_is_no_clip_with_a_problem_body(served: str) -> None:
    status, content_type, problem = _send(served, ROOT / "params.yaml")
    assert (status, content_type) == (422, "application/problem+json")
    assert problem["title"] == "Unprocessable Entity"
    assert problem["detail"] == (
        "the clip: nothing that can be decoded (Invalid data found when processing input), a video file is expected; "
        "convert it, for example to .mp4"
    )
    assert problem["findings"][0]["check"] == "decode"


def test_the_service_holds_a_clip_to_the_pipelines_limits(served: str, tmp_path: Path) -> None:
    still = write_video(tmp_path / "still.avi", np.repeat(draw_frames(1, 120, 104, 5), 24, axis=0))
    status, content_type, problem = _send(served, still)
    assert (status, content_type) == (422, "application/problem+json")
    assert "the clip: the share of identical neighbouring frames is 1, at most 0.5" in str(problem["detail"])
    assert [one["check"] for one in problem["findings"]] == ["still_share", "extent", "coverage"]
    short = write_video(tmp_path / "short.avi", draw_frames(9, 120, 104, 5))
    assert _send(served, short)[2]["detail"] == (
        "the clip: the number of frames is 9, at least 20 is expected; record a longer clip"
    )


def test_an_address_in_the_place_of_a_file_is_refused_and_not_fetched(served: str) -> None:
    fetched = []

    class Bait(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_response(200)
            self.end_headers()

    with listening(Bait) as bait:
        address = f"{bait}/clip.mp4"
        # As a text part of a multipart form, and as JSON.
        for body in ({"files": {"clip": (None, address)}}, {"json": {"clip": address}}):
            assert httpx.post(f"{served}/classify", timeout=60, **body).status_code >= 400
    assert fetched == []


def test_the_service_goes_on_after_a_refusal_and_says_where_its_model_comes_from(built: Project, served: str) -> None:
    clip = _a_clip(built)
    assert _send(served, ROOT / "Makefile")[0] == 422
    assert _send(served, clip)[0] == 200
    facts = httpx.get(f"{served}/model", timeout=30).json()
    assert facts["made_from"]["git_commit"] == built.run("git", "rev-parse", "HEAD").strip()


def test_promotion_changes_what_the_next_package_holds(built: Project) -> None:
    assert "version 1 is the champion" in built.run("lus", "promote")
    built.run("lus", "package")
    assert built.json("build/package.json")["alias"] == "champion"


def test_a_version_is_rebuilt_from_its_lineage_to_the_same_figures(built: Project) -> None:
    printed = built.run("lus", "reproduce", "1")
    exact, total = re.findall(r"(\d+) of (\d+) figures are exactly those stored", printed)[0]
    assert exact == total
    assert int(total) > 10


@pytest.mark.network
@pytest.mark.timeout(1800)
def test_the_default_weights_and_engine_run_to_a_bento(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", REAL)
    command = ["lus", "weights", "fetch"]
    fetched = subprocess.run(
        command, cwd=project.folder, env=project.environment, capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        assert "could not be had" in fetched.stderr
        assert "another hash" not in fetched.stderr
        pytest.skip(f"needs a package index: {fetched.stderr}")
    project.run("dvc", "repro")
    made = project.json("build/features/xception-20/info.json")
    assert made["weights"] == "imagenet"
    assert str(made["engine"]).startswith("openvino-")
    assert made["weights_from"]
    assert str(project.json("build/package.json")["bento"]) in project.run("bentoml", "list")


TRAINED = {
    "features": {"backbones": ["pocovidnet"], "seen": 32, "engine": "keras"},
    "pretrain": {"start": "random", "epochs": 1, "layers": 5},
}
"""Changes under which the CNN is trained on the frames of each fold's training patients."""


@pytest.mark.parametrize(("labels", "changes"), [(["normal", "sick [severe]"], {}), (["a", "b", "c", "d"], TRAINED)])
def test_a_users_own_folder_runs_to_a_bento_whatever_its_labels(
    labels: list[str], changes: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    folder = make_cohort(tmp_path / "my clips", labels, patients=4, clips=1)
    project = Project(tmp_path / "project", SMALL | changes)
    project.run("lus", "use", str(folder))
    project.run("dvc", "repro", "package")
    assert project.json("build/evaluation/choice.json")["labels"] == labels
    assert project.json("build/package.json")["version"] == "1"
    table = project.run("lus", "classify", str(next(folder.rglob("*.avi")).parent))
    assert all(label in table for label in labels)
    assert not (project.folder / "phantom").exists()


@pytest.mark.real
def test_the_real_clips_run_through_the_same_pipeline(upstream: Path, tmp_path: Path) -> None:
    small = SMALL | {
        "search": SMALL["search"] | {"units": [32], "dense": [64], "epochs": 10},
        "folds": {"outer": 5, "inner": 4},
    }
    project = Project(tmp_path / "project", small)
    folder = upstream / "jannisborn/covid19_ultrasound/data"
    project.run("lus", "use", str(folder))
    project.run("dvc", "repro", "package")
    summary = project.json("build/evaluation/metrics.json")
    assert (summary["clips"], summary["patients"]) == (117, 71)
    table = pd.read_csv(project.folder / "build/evaluation/predictions.csv")
    assert len(table) == 117
    quarantine = pd.read_csv(project.folder / "build/checks/quarantine.csv")
    assert {Path(path).name for path in quarantine["path"]} == {"Cov-Atlas-+(43).gif", "pneu-radiopaeda.mp4"}
    clip = folder / "pocus_videos/convex/Cov-Atlas+(44).gif"
    assert re.search(r"Cov-Atlas\+\(44\)\.gif.*(covid-19|healthy|pneumonia)", project.run("lus", "classify", str(clip)))


def test_the_rebuilt_phantom_passes_the_audit_and_what_was_not_looked_at_is_said(built: Project) -> None:
    found = json.loads(built.run("lus", "audit", "--json"))
    assert {"protocol", "clips", "patients", "content", "near-duplicates", "labels"} <= set(found["passed"])
    assert all(one["level"] != "leak" for one in found["findings"])
    assert "nothing found by: protocol" in built.run("lus", "audit")
