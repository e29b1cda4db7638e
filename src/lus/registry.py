"""The registry: versions of one name in MLflow, and the aliases that say which one is in production."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lus import tracking
from lus.arrays import Frames
from lus.classifier import CARD_FILE, MODEL_FILE, Card, Classifier
from lus.errors import BadInput

if TYPE_CHECKING:
    import keras
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"


_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""How MLflow's stores say that there is no such name, version or alias."""
_HOW = {
    CHALLENGER: "`dvc repro register` registers a challenger",
    CHAMPION: "`lus promote` makes the challenger the champion",
    PREVIOUS: "there was one champion at most so far, so there is nothing to go back to",
}


def _client() -> MlflowClient:
    from mlflow import MlflowClient

    tracking.connect()
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


def register(name: str, model: keras.Model, card: Card, tags: dict[str, str], example: Frames) -> ModelVersion:
    """Log a classifier in the active run and register it as the new challenger.

    Args:
        name: in the registry.
        model: frames (n, length, size, size, 3) uint8 -> probabilities (n, labels).
        card: kept with the model as its metadata.
        tags: of the version.
        example: (1, length, size, size, 3) uint8, kept among the run's artifacts as `classifier/input_example.npy`.

    Returns:
        The new version.
    """
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    client = _client()
    inputs = TensorSpec(np.dtype(np.uint8), (-1, card.length, card.size, card.size, 3), "frames")
    outputs = TensorSpec(np.dtype(np.float32), (-1, len(card.labels)))
    logged = mlflow.keras.log_model(
        model,
        name="classifier",
        signature=ModelSignature(inputs=Schema([inputs]), outputs=Schema([outputs])),
        pip_requirements=_requirements(),
        metadata={"card": json.dumps(card.to_json())},
    )
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "input_example.npy"
        np.save(file, example)
        mlflow.log_artifact(str(file), "classifier")
    version = mlflow.register_model(logged.model_uri, name, tags=tags)
    client.set_registered_model_alias(name, CHALLENGER, version.version)
    return version


def find(name: str, alias: str) -> ModelVersion | None:
    """The version that bears an alias, if one does."""
    from mlflow.exceptions import MlflowException

    try:
        return _client().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return None


def by_alias(name: str, *aliases: str) -> ModelVersion:
    """The version that bears the first of these aliases that any bears.

    Raises:
        BadInput: no version bears one of them.
    """
    for alias in aliases:
        if (version := find(name, alias)) is not None:
            return version
    raise BadInput(f"{name} has no {' and no '.join(aliases)}; {_HOW[aliases[-1]]}")


def by_number(name: str, version: str) -> ModelVersion:
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


def promote(name: str, version: str | None) -> tuple[ModelVersion, ModelVersion | None]:
    """Make a version the champion; the champion before becomes `previous`.

    Args:
        name: in the registry.
        version: its number; the challenger where none is given.

    Returns:
        The new champion, and the one before it, if there was one.

    Raises:
        BadInput: there is no such version, or it is the champion already.
    """
    client = _client()
    new = by_number(name, version) if version else by_alias(name, CHALLENGER)
    old = find(name, CHAMPION)
    if old and str(old.version) == str(new.version):
        raise BadInput(f"{name} version {new.version} is the champion already; nothing was changed")
    if old:
        client.set_registered_model_alias(name, PREVIOUS, old.version)
    client.set_registered_model_alias(name, CHAMPION, new.version)
    return new, old


def rollback(name: str) -> tuple[ModelVersion, ModelVersion]:
    """Make the previous version the champion again; returns the champion now and the one that stepped back."""
    back = by_alias(name, PREVIOUS)
    stepped_back = by_alias(name, CHAMPION)
    promote(name, back.version)
    return back, stepped_back


def fetch(version: ModelVersion, folder: Path) -> Card:
    """Download a version: the model and its card, as `Classifier.load` reads them.

    Args:
        version: which one.
        folder: made if missing.

    Returns:
        The card, with name and version.
    """
    import mlflow

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}", dst_path=scratch))
        metadata = mlflow.models.Model.load(str(local)).metadata or {}
        if "card" not in metadata:
            raise BadInput(f"{version.name} version {version.version} carries no card; register it with `lus register`")
        card = replace(Card.from_json(json.loads(metadata["card"])), name=version.name, version=str(version.version))
        next(local.rglob("*.keras")).replace(folder / MODEL_FILE)
    (folder / CARD_FILE).write_text(json.dumps(card.to_json(), indent=2) + "\n")
    return card


def load(version: ModelVersion) -> Classifier:
    """Download a version and load it."""
    with tempfile.TemporaryDirectory() as scratch:
        fetch(version, Path(scratch))
        return Classifier.load(Path(scratch))
