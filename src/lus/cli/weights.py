"""`lus weights`: the weights that are known by their digest, fetched, or brought by hand as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lus.common.errors import BadInput

app = typer.Typer()


@app.command(rich_help_panel="Begin")
def weights(
    action: Annotated[
        Literal["add", "fetch"] | None,
        typer.Argument(help="add: keep the weights of FILE; fetch: those that params.yaml asks for"),
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(help="with add: a .h5, .weights.h5 or .keras file of Keras; read, never run")
    ] = None,
    backbone: Annotated[str, typer.Option(help="with add: whose weights they are")] = "xception",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """List the ImageNet weights that are known, fetch them, or add them from a file.

    Lists backbone, digest, licence, where they came from and where they are. `lus weights fetch` sees to it that those
    which `params.yaml` asks for are here, and says in seconds where they cannot be had; `make repro` begins with it.
    Without a network `lus weights add` keeps those of a file that was brought, once for all clones, beside what Keras
    downloads; another digest is refused.

        lus weights
        lus weights fetch
        lus weights add xception.h5 --backbone xception
    """
    from lus.cli import weights_tables
    from lus.common import progress, quiet
    from lus.features import imagenet

    if action == "fetch":
        _fetch()
        return
    if action == "add":
        if file is None:
            raise BadInput("no file to add; name one: lus weights add FILE --backbone xception")
        with progress.steps() as step:
            quiet.import_tensorflow(step)
            step(f"reading {file.name}")
            imagenet.add(file, backbone)
    weights_tables.weights_json() if as_json else weights_tables.weights()


def _fetch() -> None:
    """Fetch the weights that `params.yaml` asks for, where they are known ones, and say of all where they are from."""
    from lus.common import params_file, progress, quiet
    from lus.features import backbones, imagenet

    loaded = params_file.load_params()
    with progress.steps() as step:
        for backbone in loaded.features.backbones:
            kind = backbones.resolve_start(backbone, loaded.features.weights, loaded.pretrain.start)
            if imagenet.is_missing(backbone, kind):
                quiet.import_tensorflow(step)
                imagenet.provide(backbone, step)
            came_from = imagenet.origin(backbone, kind)
            print(f"weights of {backbone}: {kind}" + (f", from {came_from}" if came_from else ""))
