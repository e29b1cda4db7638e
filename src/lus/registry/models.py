"""The registry: versions of one name in MLflow, and the aliases that say which one is in production."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lus.common.arrays import Frames
from lus.common.errors import BadInput
from lus.common.progress import Steps, no_progress
from lus.features import backbones
from lus.inference import keras_model
from lus.inference.classifier import Classifier
from lus.inference.compiled import ANSWER_FILE, EXAMPLE_FILE, MODEL_CARD, CompiledClassifier
from lus.inference.keras_model import MODEL_FILE
from lus.inference.metadata import METADATA_FILE, ModelMetadata
from lus.registry import journal
from lus.tracking import client

if TYPE_CHECKING:
    import keras
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
RESULT_TAG = "lus.result"
"""Tag of a version: the digest of all that its model and its figures depend on."""
LINEAGE = "lineage"
"""The folder beside a registered model with the files that it was made by."""
EVALUATION = "evaluation"
"""The folder of a version's run with its evaluation's files."""
METADATA_KEY = "card"
"""Under which MLflow keeps a version's metadata; it stays as it is, as every version registered so far has it."""
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""How MLflow's stores say that there is no such name, version or alias."""
OTHERS = "`lus models` shows those that are borne, and in MLflow's pages (`lus ui`) any can be given"
ALIAS_HINTS = {  # to get a version that bears an alias
    CHALLENGER: "`dvc repro register` registers a challenger (with --force --single-item where DVC finds no change)",
    CHAMPION: "`lus promote` makes the challenger the champion",
    PREVIOUS: "there was one champion at most so far, so there is nothing to go back to",
}


def _client() -> MlflowClient:
    from mlflow import MlflowClient

    client.connect()
    return MlflowClient()


def _requirements() -> list[str]:
    from importlib.metadata import version

    # Named here: left to itself MLflow finds them by loading the model once more in a new process.
    tensorflow = next(name for name in ("tensorflow-cpu", "tensorflow") if _installed(name))
    return [f"{name}=={version(name)}" for name in ("keras", "numpy", tensorflow)]


def _installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def register(
    name: str,
    model: keras.Model,
    metadata: ModelMetadata,
    tags: dict[str, str],
    example: Frames,
    *,
    files: Sequence[Path] = (),
    description: str | None = None,
    challenger: bool = True,
    steps: Steps = no_progress,
) -> ModelVersion:
    """Log a classifier in the active run and register it as a new version.

    Args:
        name: in the registry.
        model: frames (n, length, size, size, 3) uint8 -> probabilities (n, labels).
        metadata: kept with the model.
        tags: of the version.
        example: (n, length, size, size, 3) uint8, frames of some clips; kept beside the model with its answers, by
            which it shows whether an engine answers as the model did.
        files: that it was made by, kept beside the model.
        description: in Markdown, shown with the version and kept beside the model too.
        challenger: whether it takes the alias `challenger`.
        steps: told what is under way.

    Returns:
        The new version.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    steps("storing the classifier in MLflow")
    client = _client()
    _create(name)
    inputs = TensorSpec(np.dtype(np.uint8), (-1, metadata.length, metadata.size, metadata.size, 3), "frames")
    outputs = TensorSpec(np.dtype(np.float32), (-1, len(metadata.labels)))
    logged = mlflow.keras.log_model(
        model,
        name="classifier",
        signature=ModelSignature(inputs=Schema([inputs]), outputs=Schema([outputs])),
        pip_requirements=_requirements(),
        metadata={METADATA_KEY: json.dumps(metadata.to_json())},
    )
    steps("asking it the stored clips")
    with tempfile.TemporaryDirectory() as scratch:
        _write_beside(Path(scratch), model, example, files, description)
        client.log_model_artifacts(logged.model_id, scratch)
    steps("registering the version")
    version = mlflow.register_model(logged.model_uri, name, tags=tags)
    if description is not None:
        client.update_model_version(name, version.version, description)
    if challenger:
        make_challenger(version)
    return version


def registered(name: str, result: str) -> ModelVersion | None:
    """The newest version that bears this digest of its result, if one does.

    Args:
        name: in the registry.
        result: as in its tag, `RESULT_TAG`.
    """
    found = _client().search_model_versions(f"name = '{name}' and tags.`{RESULT_TAG}` = '{result}'")
    return max(found, key=lambda one: int(one.version), default=None)


def make_challenger(version: ModelVersion) -> None:
    """Move the alias `challenger` to a version."""
    _client().set_registered_model_alias(version.name, CHALLENGER, version.version)


def _write_beside(
    folder: Path, model: keras.Model, example: Frames, files: Sequence[Path], description: str | None
) -> None:
    """Write what is kept beside a registered model."""
    import numpy as np

    np.save(folder / EXAMPLE_FILE, example)
    np.save(folder / ANSWER_FILE, backbones.trace(model)(example))
    for file in files:
        (folder / LINEAGE).mkdir(exist_ok=True)
        shutil.copy(file, folder / LINEAGE)
    if description is not None:
        (folder / MODEL_CARD).write_text(description)


def _create(name: str) -> None:
    """Make the registered model with its journal, where there is none yet."""
    from mlflow.exceptions import MlflowException

    client = _client()
    try:
        client.get_registered_model(name)
        return
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
    run_id = journal.create()
    try:
        # With the journal in the same act: two processes that do this at once agree on one.
        client.create_registered_model(name, tags={journal.TAG: run_id})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        client.delete_run(run_id)


def find_version_by_alias(name: str, alias: str) -> ModelVersion | None:
    """The version that bears an alias, if one does."""
    from mlflow.exceptions import MlflowException

    try:
        return _client().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return None


def get_version_by_alias(name: str, *aliases: str) -> ModelVersion:
    """The version that bears the first of these aliases that any bears.

    Raises:
        BadInput: no version bears one of them.
    """
    for alias in aliases:
        if (version := find_version_by_alias(name, alias)) is not None:
            return version
    raise BadInput(f"{name} has no {' and no '.join(aliases)}; {ALIAS_HINTS.get(aliases[-1], OTHERS)}")


def get_version(name: str, version: str) -> ModelVersion:
    """The version of that number.

    Raises:
        BadInput: there is none.
    """
    from mlflow.exceptions import MlflowException

    client = _client()
    try:
        return client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        known = sorted((int(one.version) for one in client.search_model_versions(f"name = '{name}'")), reverse=True)
        has = f"it has {', '.join(map(str, known[:10]))}" if known else "it has none yet"
        raise BadInput(f"{name} has no version {version}; {has}") from None


def aliases(name: str) -> dict[str, str]:
    """Every alias and the version that bears it, as it is at this moment."""
    return {str(alias): str(version) for alias, version in _client().get_registered_model(name).aliases.items()}


def lineage_id(version: ModelVersion) -> str:
    """What tells a version from all others, as served answers have it: the beginning of MLflow's id of its model."""
    found = version.model_id or str(version.source).rsplit("/", 1)[-1]
    return str(found).removeprefix("m-")[:12]


