"""`lus`'s verbs about the registry: which version is in production, and what it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lus.common.errors import BadInput

app = typer.Typer()
REGISTRY = "Registry"


@app.command(rich_help_panel=REGISTRY)
def models(
    log: Annotated[bool, typer.Option("--log", help="the journal: every promotion and rollback")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """List the registered versions, the newest first.

    Reads MLflow: aliases, figures with intervals, audit, hash of the data, git commit, age; with `--log` the journal of
    promotions and rollbacks instead.

        lus models
        lus models --log
    """
    from lus.cli import registry_tables
    from lus.common import params_file, progress
    from lus.registry import journal, versions

    name = params_file.load_params().register_.name
    with progress.steps() as step:
        step("asking MLflow")
        found = versions.listed(name)
        acts = journal.acts(name) if log else []
    if log:
        registry_tables.print_journal_json(acts, name) if as_json else registry_tables.print_journal(acts)
        return
    registry_tables.print_versions_json(found, name) if as_json else registry_tables.print_versions(found, name)


@app.command(rich_help_panel=REGISTRY)
def show(
    version: Annotated[
        str | None,
        typer.Argument(
            help="number of a version, an alias, or the lineage id of a served answer; default: the champion, else the "
            "challenger"
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="hashes, stage outputs and parameters too")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON with everything instead of tables")] = False,
) -> None:
    """Show what to know of a version, and with `--all` all that it comes from.

    Reads MLflow: what matters first (the CNN's weights, simulated or real clips, baselines, unseen sources, other
    cohorts, what it was not tested on), test metrics, strata, audit, promotions; with `--all` commit, data, parameters,
    run and environment.

        lus show
        lus show 7 --all
        lus show champion --json
    """
    from lus.cli import registry_tables
    from lus.common import params_file, progress
    from lus.registry import aliases, versions

    name = params_file.load_params().register_.name
    with progress.steps() as step:
        step("asking MLflow")
        what = version or str(aliases.get_version_by_alias(name, aliases.CHAMPION, aliases.CHALLENGER).version)
        found = versions.lineage(name, what)
    if as_json:
        registry_tables.print_lineage_json(found, name)
    else:
        registry_tables.print_lineage(found, name, everything)


@app.command(rich_help_panel=REGISTRY)
def promote(
    version: Annotated[str | None, typer.Argument(help="number of a version; default: the challenger")] = None,
    override: Annotated[
        str | None, typer.Option(help="the reason to promote it although a condition fails; kept for good")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Make a version the champion, the one in production, if it passes the gate.

    The gate: an audit without a leak, a protocol that does not leak, the checks' limits in the model, the answers that
    were stored with it, to be no worse than the champion, and than the best former one, on the same clips (`promote`
    in `params.yaml` says by how much), and to hold on the cohorts that `promote.validation` names. Each condition is
    printed, with what these clips could have shown.
    Moves the aliases champion and previous in MLflow, and adds to the journal.

        lus promote
        lus promote 7 --override "the audit's source is known"

    Exit status: 0; 2 where the gate refuses, and then nothing is changed.
    """
    from lus.cli import registry_tables
    from lus.common import params_file, progress, quiet
    from lus.registry import promotion

    loaded = params_file.load_params()
    with progress.steps() as step:
        step("asking MLflow")
        new, champion = promotion.candidate(loaded.register_.name, version)
        quiet.import_tensorflow(step)
        show = registry_tables.print_conditions_json if as_json else registry_tables.print_conditions
        act = promotion.promote(
            new,
            champion,
            loaded.promote,
            loaded.package.engine,
            override,
            step,
            on_judged=lambda found: show(found, new, champion),
        )
    if not as_json:
        before = f", before it version {act.champion}" if act.champion else ""
        print(f"{new.name} version {act.version} is the champion{before}; `lus package` builds its Bento")


@app.command(rich_help_panel=REGISTRY)
def rollback(
    why: Annotated[str, typer.Option(help="the reason; kept for good")] = "",
) -> None:
    """Make the champion before this one the champion again.

    Moves the aliases champion and previous in MLflow, and adds to the journal. `lus package` then builds its Bento.

        lus rollback --why "too slow"
    """
    from lus.common import params_file, progress
    from lus.registry import promotion

    name = params_file.load_params().register_.name
    act = progress.with_bar("moving the aliases", lambda _: promotion.rollback(name, why))
    print(f"{name} version {act.version} is the champion again, version {act.champion} stepped back")


