"""`lus`'s verbs that answer clips, here or over HTTP, and the one that serves MLflow's pages."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated

import typer

from lus.cli.stages import BUILD
from lus.common.errors import BadInput, Unusable

app = typer.Typer()
COMPARE, ANSWER = "Compare and audit", "Answer clips"


@app.command(rich_help_panel=ANSWER)
def classify(
    clips: Annotated[list[Path], typer.Argument(help="video or DICOM files, or folders of them")],
    version: Annotated[
        str | None, typer.Option(help="number of a version; default: the champion, else the challenger")
    ] = None,
    patient: Annotated[
        bool, typer.Option("--patient", help="all clips are of one patient; default: as the layout of a folder says")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Classify clips with a registered version.

    Reads the model from MLflow, and prints a label and its probabilities for each clip. A clip that is not usable by
    the model's own limits gets no answer. Where a folder's layout names patients (a clips.csv, or LABEL/PATIENT/CLIP),
    and with `--patient`, the answer to the patient stands beside each clip's: the mean of the probabilities of all of
    the patient's clips.

        lus classify phantom
        lus classify one.avi two.avi --patient
        lus classify clip.mp4 --version 7 --json

    Exit status: 0; 2 when a clip got no answer (the others are printed), or nothing is registered.
    """
    from lus.checks import survey
    from lus.cli import tables
    from lus.common import params_file, progress, quiet
    from lus.inference.patient_answer import answer_patients
    from lus.registry import aliases, download, models

    name = params_file.load_params().register_.name
    files = survey.find_clips(clips)
    missing = [str(one) for one in files if not one.is_file()]
    if missing:
        raise BadInput(f"{', '.join(missing)}: no such file; name video or DICOM files, or folders of them")
    patients: list[Hashable | None] = ["one"] * len(files) if patient else _find_patients(clips, files)
    with progress.steps() as step:
        step("asking MLflow")
        chosen = (
            models.get_version(name, version)
            if version
            else aliases.get_version_by_alias(name, aliases.CHAMPION, aliases.CHALLENGER)
        )
        quiet.import_tensorflow(step)
        with download.load_classifier(chosen, step) as classifier:
            report, found = step("classifying"), []
            for one in zip(files, classifier.classify_all(files), strict=True):
                found.append(one)
                report(len(found), len(files))
    title = f"{name} version {chosen.version} ({', '.join(chosen.aliases) or 'no alias'})"
    together = answer_patients([None if isinstance(one, Unusable) else one for _, one in found], patients)
    if as_json:
        tables.print_answers_json(found, together)
    else:
        tables.print_answers(found, together, classifier.metadata.labels, title)
    refused = [str(answer) for _, answer in found if isinstance(answer, Unusable)]
    if refused:
        raise BadInput("; ".join(refused))


def _find_patients(clips: list[Path], files: list[Path]) -> list[Hashable | None]:
    """Who each file shows, where a folder's layout says so; a table that cannot be read is named, no more."""
    from lus.checks import survey

    try:
        found = survey.find_patients(clips)
    except BadInput as error:
        print(f"no patient is answered: {error}", file=sys.stderr)
        return [None] * len(files)
    return [found.get(file) for file in files]


@app.command(rich_help_panel=ANSWER)
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port")] = 3000,
    host: Annotated[str, typer.Option(help="address to listen on; 0.0.0.0: every one")] = "127.0.0.1",
) -> None:
    """Answer clips over HTTP, until Ctrl-C.

    Runs the Bento that `lus package` built, with a page for browsers at `/`. LUS_API_KEYS or LUS_API_KEYS_FILE make it
    ask for keys (`lus api-key`); docs/service.md has its other settings.

        lus serve
        curl -F clip=@clip.mp4 http://127.0.0.1:3000/classify
    """
    import json

    import bentoml
    from bentoml.exceptions import NotFound

    from lus.service import api_keys, settings

    file = BUILD / "package.json"
    if not file.is_file():
        raise BadInput(f"{file}: not found; `dvc repro` builds the Bento first")
    tag = json.loads(file.read_text())["bento"]
    try:
        source = Path(bentoml.get(tag).path_of("src"))
    except NotFound:
        raise BadInput(f"{tag} is not in this machine's Bento store; `lus package` builds it again") from None
    if keys := os.environ.get(api_keys.KEYS_FILE):
        # The service runs in a folder of its Bento.
        os.environ[api_keys.KEYS_FILE] = str(Path(keys).absolute())
    settings.read_settings()
    _refuse_taken(host, port, "--port or --host")
    # The Bento's own copy of the code answers, not the working tree's.
    os.environ["PYTHONPATH"] = str(source / "src")
    program = Path(sys.executable).with_name("bentoml")
    os.execv(program, [str(program), "serve", tag, "--host", host, "--port", str(port)])


def _refuse_taken(host: str, port: int, options: str) -> None:
    """Refuse a port that cannot be listened on, before a server says so in pages."""
    from lus.common import ports

    if wrong := ports.explain_taken(host, port):
        raise BadInput(f"{host}, port {port}: {wrong}; name another with {options}")


@app.command("api-key", rich_help_panel=ANSWER)
def api_key(name: Annotated[str, typer.Argument(help="whose key it is: letters, digits, - and _")]) -> None:
    """Make an API key for the service.

    Prints `name:hash`, for LUS_API_KEYS or LUS_API_KEYS_FILE, on standard output, and the key for its holder, this
    once, on standard error. Nothing is kept here.

        lus api-key ward-3 >> keys.txt
    """
    from lus.service import api_keys

    if not name.replace("-", "").replace("_", "").isalnum():
        raise BadInput(f"{name!r}: letters, digits, - and _ are expected; name the key otherwise")
    key, digest = api_keys.new_key()
    print(f"{name}:{digest}")
    print(f"the key, shown this once: {key}", file=sys.stderr)


@app.command(rich_help_panel=COMPARE)
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port")] = 5000) -> None:
    """Serve MLflow's pages on this project's runs and models, until Ctrl-C.

    Reads `mlflow.db` and `mlartifacts/`; the pages are at 127.0.0.1. Where MLFLOW_TRACKING_URI names a server, that has
    them.

        lus ui
    """
    from lus.tracking import client

    program = Path(sys.executable).with_name("mlflow")
    uri = client.tracking_uri()
    if uri.startswith("http"):
        raise BadInput(f"MLFLOW_TRACKING_URI names a server; open {client.hide_password(uri)} in a browser")
    _refuse_taken("127.0.0.1", port, "--port")
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    # Not as an argument, which all users of the machine see: it may hold a password.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    arguments = ["--artifacts-destination", str(client.ARTIFACTS), "--workers", "1"]
    os.execv(program, [str(program), "server", "--host", "127.0.0.1", "--port", str(port), *arguments])
