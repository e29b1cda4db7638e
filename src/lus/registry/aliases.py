"""The aliases of a registered model, which say which version is in production; promotion alone moves the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lus.common.errors import BadInput
from lus.tracking import client

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
OTHER_ALIAS_HINT = "`lus models` shows those that are borne, and in MLflow's pages (`lus ui`) any can be given"
ALIAS_HINTS = {  # to get a version that bears an alias
    CHALLENGER: "`dvc repro register` registers a challenger (with --force --single-item where DVC finds no change)",
    CHAMPION: "`lus promote` makes the challenger the champion",
    PREVIOUS: "there was one champion at most so far, so there is nothing to go back to",
}


def get_aliases(name: str) -> dict[str, str]:
    """Every alias and the version that bears it, as it is at this moment."""
    return {str(alias): str(version) for alias, version in client.connect().get_registered_model(name).aliases.items()}


def find_version_by_alias(name: str, alias: str) -> ModelVersion | None:
    """The version that bears an alias, if one does."""
    from mlflow.exceptions import MlflowException

    try:
        return client.connect().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if not client.is_absent(error):
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
    raise BadInput(f"{name} has no {' and no '.join(aliases)}; {ALIAS_HINTS.get(aliases[-1], OTHER_ALIAS_HINT)}")


def make_challenger(version: ModelVersion) -> None:
    """Move the alias `challenger` to a version."""
    client.connect().set_registered_model_alias(version.name, CHALLENGER, version.version)
