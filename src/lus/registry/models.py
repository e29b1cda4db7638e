"""Versions of a registered model in MLflow: registered, and got by their number or by the result they stand for."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lus.common.arrays import Frames
from lus.common.errors import BadInput
from lus.common.progress import Steps, no_progress
from lus.features import backbones
from lus.inference.compiled import ANSWER_FILE, EXAMPLE_FILE, MODEL_CARD
from lus.inference.metadata import ModelMetadata
from lus.registry import aliases, journal
from lus.tracking import client

if TYPE_CHECKING:
    import keras
    from mlflow.entities.model_registry import ModelVersion

RESULT_TAG = "lus.result"
"""Tag of a version: the digest of all that its model and its figures depend on."""
LINEAGE = "lineage"
"""The folder beside a registered model with the files that it was made by."""
METADATA_KEY = "card"
"""Under which MLflow keeps a version's metadata; it stays as it is, as every version registered so far has it."""


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
    mlflow_client = client.connect()
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
        mlflow_client.log_model_artifacts(logged.model_id, scratch)
    steps("registering the version")
    version = mlflow.register_model(logged.model_uri, name, tags=tags)
    if description is not None:
        mlflow_client.update_model_version(name, version.version, description)
    if challenger:
        aliases.make_challenger(version)
    return version


def find_version_by_result(name: str, result: str) -> ModelVersion | None:
    """The newest version that bears this digest of its result, if one does.

    Args:
        name: in the registry.
        result: as in its tag, `RESULT_TAG`.
    """
    found = client.connect().search_model_versions(f"name = '{name}' and tags.`{RESULT_TAG}` = '{result}'")
    return max(found, key=lambda one: int(one.version), default=None)


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

    mlflow_client = client.connect()
    try:
        mlflow_client.get_registered_model(name)
        return
    except MlflowException as error:
        if not client.is_absent(error):
            raise
    run_id = journal.create()
    try:
        # With the journal in the same act: two processes that do this at once agree on one.
        mlflow_client.create_registered_model(name, tags={journal.TAG: run_id})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        mlflow_client.delete_run(run_id)


def get_version(name: str, version: str) -> ModelVersion:
    """The version of that number.

    Raises:
        BadInput: there is none.
    """
    from mlflow.exceptions import MlflowException

    mlflow_client = client.connect()
    try:
        return mlflow_client.get_model_version(name, version)
    except MlflowException as error:
        if not client.is_absent(error):
            raise
        there = mlflow_client.search_model_versions(f"name = '{name}'")
        known = sorted((int(one.version) for one in there), reverse=True)
        has = f"it has {', '.join(map(str, known[:10]))}" if known else "it has none yet"
        raise BadInput(f"{name} has no version {version}; {has}") from None


def logged_model_id(version: ModelVersion) -> str:
    """MLflow's id of a version's model; one that was registered by an address carries it there."""
    return str(version.model_id or str(version.source).rsplit("/", 1)[-1])


def lineage_id(version: ModelVersion) -> str:
    """What tells a version from all others, as served answers have it: the beginning of MLflow's id of its model."""
    return logged_model_id(version).removeprefix("m-")[:12]
