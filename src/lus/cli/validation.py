"""`lus validate`: a registered version on clips of another place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lus.cli.registry import REGISTRY

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from lus.evaluation.training_overlap import TrainingClips

app = typer.Typer()


@app.command(rich_help_panel=REGISTRY)
def validate(
    version: Annotated[str, typer.Argument(help="number of a version, an alias, or the lineage id of a served answer")],
    folder: Annotated[Path, typer.Argument(help="clips of another place, in any layout of a cohort")],
    label_map: Annotated[
        list[str] | None,
        typer.Option("--map", help="COHORT-LABEL=LABEL,LABEL: the model's labels that one of the cohort stands for"),
    ] = None,
    leave_out: Annotated[list[str] | None, typer.Option(help="a label whose clips are left out")] = None,
    name: Annotated[str | None, typer.Option(help="of the cohort; default: the folder's")] = None,
    out: Annotated[Path | None, typer.Option(help="a folder to write the files to as well")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
) -> None:
    """Validate a version on a cohort that it was not trained on.

    Checks the clips, asks the version each usable one, and compares the answers with the labels. Clips and patients
    that it was trained on are named, and count in no metric. Writes a run to MLflow, linked to the version; `lus show`
    lists it.

        lus validate champion ../other-hospital
        lus validate 7 ../icu --map covid-positive=covid-19 --map covid-negative=healthy,pneumonia

    Exit status: 0; 2 where nothing can be compared.
    """
    from lus.cli import validation_tables
    from lus.common import params_file, progress, quiet
    from lus.evaluation import validation, validation_files
    from lus.evaluation.label_map import parse_options
    from lus.registry import download, models, versions

    loaded, given = params_file.load_params(), parse_options(label_map or [])
    with progress.steps() as step:
        step("asking MLflow")
        chosen = versions.resolve_version(loaded.register_.name, version)
        quiet.import_tensorflow(step)
        with download.load_classifier(chosen, step) as classifier:
            own = classifier.metadata
            lengths = loaded.frames.model_copy(update={"lengths": (own.length,)})
            params = loaded.model_copy(update={"limits": own.limits, "frames": lengths})
            called = name or folder.resolve().name
            tested = validation.read_cohort(folder, called, params, leave_out or [], step("checking the clips"))
            step("looking for training clips")
            training = _training_clips(chosen)
            found = validation.validate(classifier, tested, given, training, loaded.evaluate, step)
        step("logging the run to MLflow")
        validation_files.log_validation(chosen, models.logged_model_id(chosen), found)
    if out is not None:
        validation_files.write_validation(out, found)
    show = validation_tables.print_validation_json if as_json else validation_tables.print_validation
    show(found, f"{chosen.name} version {chosen.version} on {called}")


def _training_clips(version: ModelVersion) -> TrainingClips | None:
    """The clips that a version was trained on, with fingerprints of those whose frames this project still has."""
    import tempfile

    from lus.cli.stages import BUILD
    from lus.clips import cohort, frameset
    from lus.evaluation.training_overlap import hash_training_clips
    from lus.registry import download

    with tempfile.TemporaryDirectory() as scratch:
        table = download.download_lineage(version, Path(scratch)) / frameset.CLIPS_FILE
        if not table.is_file():
            return None
        clips = cohort.read(table)
    there = (BUILD / "frames" / frameset.CLIPS_FILE).is_file()
    return hash_training_clips(clips, frameset.read(BUILD / "frames") if there else None)
