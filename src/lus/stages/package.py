"""package: the version that bears an alias -> a Bento."""

from __future__ import annotations

import json
from pathlib import Path

from lus.common.params import Package
from lus.common.progress import Steps, no_progress
from lus.registry import bento


def run(name: str, served: Path, out: Path, params: Package, steps: Steps = no_progress) -> str:
    """Build the Bento of the version that bears the alias.

    Args:
        name: the classifier's in the registry.
        served: made afresh: the classifier that `bentofile.yaml` takes into the Bento.
        out: a JSON file: the Bento's tag, name, version and alias of the classifier, its engine.
        params: the Bento's name, and the alias; without one the champion, else the challenger.
        steps: told what is under way.

    Returns:
        A sentence with the tag, the engine that answers, and what was found of the engines that were tried.

    Raises:
        BadInput: nothing is registered, no version bears the alias, the engine does not answer as the registered
            model did, or this is not the project's top folder.
    """
    steps("asking MLflow")
    version, alias = bento.choose_version(name, params.alias)
    built = bento.build_bento(version, alias, served, params, steps)
    out.parent.mkdir(parents=True, exist_ok=True)
    written = {"bento": built.tag, "name": name, "version": str(version.version), "alias": alias}
    written |= {"engine": built.engine}
    out.write_text(json.dumps(written, indent=2) + "\n")
    holds = f"Bento {built.tag} holds {name} version {version.version}, the {alias}; `lus serve` answers with it"
    return f"{holds} on {built.engine}" + (f"; {built.choice}" if built.choice else "")
