"""`lus`'s verbs for the stages of the pipeline, in its order: each a thin caller of its file in `stages`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lus.cli import changed_inputs

app = typer.Typer()
STAGES = "Stages of the pipeline, in order; dvc repro runs those that are due"
BUILD = Path("build")


@app.command(rich_help_panel=STAGES)
def simulate(out: Annotated[Path, typer.Argument(help="folder to make")] = Path("phantom")) -> None:
    """Simulate the phantom cohort: clips and clips.csv.

    Writes a folder of simulated lung-ultrasound clips, as many and such as `simulate` in `params.yaml` says.

        lus simulate phantom
    """
    from lus.common import params_file, progress
    from lus.stages.simulate import run

    with changed_inputs.refuse_changed_inputs():
        section = params_file.load_params().simulate
        said = progress.with_bar("simulate", lambda report: run(out, section, report))
    print(said)


@app.command(rich_help_panel=STAGES)
def cohort(
    folder: Annotated[Path | None, typer.Argument(help="clips; default: cohort.folder of params.yaml")] = None,
    out: Annotated[Path, typer.Argument(help="table to write")] = BUILD / "cohort.csv",
) -> None:
    """Make the cohort table of a folder of clips.

    The folder holds a clips.csv (path, label, patient, optionally source, probe, licence), or has the layout of the
    public covid19_ultrasound, or a folder for each label (better: LABEL/PATIENT/clip). Writes a table with a row a
    usable clip, and beside it the clips left out, with reasons (build/cohort-left-out.csv).

        lus cohort ~/my-clips

    Exit status: 0; 2 when a label has too few patients, or too many clips cannot be read.
    """
    from lus.common import params_file, progress
    from lus.stages.cohort import run

    with changed_inputs.refuse_changed_inputs():
        loaded = params_file.load_params()
        clips = folder or Path(loaded.cohort.folder)
        said = progress.with_bar("cohort", lambda report: run(clips, out, loaded.cohort, loaded.limits, report))
    print(said)


@app.command(rich_help_panel=STAGES)
def frames(
    table: Annotated[Path, typer.Argument(help="cohort table")] = BUILD / "cohort.csv",
    out: Annotated[Path, typer.Argument(help="folder for the frames")] = BUILD / "frames",
    report: Annotated[Path, typer.Argument(help="folder for the checks' results")] = BUILD / "checks",
) -> None:
    """Sample frames, check every clip, quarantine what is not usable, look for leaks.

    Reads the cohort table and its clips; writes the frames, and beside them the checks' results: quarantine.csv,
    near-duplicates.csv, shortcuts.csv and pages (build/checks/index.html).

        lus frames

    Exit status: 0; 2 when a label or more than frames.max_quarantined of the clips is lost.
    """
    from lus.common import params_file, progress
    from lus.stages.frames import run

    with changed_inputs.refuse_changed_inputs():
        loaded = params_file.load_params()
        said = progress.with_bar("frames", lambda tick: run(table, out, report, loaded, tick))
    print(said)


@app.command(rich_help_panel=STAGES)
def pretrain(
    out: Annotated[Path, typer.Argument(help="folder to make; its name is the backbone's")],
    sampled: Annotated[Path, typer.Argument(help="folder of frames")] = BUILD / "frames",
) -> None:
    """Train a backbone, the CNN, on the cohort's frames.

    One for each fold, on its training patients alone, and one on all patients. Where the backbone's weights are not
    `own` (features.weights), there is nothing to train, and the folder says so.

        lus pretrain build/pretrain/mobilenetv2
    """
    from lus.common import params_file, progress, quiet
    from lus.features import backbones, imagenet, weights
    from lus.stages.pretrain import run

    with changed_inputs.refuse_changed_inputs(), progress.steps() as step:
        loaded = params_file.load_params()
        if backbones.resolve_weights(out.name, loaded.features.weights) == weights.OWN:
            quiet.import_tensorflow(step)
            imagenet.provide_where_needed(out.name, loaded.pretrain.start, step)
        said = run(sampled, out, loaded, step(f"pretrain {out.name}"))
    print(said)


@app.command(rich_help_panel=STAGES)
def features(
    out: Annotated[Path, typer.Argument(help="folder to make; its name says backbone and length")],
    sampled: Annotated[Path, typer.Argument(help="folder of frames")] = BUILD / "frames",
) -> None:
    """Run a backbone, the CNN, over the frames: frames become features.

    Reads the frames and `build/pretrain`; writes a feature set: features.npy, and the CNN's weights. Each clip's
    features are kept in `.lus/` too, and computed once.

        lus features build/features/xception-20   # of Xception, for sequences of 20 frames
    """
    from lus.common import params_file, progress, quiet
    from lus.features import featureset, imagenet
    from lus.stages.features import run

    with changed_inputs.refuse_changed_inputs(), progress.steps() as step:
        section = params_file.load_params().features
        quiet.import_tensorflow(step)
        imagenet.provide_where_needed(featureset.parse_name(out.name)[0], section.weights, step)
        said = run(sampled, BUILD / "pretrain", out, section, step(f"features {out.name}"))
    print(said)


@app.command(rich_help_panel=STAGES)
def search(
    folder: Annotated[Path, typer.Argument(help="feature set")],
    out: Annotated[Path, typer.Argument(help="folder for the trials")],
) -> None:
    """Search the head of a feature set with Optuna.

    Reads a feature set; writes the trials, each also as an MLflow run nested under its search. One search for each
    fold, on its training patients alone, and one on the whole cohort. A search that was ended goes on where it stopped.

        lus search build/features/xception-20 build/search/xception-20
    """
    from lus.common import params_file, progress, quiet
    from lus.stages.search import run

    with changed_inputs.refuse_changed_inputs(), progress.steps() as step:
        loaded = params_file.load_params()
        quiet.import_tensorflow(step)
        said = run(folder, out, loaded.search, loaded.folds, step(f"search {folder.name}"))
    print(said)


@app.command(rich_help_panel=STAGES)
def evaluate(out: Annotated[Path, typer.Argument(help="folder for the figures")] = BUILD / "evaluation") -> None:
    """Test the chosen heads on patients that nothing was trained or chosen on.

    Reads `build/features`, `build/search`, `build/frames` and `build/checks`; writes figures with intervals, baselines,
    the audit and plots, and logs them to MLflow as a run.

        lus evaluate
    """
    from lus.common import params_file, progress, quiet
    from lus.features import featureset
    from lus.stages.evaluate import run

    with changed_inputs.refuse_changed_inputs(), progress.steps() as step:
        loaded = params_file.load_params()
        names = [featureset.format_name(b, n) for b in loaded.features.backbones for n in loaded.frames.lengths]
        quiet.import_tensorflow(step)
        said = run(BUILD, names, out, loaded.evaluate, loaded.folds, step)
    print(said)


@app.command(rich_help_panel=STAGES)
def register(
    out: Annotated[Path, typer.Argument(help="file to write")] = BUILD / "register.json",
    anew: Annotated[
        bool, typer.Option("--anew", help="register another version, also where there is one of the same result")
    ] = False,
) -> None:
    """Train the chosen classifier on the whole cohort and register it as the challenger.

    Reads `build/evaluation` and the feature set that it chose; writes a version to MLflow, and its number to a file.
    Where a version of the same evaluation, features and code exists, that one becomes the challenger, and nothing is
    trained. `lus promote` puts it into production.

        lus register
        lus register --anew
    """
    from lus.common import params_file, progress, quiet
    from lus.stages.register import run

    refuse_changes = changed_inputs.record_inputs()
    section = params_file.load_params().register_
    with progress.steps() as step:
        quiet.import_tensorflow(step)
        # Before it registers: a version stays, whatever DVC records.
        said = run(BUILD, out, section, step, refuse_changes, anew)
    print(said)


@app.command(rich_help_panel=STAGES)
def package(
    out: Annotated[Path, typer.Argument(help="file to write")] = BUILD / "package.json",
    alias: Annotated[
        str | None, typer.Option(help="champion, challenger, previous, ...; default: package.alias of params.yaml")
    ] = None,
) -> None:
    """Build the Bento of a registered version, which `lus serve` and `make image` run.

    Takes the champion, the challenger while there is none, or the version that bears the alias that is named. Its CNN
    is compiled for package.engine of `params.yaml`, and must answer the clips that are stored with it as it did when it
    was registered. Writes `build/served`, a file with the Bento's tag, and the Bento to BentoML's store.

        lus package
        lus package --alias previous

    Exit status: 0; 2 when no version bears the alias, or it answers otherwise.
    """
    from lus.common import params_file, progress, quiet
    from lus.stages.package import run

    with changed_inputs.refuse_changed_inputs(), progress.steps() as step:
        loaded = params_file.load_params()
        section = loaded.package
        chosen = section.model_copy(update={"alias": alias}) if alias else section
        quiet.import_tensorflow(step)
        said = run(loaded.register_.name, BUILD / "served", out, chosen, step)
    print(said)
