"""The Bento of a version: its classifier compiled and held to the stored answers, and packed with the service."""

from __future__ import annotations

import contextlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lus.common.errors import BadInput
from lus.common.params import Package
from lus.common.progress import Steps, no_progress
from lus.inference.engine_choice import EngineChoice
from lus.registry import aliases, download, models

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def choose_version(name: str, alias: str | None) -> tuple[ModelVersion, str]:
    """The version that bears an alias, without one the champion, else the challenger; and the alias that it bears.

    Raises:
        BadInput: no version bears it.
    """
    wanted = (alias,) if alias else (aliases.CHAMPION, aliases.CHALLENGER)
    version = aliases.get_version_by_alias(name, *wanted)
    return version, next(one for one in wanted if one in version.aliases)


@dataclass(frozen=True)
class BuiltBento:
    """A Bento.

    Attributes:
        tag: its name and version.
        engine: that answers in it, as in `openvino-int8`.
        choice: why that one; None where `params.yaml` names it.
    """

    tag: str
    engine: str
    choice: EngineChoice | None


def build_bento(
    version: ModelVersion, alias: str, served: Path, params: Package, steps: Steps = no_progress
) -> BuiltBento:
    """Compile a version, hold it to the answers that are stored with it, and build its Bento.

    Args:
        version: which one.
        alias: that it is chosen by; a label of the Bento.
        served: made afresh: the classifier that `bentofile.yaml` takes into the Bento.
        params: the Bento's name, and the engine that the classifier is compiled for.
        steps: told what is under way.

    Raises:
        BadInput: the engine does not answer as the registered model did, or this is not the project's top folder.
    """
    shutil.rmtree(served, ignore_errors=True)
    choices: list[EngineChoice] = []
    made = download.compile_into(version, params.engine, served, steps, choices.append)
    made.require_parity(progress=steps("asking the stored clips"))
    steps("building the Bento")
    lineage = models.lineage_id(version)
    # The lineage tells two projects on one machine apart: their stores are one, and both have a version 1.
    tag = f"{params.name}:v{version.version}-{lineage[:8]}"
    labels = {"model": str(version.name), "version": str(version.version), "alias": alias, "lineage": lineage}
    _build_bentofile(tag, labels)
    return BuiltBento(tag, choices[0].chosen.engine if choices else params.engine, choices[0] if choices else None)


def _build_bentofile(tag: str, labels: dict[str, str]) -> None:
    import bentoml
    from bentoml.exceptions import NotFound

    if not Path("bentofile.yaml").is_file():
        raise BadInput("bentofile.yaml: not found; run this in the project's top folder")
    with contextlib.suppress(NotFound):
        bentoml.delete(tag)
    name, _, version = tag.partition(":")
    # That the CNN is larger than 10 MiB is no news to anybody.
    logging.getLogger("bentoml._internal.bento.bento").setLevel(logging.ERROR)
    bentoml.bentos.build_bentofile("bentofile.yaml", name=name, version=version, labels=labels, build_ctx=".")
