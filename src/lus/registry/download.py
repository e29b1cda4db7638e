"""What MLflow keeps of a version, downloaded: its model, its metadata, its files; loaded on Keras, or compiled."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lus.common.errors import BadInput
from lus.common.progress import Steps, no_progress
from lus.inference import engine_choice, keras_model
from lus.inference.classifier import Classifier
from lus.inference.compiled import ANSWER_FILE, EXAMPLE_FILE, MODEL_CARD, CompiledClassifier
from lus.inference.engine_choice import EngineChoice
from lus.inference.keras_model import MODEL_FILE
from lus.inference.metadata import METADATA_FILE, ModelMetadata
from lus.registry import models
from lus.tracking import client

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

EVALUATION = "evaluation"
"""The folder of a version's run with its evaluation's files."""


def _download_beside(version: ModelVersion, names: Sequence[str], folder: Path) -> None:
    """Download of what lies beside a registered model these files and folders, where they are, and not the model."""
    import mlflow

    model = f"models:/{version.name}/{version.version}"
    there = {one.path for one in mlflow.artifacts.list_artifacts(artifact_uri=model) or ()}
    for name in names:
        if name in there:
            mlflow.artifacts.download_artifacts(f"{model}/{name}", dst_path=str(folder))


def download_lineage(version: ModelVersion, folder: Path) -> Path:
    """Download the files that a version was made by; returns the folder that holds those there are."""
    _download_beside(version, [models.LINEAGE], folder)
    return folder / models.LINEAGE


def download_evaluation(version: ModelVersion, folder: Path) -> Path:
    """Download the files of the evaluation that a version comes from; returns the folder that holds those there are."""
    import mlflow

    there = client.connect().list_artifacts(version.run_id) if version.run_id else []
    if any(one.path == EVALUATION for one in there):
        mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=EVALUATION, dst_path=str(folder))
    return folder / EVALUATION


def _read_metadata(version: ModelVersion, model: Path) -> ModelMetadata:
    """A version's metadata, with its name, number, lineage id and run, from MLflow's file of its model.

    Raises:
        BadInput: there are none, or this code cannot read them.
    """
    from mlflow.models import Model

    stored = Model.load(str(model)).metadata or {}
    if models.METADATA_KEY not in stored:
        raise BadInput(f"{version.name} version {version.version} carries no metadata; register it with `lus register`")
    which = {"name": str(version.name), "version": str(version.version)}
    metadata = ModelMetadata.from_json(json.loads(stored[models.METADATA_KEY]) | which)
    own = {"id": models.lineage_id(version), "run": str(version.run_id or "")}
    return replace(metadata, lineage=metadata.lineage | own)


def require_readable(version: ModelVersion) -> None:
    """Refuse a version that this code cannot use; to be asked before an alias moves to it.

    Its metadata alone are downloaded.

    Raises:
        BadInput: it has none, or they are of a later schema, or not what their schema says.
    """
    import mlflow

    # MLflow's own `Model.load` of an address leaves a folder behind.
    with tempfile.TemporaryDirectory() as scratch:
        address = f"models:/{version.name}/{version.version}/MLmodel"
        _read_metadata(version, Path(mlflow.artifacts.download_artifacts(address, dst_path=scratch)))


def download_version(version: ModelVersion, folder: Path) -> ModelMetadata:
    """Download a version: the model and its metadata.

    Args:
        version: which one.
        folder: made if missing.

    Returns:
        The metadata, with name and version.

    Raises:
        BadInput: it has no metadata, or this code cannot read them.
    """
    import mlflow

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}", dst_path=scratch))
        metadata = _read_metadata(version, local)
        next(local.rglob("*.keras")).replace(folder / MODEL_FILE)
    (folder / METADATA_FILE).write_text(json.dumps(metadata.to_json(), indent=2) + "\n")
    return metadata


def load_classifier(version: ModelVersion, steps: Steps = no_progress) -> Classifier:
    """Download a version and load it as it was registered, on Keras; `steps` is told what is under way."""
    steps(f"loading version {version.version}")
    with tempfile.TemporaryDirectory() as scratch:
        metadata = download_version(version, Path(scratch))
        return Classifier(keras_model.load_reference(Path(scratch) / MODEL_FILE, metadata), metadata)


def compile_into(
    version: ModelVersion,
    engine: str,
    folder: Path,
    steps: Steps = no_progress,
    on_chosen: Callable[[EngineChoice], None] = lambda _: None,
) -> CompiledClassifier:
    """Download a version and make of it what is served.

    Args:
        version: which one.
        engine: as in `params.yaml`; `auto` tries all that this CPU has, and takes the fastest that answers as the
            registered model did.
        folder: made if missing; what `CompiledClassifier` reads, and the model card.
        steps: told what is under way.
        on_chosen: told what `auto` found.

    Returns:
        It; whether an engine that is named answers as the registered model did is for the caller to ask.

    Raises:
        BadInput: the version cannot be served, no clips are stored with it, or none of the engines that `auto` tries
            answers as the registered model did (`NoEngineHolds`).
    """
    engines = engine_choice.list_candidates(engine)
    export_version(version, engines, folder, steps)
    if engine == engine_choice.AUTO:
        on_chosen(engine_choice.settle_engine(folder, engines, steps("choosing the engine")))
    return CompiledClassifier(folder)


def export_version(version: ModelVersion, engines: Sequence[str], folder: Path, steps: Steps = no_progress) -> None:
    """Download a version, and write of it what `CompiledClassifier` reads on each of these engines, and its card.

    Raises:
        BadInput: the version cannot be served, or no clips are stored with it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        steps(f"fetching version {version.version}")
        download_version(version, Path(scratch))
        steps(f"compiling version {version.version} for {' '.join(engines)}")
        keras_model.export(keras_model.load_model(Path(scratch) / MODEL_FILE), engines, folder)
        shutil.copy(Path(scratch) / METADATA_FILE, folder)
    _download_beside(version, [EXAMPLE_FILE, ANSWER_FILE, MODEL_CARD], folder)
    if not all((folder / name).is_file() for name in (EXAMPLE_FILE, ANSWER_FILE)):
        raise BadInput(
            f"{version.name} version {version.version}: no clips are stored with it; "
            "`lus register --anew` registers another"
        )