def _beside(version: ModelVersion, names: Sequence[str], folder: Path) -> None:
    """Download of what lies beside a registered model these files and folders, where they are, and not the model."""
    import mlflow

    model = f"models:/{version.name}/{version.version}"
    there = {one.path for one in mlflow.artifacts.list_artifacts(artifact_uri=model) or ()}
    for name in names:
        if name in there:
            mlflow.artifacts.download_artifacts(f"{model}/{name}", dst_path=str(folder))


def lineage_files(version: ModelVersion, folder: Path) -> Path:
    """Download the files that a version was made by; returns the folder that holds those there are."""
    _beside(version, [LINEAGE], folder)
    return folder / LINEAGE


def evaluation_files(version: ModelVersion, folder: Path) -> Path:
    """Download the files of the evaluation that a version comes from; returns the folder that holds those there are."""
    import mlflow

    there = _client().list_artifacts(version.run_id) if version.run_id else []
    if any(one.path == EVALUATION for one in there):
        mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=EVALUATION, dst_path=str(folder))
    return folder / EVALUATION


def _metadata(version: ModelVersion, model: Path) -> ModelMetadata:
    """A version's metadata, with its name, number, lineage id and run, from MLflow's file of its model.

    Raises:
        BadInput: there are none, or this code cannot read them.
    """
    from mlflow.models import Model

    stored = Model.load(str(model)).metadata or {}
    if METADATA_KEY not in stored:
        raise BadInput(f"{version.name} version {version.version} carries no metadata; register it with `lus register`")
    which = {"name": str(version.name), "version": str(version.version)}
    metadata = ModelMetadata.from_json(json.loads(stored[METADATA_KEY]) | which)
    own = {"id": lineage_id(version), "run": str(version.run_id or "")}
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
        _metadata(version, Path(mlflow.artifacts.download_artifacts(address, dst_path=scratch)))


def fetch(version: ModelVersion, folder: Path) -> ModelMetadata:
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
        metadata = _metadata(version, local)
        next(local.rglob("*.keras")).replace(folder / MODEL_FILE)
    (folder / METADATA_FILE).write_text(json.dumps(metadata.to_json(), indent=2) + "\n")
    return metadata


def load(version: ModelVersion, steps: Steps = no_progress) -> Classifier:
    """Download a version and load it as it was registered, on Keras; `steps` is told what is under way."""
    steps(f"loading version {version.version}")
    with tempfile.TemporaryDirectory() as scratch:
        metadata = fetch(version, Path(scratch))
        return Classifier(keras_model.reference(Path(scratch) / MODEL_FILE, metadata), metadata)


def compile_into(version: ModelVersion, engine: str, folder: Path, steps: Steps = no_progress) -> CompiledClassifier:
    """Download a version and make of it what is served.

    Args:
        version: which one.
        engine: `openvino`, or `openvino-f32`, as in `params.yaml`.
        folder: made if missing; what `CompiledClassifier` reads, and the model card.
        steps: told what is under way.

    Returns:
        It; whether it answers as the registered model did is for the caller to ask.

    Raises:
        BadInput: the version cannot be served, or no clips are stored with it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        steps(f"fetching version {version.version}")
        fetch(version, Path(scratch))
        steps(f"compiling version {version.version} for {engine}")
        keras_model.export(keras_model.load_model(Path(scratch) / MODEL_FILE), engine, folder)
        shutil.copy(Path(scratch) / METADATA_FILE, folder)
    _beside(version, [EXAMPLE_FILE, ANSWER_FILE, MODEL_CARD], folder)
    if not all((folder / name).is_file() for name in (EXAMPLE_FILE, ANSWER_FILE)):
        raise BadInput(
            f"{version.name} version {version.version}: no clips are stored with it; "
            "`lus register --anew` registers another"
        )
    return CompiledClassifier(folder)
