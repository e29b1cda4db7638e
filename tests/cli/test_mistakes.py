"""What a user does by mistake, and the one sentence that it is answered with."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lus.common import params_file
from lus.common.errors import BadInput
from lus.evaluation import files
from lus.stages import evaluate, register
from lus.tracking import client
from tests.conftest import draw_frames, make_cohort, write_video
from tests.servers import answering, free_port

LUS = Path(sys.executable).with_name("lus")


def _refused(*arguments: str, cwd: Path, **settings: str) -> str:
    """What `lus` says of a mistake: one line, with exit status 2."""
    environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"} | settings
    done = subprocess.run(
        [LUS, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("lus: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("lus: ").rstrip("\n")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of loopback that something else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_clip_that_is_not_there_is_said_before_a_model_is_loaded(project: Path) -> None:
    assert _refused("classify", "nothing.mp4", cwd=project) == (
        "nothing.mp4: no such file; name video or DICOM files, or folders of them"
    )


def test_a_clip_of_each_label_is_too_few_to_train_on(project: Path) -> None:
    make_cohort(project / "mine", ["a", "b", "c"], patients=1, clips=1)
    assert _refused("cohort", "mine", cwd=project) == (
        "mine: patients of each label: a 1, b 1, c 1, at least 5 are expected, so that each fold is tested on patients "
        "of its own; add patients, or have a version that was made from other clips answer these: `lus classify`"
    )


def test_a_few_patients_of_each_label_are_told_the_folds_that_they_are_enough_for(project: Path) -> None:
    make_cohort(project / "mine", ["a", "b"], patients=4, clips=1)
    said = _refused("cohort", "mine", cwd=project)
    assert "set cohort.min_patients and folds.outer to 4 and folds.inner to 3 in params.yaml" in said


def test_clips_without_labels_are_told_where_labels_come_from(project: Path) -> None:
    for name in ("a.avi", "b.avi"):
        write_video(project / "mine" / name, draw_frames(24, 120, 104, 0))
    assert _refused("cohort", "mine", cwd=project) == (
        "mine: the 2 clips in it have no label; to train on them put each into a folder that is named for its label, "
        "better mine/LABEL/PATIENT, or list them in a clips.csv (path, label, patient); `lus classify` answers clips "
        "without labels"
    )


def test_registering_before_evaluating_says_what_to_do(project: Path) -> None:
    said = _refused("register", cwd=project)
    lacking = "metrics.json, choice.json, audit.json, record.json, predictions.csv"
    assert said == f"build/evaluation: has no {lacking}; `dvc repro evaluate` makes it"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("min_side: 100", "min_sid: 100", "limits.min_side is missing; limits.min_sid is no parameter"),
        ("outer: 5", "outer: five", "folds.outer is 'five', expected is a valid integer"),
        ("weights: random", "weights: imagnet", "features.weights: 'imagnet' found, `imagenet`, `random`, `own` or"),
    ],
)
def test_a_slip_in_the_parameters_is_named_with_its_key(project: Path, before: str, after: str, said: str) -> None:
    file = project / "params.yaml"
    file.write_text(file.read_text().replace(f"  {before}", f"  {after}"))
    with pytest.raises(BadInput) as refused:
        params_file.load_params(file)
    assert str(refused.value).startswith(f"{file}: {said}")
    assert str(refused.value).endswith("; see docs/parameters.md")


def test_parameters_that_are_no_text_or_empty_are_said_in_a_sentence(project: Path) -> None:
    file = project / "params.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"is no text in UTF-8; mend the file, or `git checkout params\.yaml`"):
        params_file.load_params(file)
    file.write_text("")
    with pytest.raises(BadInput, match="no sections were found in it"):
        params_file.load_params(file)


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_does_not_answer_is_said_at_once_and_its_password_is_not(project: Path, scheme: str) -> None:
    uri = f"{scheme}://someone:secret@127.0.0.1:{free_port()}/here"
    started = time.monotonic()
    said = _refused("models", cwd=project, MLFLOW_TRACKING_URI=uri)
    assert time.monotonic() - started < 30
    assert said == (
        f"MLflow at {uri.replace('someone:secret@', '')} does not answer (Connection refused); start it, or mend or "
        "unset MLFLOW_TRACKING_URI"
    )


def test_a_proxy_whose_server_is_gone_is_said_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(502) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(BadInput, match="answers 502; start it"):
            client.connect()


def test_a_database_whose_password_holds_what_addresses_are_cut_at_is_asked(taken: int) -> None:
    assert client.find_fault(f"postgresql://someone:se/c?r:et@127.0.0.1:{taken}/here", 1) == ""
    said = client.find_fault(f"postgresql://someone:se/c?r:et@127.0.0.1:{free_port()}/here", 1)
    assert said == "does not answer (Connection refused)"


def test_where_the_pages_of_a_server_are_is_said_without_its_password(project: Path) -> None:
    said = _refused("ui", cwd=project, MLFLOW_TRACKING_URI="https://someone:secret@mlflow.example.org/here")
    assert said == "MLFLOW_TRACKING_URI names a server; open https://mlflow.example.org/here in a browser"


@pytest.mark.parametrize("stage", ["evaluate", "register"])
def test_a_stage_that_ends_in_mlflow_asks_for_it_before_it_works(
    stage: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    loaded, build = params_file.load_params(), project / "build"
    (build / "evaluation").mkdir(parents=True)
    for name in files.IDENTIFYING:
        (build / "evaluation" / name).write_text("{}")
    run = {
        "evaluate": lambda: evaluate.run(build, ["x-20"], build / "evaluation", loaded.evaluate, loaded.folds),
        "register": lambda: register.run(build, build / "register.json", loaded.register_),
    }
    with pytest.raises(BadInput, match="does not answer"):
        run[stage]()
    # And what an earlier day has left is still there.
    assert (build / "evaluation" / files.METRICS_FILE).is_file()


def test_an_address_of_no_kind_that_is_known_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://someone:secret@here")
    with pytest.raises(BadInput, match="MLflow at nonsense://here cannot be used"):
        client.connect()


def test_a_port_that_is_taken_is_said_before_a_server_starts(project: Path, taken: int) -> None:
    assert _refused("ui", "--port", str(taken), cwd=project) == (
        f"127.0.0.1, port {taken}: Address already in use; name another with --port"
    )
