"""A feature set made on the spot, in which the label is plain to see, and searches in it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run

from lus.clips import cohort, frameset
from lus.common import hashing, params, params_file
from lus.features import backbones, featureset
from lus.features.featureset import Info
from lus.search import trials, trials_file
from lus.stages import search
from tests.conftest import ROOT
from tests.feature_files import write_features

SIZE, LENGTH = 71, 4
NAMES = [f"xception-{LENGTH}"]
ALL = params_file.load_params(ROOT / "params.yaml")
SEARCH = ALL.search.model_copy(
    update={
        "trials": 2,
        "epochs": 3,
        "units": (4, 8),
        "dense": (4, 8),
        "max_dense_layers": 2,
        "batch": (8,),
        "learning_rate": (0.01, 0.02),
    }
)
CUT = params.Folds(seed=11, outer=2, inner=2)
EVALUATE = ALL.evaluate.model_copy(update={"bootstrap": 200})


def made_clips(count: int) -> pd.DataFrame:
    rows = [
        {
            "clip_id": f"{number:064x}",
            "path": f"clips/{number}.avi",
            "label": ("normal", "sick")[number % 2],
            "patient": f"p{number // 4}-{number % 2}",
            "frames": 30,
            "fps": 20.0,
            "width": 120,
            "height": 104,
        }
        for number in range(count)
    ]
    return pd.DataFrame(rows, columns=list(cohort.COLUMNS)).fillna("unknown")


@functools.cache
def _weights() -> bytes:
    """A weights file of the backbone, written once for all tests."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "cnn.weights.h5"
        backbones.get_cnn(backbones.build("xception", SIZE, "random", seed=1)).save_weights(path)
        return path.read_bytes()


def feature_set(build: Path, name: str = "xception", seed: int = 0) -> Path:
    """A feature set in which the label is plain to see, and the frame set it belongs to."""
    clips = made_clips(36)
    folder = build / "features" / f"{name}-{LENGTH}"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (36, LENGTH, 2048)).astype(np.float32)
    features[clips["label"] == "sick", :, :512] += 2
    weights = folder / featureset.WEIGHTS_FILE
    weights.write_bytes(_weights())
    info = Info(name, LENGTH, 2048, SIZE, SIZE, "random", hashing.sha256(weights))
    write_features(folder, features, clips, info)
    (build / "frames").mkdir(exist_ok=True)
    sampled = frameset.FrameSet(build / "frames", clips, (LENGTH,), SIZE, ALL.limits)
    frameset.write(sampled)
    (build / "frames" / "frames").mkdir(exist_ok=True)
    for clip_id in clips["clip_id"]:
        np.save(frameset.frames_file(sampled.folder, clip_id), np.zeros((LENGTH, SIZE, SIZE, 3), np.uint8))
    return folder


def run_search(build: Path, name: str = f"xception-{LENGTH}", params_: params.Search = SEARCH) -> trials.Trials:
    out = build / "search" / name
    search.run(build / "features" / name, out, params_, CUT)
    return trials_file.read(out)


def runs_with(**tags: str) -> list[Run]:
    """The runs with these tags of this project."""
    runs = mlflow.search_runs(experiment_names=["lus"], output_format="list")
    return [run for run in runs if all(run.data.tags.get(f"lus.{name}") == value for name, value in tags.items())]
