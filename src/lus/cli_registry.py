"""`lus`'s verbs about the registry: which version is in production, and what it comes from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
MODELS = "Models"


@app.command(rich_help_panel=MODELS)
def models(
    log: Annotated[bool, typer.Option("--log", help="the journal: every promotion and rollback")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """List the registered versions: aliases, figures, audit, data, commit, age."""
    from lus import journal, params, show_registry
    from lus import versions as known

    name = params.load().register_.name
    found = known.listed(name)
    if log:
        acts = journal.acts(name)
        show_registry.acts_json(acts, name) if as_json else show_registry.acts(acts)
        return
    show_registry.versions_json(found, name) if as_json else show_registry.versions(found, name)


@app.command(rich_help_panel=MODELS)
def show(
    version: Annotated[str, typer.Argument(help="a version, an alias, or the lineage id of a served answer")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
) -> None:
    """Show all that a version comes from: commit, data, parameters, run, environment, figures, audit, promotions."""
    from lus import params, show_registry
    from lus import versions as known

    name = params.load().register_.name
    found = known.lineage(name, version)
    show_registry.lineage_json(found, name) if as_json else show_registry.lineage(found, name)


@app.command(rich_help_panel=MODELS)
def promote(
    version: Annotated[str | None, typer.Argument(help="version; default: the challenger")] = None,
    override: Annotated[
        str | None, typer.Option(help="the reason to promote it although a condition fails; kept for good")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Make a version the champion, the one in production, if it passes the gate.

    The gate: an audit without a leak, a protocol that does not leak, the guards' limits in the model, the answers that
    were stored with it, and to be no worse than the champion on the same clips. The exit status is 2 where it fails.
    """
    from lus import params, promotions, quiet, show_registry
    from lus.show import print_json

    loaded = params.load()
    new, champion = promotions.candidate(loaded.register_.name, version)
    quiet.import_tensorflow()
    found = promotions.conditions(new, champion, loaded.promote)
    if not as_json:
        show_registry.conditions(found, f"{new.name} version {new.version} at the gate")
    else:
        print_json(
            {
                "name": new.name,
                "version": str(new.version),
                "champion": str(champion.version) if champion else None,
                "passed": all(one.passed for one in found),
                "conditions": [asdict(one) for one in found],
            }
        )
    act = promotions.promote(new, champion, found, override)
    if not as_json:
        before = f", before it version {act.champion}" if act.champion else ""
        print(f"{new.name} version {act.version} is the champion{before}; `lus package` builds its Bento")


@app.command(rich_help_panel=MODELS)
def rollback(
    why: Annotated[str, typer.Option(help="the reason; kept for good")] = "",
) -> None:
    """Make the champion before this one the champion again."""
    from lus import params, promotions

    name = params.load().register_.name
    act = promotions.rollback(name, why)
    print(f"{name} version {act.version} is the champion again, version {act.champion} stepped back")


@app.command(rich_help_panel=MODELS)
def reproduce(
    version: Annotated[str, typer.Argument(help="a version, an alias, or the lineage id of a served answer")],
    folder: Annotated[
        Path | None, typer.Option(help="to be made and kept; default: a temporary one that is removed")
    ] = None,
) -> None:
    """Rebuild what a version was made from in another place, and compare the figures.

    Its commit is checked out, its parameters and clips are put there, and the pipeline runs up to the evaluation, which
    takes as long as it took. The registry is not touched. The exit status is 2 where a figure differs by more than
    0.001.
    """
    import tempfile

    from lus import params, show_registry
    from lus import reproduce as rebuilding
    from lus.errors import BadInput

    name = params.load().register_.name
    with tempfile.TemporaryDirectory(prefix="lus-reproduce-") as scratch:
        found = rebuilding.run(name, version, folder or Path(scratch) / "project")
    show_registry.figures(found, f"{name} {version}: figures as stored, and as rebuilt")
    far = [one for one in found if one.difference > rebuilding.TOLERANCE]
    exact = sum(one.difference == 0 for one in found)
    if far:
        raise BadInput(f"{len(far)} of {len(found)} figures differ by more than {rebuilding.TOLERANCE}; each is listed")
    print(f"{exact} of {len(found)} figures are exactly those stored, the others within {rebuilding.TOLERANCE}")
