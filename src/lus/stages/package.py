"""package: the version that bears an alias -> a Bento."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from pathlib import Path

from lus.common.errors import BadInput
from lus.common.params import Package
from lus.common.progress import Steps, unseen
from lus.registry import aliases, download, models


def run(name: str, served: Path, out: Path, params: Package, steps: Steps = no_progress) -> str:
    """Build the Bento of the version that bears the alias.

    Args:
        name: the classifier's in the registry.
        served: made afresh: the classifier that `bentofile.yaml` takes into the Bento.
        out: a JSON file: the Bento's tag, name, version and alias of the classifier.
        params: the Bento's name, and the alias; without one the champion, else the challenger.
        steps: told what is under way.

    Returns:
        A sentence with the tag.

    Raises:
        BadInput: nothing is registered, no version bears the alias, the engine does not answer as the registered
            model did, or this is not the project's top folder.
    """
    steps("asking MLflow")
    wanted = (params.alias,) if params.alias else (aliases.CHAMPION, aliases.CHALLENGER)
    version = aliases.get_version_by_alias(name, *wanted)
    alias = next(one for one in wanted if one in version.aliases)
    shutil.rmtree(served, ignore_errors=True)
    made = download.compile_into(version, params.engine, served, steps)
    made.require_parity(progress=steps("asking the stored clips"))
    steps("building the Bento")
    lineage = models.lineage_id(version)
    # The lineage tells two projects on one machine apart: their stores are one, and both have a version 1.
    tag = f"{params.name}:v{version.version}-{lineage[:8]}"
    _build(tag, {"model": name, "version": str(version.version), "alias": alias, "lineage": lineage})
    out.parent.mkdir(parents=True, exist_ok=True)
    written = {"bento": tag, "name": name, "version": str(version.version), "alias": alias}
    out.write_text(json.dumps(written, indent=2) + "\n")
    return f"Bento {tag} holds {name} version {version.version}, the {alias}; `lus serve` answers with it"


def _build(tag: str, labels: dict[str, str]) -> None:
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
