"""`lus weights`: the weights that are known by their digest, and a file of them brought by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lus.common.errors import BadInput

app = typer.Typer()


@app.command(rich_help_panel="Begin")
def weights(
    action: Annotated[Literal["add"] | None, typer.Argument(help="add: keep the weights of FILE")] = None,
    file: Annotated[
        Path | None, typer.Argument(help="with add: a .h5, .weights.h5 or .keras file of Keras; read, never run")
    ] = None,
    backbone: Annotated[str, typer.Option(help="with add: whose weights they are")] = "xception",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """List the ImageNet weights that are known, or add them from a file.

    Lists backbone, digest, licence, where they came from and where they are. Without a network `lus weights add` keeps
    those of a file that was brought, once for all clones, beside what Keras downloads; another digest is refused.

        lus weights
        lus weights add xception.h5 --backbone xception
    """
    from lus.cli import weights_tables
    from lus.common import progress, quiet
    from lus.features import imagenet

    if action == "add":
        if file is None:
            raise BadInput("no file to add; name one: lus weights add FILE --backbone xception")
        with progress.steps() as step:
            quiet.import_tensorflow(step)
            step(f"reading {file.name}")
            imagenet.add(file, backbone)
    weights_tables.weights_json() if as_json else weights_tables.weights()
