"""`lus`'s verbs for the stages of the pipeline, in its order: each a thin caller of its file in `stages`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
STAGES = "Stages of the pipeline, in order"
BUILD = Path("build")


@app.command(rich_help_panel=STAGES)
def simulate(out: Annotated[Path, typer.Argument(help="folder to make")] = Path("phantom")) -> None:
    """Simulate the phantom cohort: clips and clips.csv."""
    from lus import params, progress
    from lus.stages import simulate as stage

    section = params.load().simulate
    print(progress.with_bar("simulate", lambda report: stage.run(out, section, report)))


@app.command(rich_help_panel=STAGES)
def cohort(
    folder: Annotated[Path | None, typer.Argument(help="clips; default: cohort.folder of params.yaml")] = None,
    out: Annotated[Path, typer.Argument(help="table to write")] = BUILD / "cohort.csv",
) -> None:
    """Make the cohort table of a folder of clips.

    The folder holds a clips.csv (path, label, patient, optionally source, probe, licence), or has the layout of
    covid19_ultrasound, or is a folder of clips for each label. Clips left out are listed beside the table.
    """
    from lus import params, progress
    from lus.stages import cohort as stage

    loaded = params.load()
    clips = folder or Path(loaded.cohort.folder)
    print(progress.with_bar("cohort", lambda report: stage.run(clips, out, loaded.cohort, loaded.limits, report)))


@app.command(rich_help_panel=STAGES)
def frames(
    table: Annotated[Path, typer.Argument(help="cohort table")] = BUILD / "cohort.csv",
    out: Annotated[Path, typer.Argument(help="folder for the frames")] = BUILD / "frames",
    report: Annotated[Path, typer.Argument(help="folder for the checks' results")] = BUILD / "checks",
) -> None:
    """Sample frames, check every clip, quarantine what is not usable, look for leaks."""
    from lus import params, progress
    from lus.stages import frames as stage

    loaded = params.load()
    print(progress.with_bar("frames", lambda tick: stage.run(table, out, report, loaded, tick)))


@app.command(rich_help_panel=STAGES)
def pretrain(
    out: Annotated[Path, typer.Argument(help="folder to make; its name is the backbone's")],
    sampled: Annotated[Path, typer.Argument(help="folder of frames")] = BUILD / "frames",
) -> None:
    """Train a backbone on the cohort's frames, as in `lus pretrain build/pretrain/mobilenetv2`.

    One for each fold, on its training patients alone, and one on all patients. Where the backbone's weights are
    others (features.weights), there is nothing to train.
    """
    from lus import backbones, params, progress, quiet
    from lus.stages import pretrain as stage

    loaded = params.load()
    if backbones.weights_of(out.name, loaded.features.weights) == backbones.TRAINED:
        quiet.import_tensorflow()
    print(progress.with_bar(f"pretrain {out.name}", lambda report: stage.run(sampled, out, loaded, report)))


@app.command(rich_help_panel=STAGES)
def features(
    out: Annotated[Path, typer.Argument(help="folder to make; its name says backbone and length")],
    sampled: Annotated[Path, typer.Argument(help="folder of frames")] = BUILD / "frames",
) -> None:
    """Run a backbone over the frames, as in `lus features build/features/xception-20`."""
    from lus import params, progress, quiet
    from lus.stages import features as stage

    quiet.import_tensorflow()
    section = params.load().features
    print(
        progress.with_bar(
            f"features {out.name}", lambda report: stage.run(sampled, BUILD / "pretrain", out, section, report)
        )
    )


@app.command(rich_help_panel=STAGES)
def search(
    folder: Annotated[Path, typer.Argument(help="feature set")],
    out: Annotated[Path, typer.Argument(help="folder for the trials")],
) -> None:
    """Search the head of a feature set with Optuna; every trial is a nested MLflow run."""
    from lus import params, progress, quiet
    from lus.stages import search as stage

    quiet.import_tensorflow()
    loaded = params.load()
    print(
        progress.with_bar(
            f"search {folder.name}", lambda report: stage.run(folder, out, loaded.search, loaded.folds, report)
        )
    )


@app.command(rich_help_panel=STAGES)
def evaluate(out: Annotated[Path, typer.Argument(help="folder for the figures")] = BUILD / "evaluation") -> None:
    """Test the chosen heads on patients that nothing was trained or chosen on."""
    from lus import featureset, params, progress, quiet
    from lus.stages import evaluate as stage

    quiet.import_tensorflow()
    loaded = params.load()
    names = [featureset.name_of(b, n) for b in loaded.features.backbones for n in loaded.frames.lengths]
    print(
        progress.with_bar(
            "evaluate", lambda report: stage.run(BUILD, names, out, loaded.evaluate, loaded.folds, report)
        )
    )


@app.command(rich_help_panel=STAGES)
def register(out: Annotated[Path, typer.Argument(help="file to write")] = BUILD / "register.json") -> None:
    """Train the chosen classifier on the whole cohort and register it as the challenger."""
    from lus import params, quiet
    from lus.stages import register as stage

    quiet.import_tensorflow()
    section = params.load().register_
    print(stage.run(BUILD, out, section))


@app.command(rich_help_panel=STAGES)
def package(
    out: Annotated[Path, typer.Argument(help="file to write")] = BUILD / "package.json",
    alias: Annotated[
        str | None, typer.Option(help="champion, challenger, previous, ...; default: package.alias of params.yaml")
    ] = None,
) -> None:
    """Build the Bento of the version that bears an alias (the champion, or the challenger while there is none)."""
    from lus import params, quiet
    from lus.stages import package as stage

    quiet.import_tensorflow()
    section = params.load().package
    chosen = section.model_copy(update={"alias": alias}) if alias else section
    print(stage.run(BUILD / "register.json", BUILD / "served", out, chosen))
