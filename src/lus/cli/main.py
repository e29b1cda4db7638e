"""`lus`: one thin verb a stage and a job. Heavy imports are inside the verbs."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lus.cli import registry, serving, stages, validation, weights
from lus.cli.stages import BUILD
from lus.common.errors import BadInput

ENVIRONMENT = {
    # Every library's telemetry is off; DVC's is in .dvc/config, OpenVINO's in engines.py.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    # TensorFlow, OpenCV and MLflow write pages of notices that nobody can act on.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    "OPENCV_LOG_LEVEL": "ERROR",
    "KERAS_BACKEND": "tensorflow",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
NO_FAULT_OF_OURS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
"""Errors of the system about a place that the user has named."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    help="""Lung-ultrasound video classification: rebuild, compare, promote, deploy.

    The verbs work on the project in the current folder, with the parameters of its `params.yaml`. What they make goes
    to `build/`, runs and models to MLflow (`mlflow.db` and `mlartifacts/`, or the server that MLFLOW_TRACKING_URI
    names).

        lus doctor                   # what this machine lacks
        lus use phantom              # or a folder of your own clips
        dvc repro                    # runs the stages: clips to a registered model
        lus promote                  # the model goes into production
        lus classify phantom/p01-c1.avi

    Exit status: 0; 2 where something is refused, with one sentence on standard error that says why and what to do.
    """,
)
BEGIN, COMPARE = "Begin", serving.COMPARE


def main() -> None:
    """Entry point: bad input ends in one sentence and exit status 2."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except Exception as error:
        if (said := _sentence(error)) is None:
            raise
        print(f"lus: {said}", file=sys.stderr)
        sys.exit(2)


def _sentence(error: Exception) -> str | None:
    """What to tell the user of an error; None where the fault is the program's."""
    if isinstance(error, BadInput):
        return str(error)
    from lus.tracking import client  # a quarter of the time that `lus --help` takes

    # Before errors of the system, as which those of requests come too.
    if (said := client.explain_refusal(error)) is not None or not isinstance(error, OSError):
        return said
    # A write that finds the disk full does not say where it was writing.
    if error.errno not in NO_FAULT_OF_OURS or (error.filename is None and error.errno != errno.ENOSPC):
        return None
    return f"{error.filename or 'the disk'}: {error.strerror}; make it possible or name another place"


