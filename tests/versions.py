"""Registered versions made on the spot: a tiny model and the files of an evaluation, without a pipeline behind them."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lus.common import params_file
from lus.heads.model import HeadParams, build_head
from lus.inference import keras_model
from lus.inference.metadata import ModelMetadata
from lus.registry import models
from lus.tracking import client, runs
from lus.tracking.lineage import collect_lineage
from tests.conftest import ROOT, draw_frames

NAME = "lus-classifier"
LENGTH, SIZE, LABELS = 2, 32, ("normal", "sick")
LEAK = {"check": "patients", "level": "leak", "sentence": "3 patients are on both sides.", "evidence": {}}


def backbone() -> Any:
    """Frames (n, SIZE, SIZE, 3) uint8 -> features (n, 8): a small CNN."""
    import keras

    layers = keras.layers
    frames = keras.Input((SIZE, SIZE, 3), dtype="uint8", name="frames")
    taken = keras.Input((SIZE, SIZE, 3))
    maps = layers.Conv2D(8, 3, strides=4, activation="relu")(taken)
    cnn = keras.Model(taken, layers.GlobalAveragePooling2D()(maps), name="xception")
    scaled = layers.Rescaling(1 / 127.5, -1, name="preprocess")(frames)
    return keras.Model(frames, cnn(scaled), name="xception_backbone")


@functools.cache
def model(labels: int = len(LABELS), seed: int = 0) -> Any:
    """Frames (n, LENGTH, SIZE, SIZE, 3) uint8 -> probabilities (n, labels): a small CNN as backbone, and a head."""
    import keras

    keras.utils.set_random_seed(seed)
    cnn = backbone()
    head = build_head(HeadParams(units=4, dense=(8,)), LENGTH, 8, labels, np.zeros(8), np.full(8, 0.01))
    return keras_model.assemble(cnn, head, LENGTH)


def predictions(wrong: int, patients: int = 40, labels: tuple[str, ...] = LABELS, first: int = 0) -> pd.DataFrame:
    """One clip a patient, the first `wrong` of which are called by another label."""
    rows = []
    for number in range(patients):
        label = labels[number % len(labels)]
        predicted = labels[(number + (number < wrong)) % len(labels)]
        rows.append(
            {
                "clip_id": f"{first + number:064x}",
                "path": f"clips/{number}.avi",
                "patient": f"p{number}",
                "group": f"p{number}",
                "label": label,
                "predicted": predicted,
                "fold": number % 2,
            }
            | {f"p_{one}": float(one == predicted) for one in labels}
        )
    return pd.DataFrame(rows)


def write_evaluation(
    folder: Path, table: pd.DataFrame, findings: list[dict[str, Any]], protocol: str = "nested-patient"
) -> Path:
    """The files that the stage `evaluate` leaves behind."""
    right = table["label"] == table["predicted"]
    bounds = {"low": float(right.mean()) - 0.1, "high": min(1.0, float(right.mean()) + 0.1)}
    each = {f"sensitivity.{label}": float(right[table["label"] == label].mean()) for label in LABELS}
    figures = {"accuracy": float(right.mean()), "balanced_accuracy": float(right.mean())} | each
    leaking = any(one["level"] == "leak" for one in findings)
    metrics = {"protocol": protocol, "leaking": leaking, "why": "", "clips": len(table)} | figures
    metrics |= {"patients": table["patient"].nunique(), "interval": dict.fromkeys(figures, bounds)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "audit.json").write_text(
        json.dumps({"leaking": leaking, "findings": findings, "passed": ["patients"], "unknown": []})
    )
    table.to_csv(folder / "predictions.csv", index=False)
    return folder


def add(
    wrong: int = 10,
    findings: list[dict[str, Any]] | None = None,
    table: pd.DataFrame | None = None,
    evaluated: bool = True,
    seed: int = 0,
    clips: Path | None = None,
) -> str:
    """Register a version that is wrong on so many of 60 patients, as the stage `register` does; returns its number.

    `clips` is the table of the clips that it was trained on, kept with it.
    """
    import mlflow

    limits = params_file.load_params(ROOT / "params.yaml").limits
    metadata = ModelMetadata(LABELS, LENGTH, SIZE, limits, f"xception-{LENGTH}", collect_lineage({}))
    frames = np.stack([draw_frames(LENGTH, SIZE, SIZE, one) for one in range(2)])
    tags = {"protocol": "nested-patient", "clips_sha256": "c" * 64} | metadata.lineage
    client.connect()
    with tempfile.TemporaryDirectory() as scratch, mlflow.start_run(tags=runs.prefix_tags({"kind": "evaluation"})):
        if evaluated:
            written = predictions(wrong, patients=60) if table is None else table
            folder = write_evaluation(Path(scratch), written, findings or [])
            mlflow.log_artifacts(str(folder), "evaluation")
        version = models.register(
            NAME,
            model(seed=seed),
            metadata,
            tags,
            frames,
            files=[one for one in (Path("params.yaml"), Path("dvc.lock"), clips) if one and one.is_file()],
            description="# Model card",
        )
    return str(version.version)