@app.command("import-legacy", rich_help_panel=REGISTRY)
def import_legacy(
    file: Annotated[Path, typer.Argument(help=".h5 file of Keras 2: an LSTM head over the features of a CNN")],
    backbone: Annotated[str, typer.Option(help="CNN whose features the head was trained on")] = "xception",
    length: Annotated[int | None, typer.Option(min=1, help="frames of a sequence, where the file does not say")] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="in the order of the head's probabilities, divided by commas; needed to register it"),
    ] = None,
    registered: Annotated[
        bool, typer.Option("--register/--no-register", help="join it to the backbone and register the classifier")
    ] = True,
    out: Annotated[Path | None, typer.Option(help=".keras file to write the head to")] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="register another version, also where there is one of the same head")
    ] = False,
) -> None:
    """Convert a head that Keras 2 saved, and register it as a version without figures.

    Reads the .h5 file of TensorFlow 2.4 and its like; nothing of it is run, and what cannot be built with the same
    answers is refused. The backbone gets features.weights of `params.yaml`: they must be those that the head was
    trained with. Writes a version to MLflow, where there is none of the same head, backbone, labels, limits and code;
    no alias is moved.

        lus import-legacy HEAD.h5 --labels covid-19,pneumonia,healthy
    """
    from lus.common import params_file, progress, quiet
    from lus.heads import legacy
    from lus.registry import import_head

    if out is not None and out.suffix != ".keras":
        raise BadInput(f"{out}: a name that ends in .keras is expected; name another --out")
    if not registered and out is None:
        raise BadInput("--no-register leaves nothing to do; name a .keras file to write with --out")
    head = legacy.read(file, length)
    named = import_head.labels_of(labels, head) if registered else ()
    loaded = params_file.load_params() if registered else None
    with progress.steps() as step:
        quiet.import_tensorflow(step)
        model = head.build()
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            model.save(out)
        version, new = (
            import_head.register(file, head, model, named, backbone, loaded, step, anew) if loaded else (None, False)
        )
    takes = f"({head.length}, {head.dim}) features -> {head.labels} labels"
    if out is not None:
        print(f"{out}: {takes}, as in {file}")
    if version and loaded and new:
        print(
            f"{version.name} version {version.version} registered from {file}: {takes}, on {backbone} with "
            f"{loaded.features.weights} weights; it has no figures and no alias"
        )
    elif version:
        print(
            f"{version.name} version {version.version} is of the same head, backbone, labels, limits and code: nothing "
            "new was registered; `lus import-legacy --anew` registers another"
        )


@app.command(rich_help_panel=REGISTRY)
def reproduce(
    version: Annotated[str, typer.Argument(help="number of a version, an alias, or the lineage id of a served answer")],
    folder: Annotated[
        Path | None, typer.Option(help="to rebuild in, made and kept; default: a temporary one that is removed")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Rebuild what a version was made from in another place, and compare the figures.

    Its commit is checked out, its parameters and clips are put there, and the pipeline runs up to the evaluation, which
    takes as long as it took. The registry and `build/` are not touched.

        lus reproduce 7
        lus reproduce champion --folder ../again

    Exit status: 0; 2 where a figure differs by more than 0.001, or the version cannot be rebuilt.
    """
    import tempfile

    from lus.cli import registry_tables
    from lus.common import params_file, progress
    from lus.registry.reproduce import TOLERANCE
    from lus.registry.reproduce import run as rebuild

    name = params_file.load_params().register_.name
    with tempfile.TemporaryDirectory(prefix="lus-reproduce-") as scratch, progress.steps() as step:
        found = rebuild(name, version, folder or Path(scratch) / "project", step)
    if as_json:
        registry_tables.print_metrics_json(found, name, version)
    else:
        registry_tables.print_metrics(found, f"{name} {version}: figures as stored, and as rebuilt")
    far = [one for one in found if one.difference > TOLERANCE]
    exact = sum(one.difference == 0 for one in found)
    if far:
        raise BadInput(f"{len(far)} of {len(found)} figures differ by more than {TOLERANCE}; each is listed")
    if not as_json:
        print(f"{exact} of {len(found)} figures are exactly those stored, the others within {TOLERANCE}")