@app.command(rich_help_panel=BEGIN)
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Look at what this machine and this clone have of what the project needs.

    Looks at Python, git, DVC, disk, memory, the CNN's weights, clips, servers that are named in the environment, other
    programs and ports. Nothing is changed. Each line is ok, missing (the project needs it) or a note (one job does).

        lus doctor

    Exit status: 0; 2 when something that is needed is missing.
    """
    from lus.cli import doctor_tables
    from lus.cli.doctor import Place, run_checks
    from lus.common import progress

    found = progress.with_bar("looking at this machine", lambda _: run_checks(Place()))
    doctor_tables.print_results_json(found) if as_json else doctor_tables.print_results(found)
    missing = [one.name for one in found if one.state == "missing"]
    if missing:
        raise BadInput(f"needed and missing: {', '.join(missing)}; each has what to do beside it")


@app.command(rich_help_panel=BEGIN)
def use(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="of clips: phantom (simulated), data (the public clips), or a folder of your own; default: as it is"
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="of the CNN: imagenet (fetched once), random (seeded; for trials), own (trained on the clips), or a "
            "file in weights/; default: as they are"
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="what the weights called own are trained from: imagenet, random, or a file in weights/; default: as "
            "it is"
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="by which clips are cut into folds: nested-patient, leave-source-out, published or published-fresh "
            "(the last two leak); default: as it is"
        ),
    ] = None,
) -> None:
    """Switch the project to other clips, weights or another protocol.

    Writes cohort.folder, features.weights, pretrain.start and folds.protocol into `params.yaml`, whose comments stay;
    nothing is rebuilt until `dvc repro`.

        lus use ~/my-clips
    """
    from lus.common import params_file

    if folder is not None and ".." in folder.parts:
        folder = folder.resolve()  # the clone may be moved, and is cloned anew by `lus reproduce`
    if folder is not None and not folder.is_dir() and folder.as_posix() not in ("phantom", "data"):
        raise BadInput(f"{folder}: no such folder; name one with clips, or phantom, or data")
    wanted = {
        "cohort.folder": folder.as_posix() if folder else None,
        "features.weights": weights,
        "pretrain.start": start,
        "folds.protocol": protocol,
    }
    now = params_file.change_params({key: value for key, value in wanted.items() if value is not None})
    first = "`make data` fetches the clips, " if now.cohort.folder == "data" and not Path("data").is_dir() else ""
    trained = f" (trained from {now.pretrain.start})" if now.features.weights == "own" else ""
    weights_now = f"{now.features.weights}{trained}"
    leaks = " (its figures leak)" if now.folds.protocol.startswith("published") else ""
    what = f"cohort {now.cohort.folder}, weights {weights_now}, protocol {now.folds.protocol}{leaks}"
    print(f"{what}; {first}`dvc repro package` rebuilds the rest")


@app.command(rich_help_panel=BEGIN)
def check(
    clips: Annotated[list[Path], typer.Argument(help="video files, folders of them, or a cohort's folder")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
) -> None:
    """Run the pipeline's checks on any clips, and say which are usable.

    Each clip is decoded and held to the `limits` of `params.yaml`; nothing is kept. In a cohort's folder (a clips.csv,
    or a folder of clips for each label) the cohort's own rules are looked at too, and what could give labels away:
    near-duplicate clips of different patients or labels, and properties of the files.

        lus check ~/my-clips
        lus check clip.mp4 other.avi --json

    Exit status: 0; 2 when a clip is not usable.
    """
    from lus.checks import survey
    from lus.cli import tables
    from lus.common import params_file, progress

    loaded = params_file.load_params()
    found = progress.with_bar("check", lambda report: survey.survey_clips(clips, loaded, report))
    tables.print_survey_json(found) if as_json else tables.print_survey(found)
    if found.refused:
        raise BadInput(f"not usable: {len(found.refused)} of {len(found.clips)} clips; each is listed with what to do")


@app.command(rich_help_panel=COMPARE)
def audit(
    table: Annotated[
        Path | None,
        typer.Option(
            help="a CSV with a row a result: the accuracies of its folds (fold_1, fold_2, ...), or their mean and "
            "standard deviation (accuracy_mean, accuracy_std), as shares or in percent; without it build/evaluation"
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="with --table: how many a mean is of")] = 5,
    clips: Annotated[int | None, typer.Option(min=1, help="with --table: clips of the whole cohort, if known")] = None,
    patients: Annotated[
        int | None, typer.Option(min=1, help="with --table: patients of the whole cohort, if known")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of tables")] = False,
) -> None:
    """Say what can have made an accuracy better than that of new patients.

    Reads `build/evaluation` (patients or copies on both sides of a fold, weights or choices that knew the test clips,
    what a file's source gives away), or a published table (folds of which one is poor and all others are perfect).
    Writes nothing.

        lus audit
        lus audit --table results.csv --clips 185

    Exit status: 0; 2 when a leak is found.
    """
    from lus.cli import tables
    from lus.common import progress

    if table is not None:
        from lus.audit.table import audit as audit_published
        from lus.audit.table import read as read_published

        verdict = audit_published(read_published(table, folds), clips, patients)
        tables.print_verdict_json(verdict) if as_json else tables.print_verdict(verdict, table.name)
        if verdict.leaking:
            raise BadInput(f"{table}: chance cannot have made {len(verdict.suspects)} of {verdict.rows} results")
        return
    from lus.audit import stored
    from lus.audit.checks import run_audit

    found = progress.with_bar("looking at the evaluation", lambda _: run_audit(stored.read(BUILD)))
    tables.print_audit_json(found) if as_json else tables.print_audit(found)
    if found.leaking:
        raise BadInput("the evaluation leaks: its number is not that of new patients; each leak is listed")


@app.command(rich_help_panel=COMPARE)
def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="for each its MLflow id (four characters or more), its name, or its beginning; none: the best trials "
            "of the newest search"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Show trials, searches or evaluations side by side.

    Reads MLflow: parameters, figures and what each was run on; what differs comes first. `lus best` and `lus ui` show
    runs with their ids.

        lus compare 5aa729cb 31a0bd3e
    """
    from lus.cli import tables
    from lus.common import progress
    from lus.search import compare_runs

    found = progress.with_bar("asking MLflow", lambda _: compare_runs.runs(runs) if runs else compare_runs.leading())
    tables.print_runs_json(found) if as_json else tables.print_runs(found)


@app.command(rich_help_panel=COMPARE)
def best(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Show the best trial of each feature set.

    Reads MLflow: of each feature set's newest search on the whole cohort the trial with the lowest loss, in the order
    of the losses.

        lus best
    """
    from lus.cli import tables
    from lus.common import progress
    from lus.search import compare_runs

    found = progress.with_bar("asking MLflow", lambda _: compare_runs.best())
    tables.print_runs_json(found) if as_json else tables.print_best(found)


# Not as groups of their own, which would come last in the help; a panel's verbs are in the order of their files.
for part in (weights, stages, registry, validation, serving):
    app.registered_commands += part.app.registered_commands
PANELS = (BEGIN, stages.STAGES, COMPARE, registry.REGISTRY, serving.ANSWER)
app.registered_commands.sort(key=lambda one: PANELS.index(str(one.rich_help_panel)))
