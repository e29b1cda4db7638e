"""Fixtures: tiny clips and cohorts made on the spot, and the public clips where this machine has them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

ROOT = Path(__file__).parent.parent
CODECS = {".avi": "MJPG", ".mp4": "mp4v", ".webm": "VP80"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest comes first, so that it is not what a run of several processes ends with."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


def draw_frames(count: int, width: int, height: int, seed: int, stripes: int = 0) -> np.ndarray:
    """Moving grey speckle, with `stripes` bright lines that tell labels apart: (count, height, width, 3)."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 140, (height, width + count), dtype=np.uint8)
    frames = np.stack([texture[:, shift : shift + width] for shift in range(count)])
    for stripe in range(stripes):
        row = (stripe + 1) * height // (stripes + 1)
        frames[:, row : row + 4] = 230
    return np.repeat(frames[..., None], 3, axis=-1)


def write_video(path: Path, frames: np.ndarray, fps: float = 20.0) -> Path:
    """Write frames (count, height, width, 3) as a video whose container follows from the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(os.fspath(path), cv2.CAP_FFMPEG, codec, fps, (width, height))
    assert writer.isOpened(), path
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """Make a clip in the test's folder: make_clip(name, count=24, width=120, height=104, seed=0, stripes=0)."""

    def make(name: str, count: int = 24, width: int = 120, height: int = 104, seed: int = 0, stripes: int = 0) -> Path:
        return write_video(tmp_path / name, draw_frames(count, width, height, seed, stripes))

    return make


def make_cohort(folder: Path, labels: list[str], patients: int = 5, clips: int = 2) -> Path:
    """A folder per label, a folder per patient in it, and clips that the number of bright lines tells apart."""
    for number, label in enumerate(labels):
        for patient in range(patients):
            for clip in range(clips):
                seed = (number * 100 + patient) * 100 + clip
                name = folder / label / f"patient{number}{patient}" / f"clip{clip}.avi"
                write_video(name, draw_frames(22 + clip, 120, 104, seed, stripes=2 * number))
    return folder


@pytest.fixture
def upstream() -> Path:
    """Mirrors of the public repositories by owner/name, as the variable LUS_UPSTREAM names them."""
    folder = Path(os.environ.get("LUS_UPSTREAM", ""))
    if not os.environ.get("LUS_UPSTREAM") or not (folder / "jannisborn/covid19_ultrasound/data").is_dir():
        pytest.skip("needs the public clips: set LUS_UPSTREAM to a folder that mirrors the repositories by owner/name")
    return folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: making its tables takes seconds, copying it none."""
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import create_engine

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    _initialize_tables(create_engine(f"sqlite:///{path}"))
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """An empty project folder as the working directory; the parameters are this project's, but for random weights."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    text = (ROOT / "params.yaml").read_text()
    assert text.count("\n  weights: imagenet ") == 1
    (tmp_path / "params.yaml").write_text(text.replace("\n  weights: imagenet ", "\n  weights: random "))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    return tmp_path


@pytest.fixture
def searched(project: Path) -> Path:
    """The folder of a project's results, with a feature set and its search."""
    from tests.small_runs import feature_set, run_search  # MLflow with it

    build = project / "build"
    feature_set(build)
    run_search(build)
    return build
