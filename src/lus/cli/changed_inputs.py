"""What changes while a stage runs, which DVC would record as if the stage had used it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from lus.common.errors import BadInput

STAGE, ROOT = "DVC_STAGE", "DVC_ROOT"
"""Variables by which DVC tells a command whose stage it is, and in which project."""
KEPT = {"pretrain": "CNNs", "features": "features", "search": "trials"}
"""What stages compute once and keep beside the pipeline's outputs."""
NAMED = 3
"""Changes that are named at most."""


@contextmanager
def refuse_changed_inputs() -> Iterator[None]:
    """Nothing that the stage depends on may change in here: with status 2 DVC records neither stage nor outputs.

    DVC hashes dependencies and parameters again when a stage has ended, hours after it has read them.

    Raises:
        BadInput: something changed, or dvc.yaml has no such stage any more.
    """
    refuse_changes = record_inputs()
    yield
    refuse_changes()


def record_inputs() -> Callable[[], None]:
    """Look at what the stage depends on; gives what raises BadInput where that is not as it was.

    Where DVC does not run this as a stage of the project in the current folder, nothing is recorded, and nothing is
    looked at.
    """
    name, root = os.environ.get(STAGE), os.environ.get(ROOT)
    if not name or not root or not Path("dvc.yaml").is_file() or Path(root).resolve() != Path.cwd():
        return lambda: None
    stage = _resolved(name)
    before = _state(stage)

    def refuse_changes() -> None:
        after = _state(stage)
        changed = sorted(one for one in before.keys() | after.keys() if before.get(one) != after.get(one))
        if changed:
            raise BadInput(_sentence(name, changed))

    return refuse_changes


def _sentence(name: str, changed: list[str]) -> str:
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    kept = KEPT.get(name.partition("@")[0])
    kept = f", which takes up the {kept} computed so far that do not depend on the change" if kept else ""
    return (
        f"{', '.join(changed[:NAMED])}{more} changed while {name} ran: its results may be of the old or of the new and "
        f"are not recorded; run `dvc repro` again{kept}"
    )


def _resolved(name: str) -> Any:
    """DVC's own stage: its templates filled in, its item of a matrix chosen."""
    with redirect_stdout(sys.stdout), redirect_stderr(sys.stderr):  # DVC puts others in their place, which then go
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
    try:
        return Repo().stage.load_one(name=name)
    except DvcException as error:
        raise BadInput(
            f"{name}: dvc.yaml and params.yaml have no such stage any more ({error}); run `dvc repro` again"
        ) from None


def _state(stage: Any) -> dict[str, object]:
    """Parameters by their names, and the size and time of files by their paths: of all that a stage depends on."""
    from dvc.dependency.param import ParamsDependency

    state: dict[str, object] = {}
    for dependency in stage.deps:
        if isinstance(dependency, ParamsDependency):
            state |= _params(dependency)
        else:
            state |= _files(stage.repo, dependency)
    return state


def _params(dependency: Any) -> dict[str, object]:
    """The parameters that a stage names; those of a section each by its whole name."""
    from dvc.exceptions import DvcException

    found: dict[str, object] = {}
    try:
        for name, value in dependency.read_params().items():
            found |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    except DvcException:
        raise BadInput(f"{dependency}: is not YAML any more; mend the file, then run `dvc repro` again") from None
    return found


def _files(repo: Any, dependency: Any) -> dict[str, object]:
    """Size and time of last change of a file, or of all files in a folder but those that DVC ignores."""
    found: dict[str, object] = {}
    place, named = dependency.fs_path, str(dependency)
    for path in repo.dvcignore.find(repo.fs, place) if Path(place).is_dir() else [place]:
        try:
            status = Path(path).stat()
        except OSError:
            continue  # gone, or a link to nowhere
        found[named + path.removeprefix(place)] = (status.st_size, status.st_mtime_ns)
    return found
