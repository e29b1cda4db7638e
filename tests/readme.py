"""README.md followed to the letter: its commands, in their order, in a fresh clone. `make readme` runs them.

What a reader has and a machine of tests has not (clips of one's own, a database) is in `Reader`; every other word is
run as it stands. It ends with the seconds that each command took.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from lus.clips import layouts
from tests.conftest import ROOT
from tests.servers import end, make_database, mlflow_server, postgres, wait_until_ready

SERVERS = {
    "make ui": "http://127.0.0.1:5000/health",
    "make serve": "http://127.0.0.1:3000/readyz",
    "docker run": "http://127.0.0.1:3000/readyz",
}
"""Commands that end with Ctrl-C alone, and what answers once they are ready. The next one ends the one before."""
CONTAINER = ("make image", "make smoke", "make sbom", "docker run")
"""Commands that need docker, or podman and root."""
SAYS = {"curl": '"label"', "make smoke": "lus classify", "lus audit --table": "1 of 2 results"}
"""Commands whose output has to hold something; their exit status alone does not say that they did what they should."""
ENDS = {"lus audit --table": 2}
"""Exit statuses other than 0: there is a leak in the reader's table."""
RESULTS = (
    "model,fold 1,fold 2,fold 3,fold 4,fold 5\ncarried,0.6757,1,1,1,1\nafresh,0.7027,0.6486,0.8108,0.5946,0.7568\n"
)
AGAIN = 12
"""Seconds that a second `make repro` may take, where nothing has changed."""
PATIENTS = 6
"""Of each label of the reader's clips; one more than the folds need."""
PUBLIC = "jannisborn/covid19_ultrasound/data"
FOREIGN = ("MLFLOW_", "OPTUNA_", "BENTOML_", "MAKE", "LUS_", "PYTHON")
"""Beginnings of variables that a reader's machine does not have."""

T = TypeVar("T")


def commands(readme: str) -> list[str]:
    """The commands in a text's blocks of shell, in their order; a line that goes on in the next one is one command."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


class Reader:
    """Somebody with a fresh clone, clips of their own, and nothing but the README.

    Args:
        scratch: an empty folder.
        container: whether this machine can build and run containers.
    """

    def __init__(self, scratch: Path, container: bool) -> None:
        self.scratch, self.clone, self.container = scratch, scratch / "lus", container
        self.seconds: list[tuple[str, float]] = []
        self.server: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, str] = {}

    def follow(self) -> None:
        """Run every command; the first that does not do what it should ends all."""
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.clone)], check=True)
        (self.scratch / "state").write_text("")
        with ExitStack() as stack:
            stack.callback(self._stop)
            for command in commands((self.clone / "README.md").read_text()):
                if command.startswith(CONTAINER) and not self.container:
                    print(f"not run here, it needs docker, or podman and root: {command}", flush=True)
                    continue
                self._prepare(command, stack)
                self._run(command)
                if command == "make repro":
                    self._run_again(command)

    def _prepare(self, command: str, stack: ExitStack) -> None:
        """Get what the reader has by now."""
        if "my-clips" in command and not (self.scratch / "my-clips").exists():
            self._collect_clips()
        if "results.csv" in command:
            (self.clone / "results.csv").write_text(RESULTS)
        if command.startswith("export") and not self.addresses:
            database = stack.enter_context(postgres())
            self.addresses["postgresql://lus@db.example.org/optuna"] = make_database(database, "optuna")
            tracking = stack.enter_context(mlflow_server(make_database(database, "mlflow"), self.scratch / "artifacts"))
            self.addresses["https://mlflow.example.org"] = tracking

    def _collect_clips(self) -> None:
        """Six patients of each label and a clip of each: public ones, else phantom ones; and three without labels."""
        public = Path(os.environ.get("LUS_UPSTREAM", "")) / PUBLIC
        listed = layouts.list_clips(public if "LUS_UPSTREAM" in os.environ else self.clone / "phantom")
        taken: dict[str, list[str]] = {}
        for one in listed:
            patients = taken.setdefault(one.label, [])
            if one.refused or one.patient in patients or len(patients) == PATIENTS:
                continue
            patients.append(one.patient)
            place = self.scratch / "my-clips" / one.label / one.patient
            place.mkdir(parents=True)
            shutil.copy(one.path, place)
        (self.scratch / "mine").mkdir()
        for clip in sorted(path for path in (self.scratch / "my-clips").rglob("*") if path.is_file())[::PATIENTS]:
            shutil.copy(clip, self.scratch / "mine")

    def _run(self, command: str, remark: str = "") -> float:
        """Run a command; gives the seconds that it took, which are kept too."""
        print(f"\n$ {command}", flush=True)
        started = time.monotonic()
        address = next((found for beginning, found in SERVERS.items() if command.startswith(beginning)), None)
        if address:
            self._start(self._replaced(command), address)
        else:
            self._call(command)
        seconds = time.monotonic() - started
        self.seconds.append((command + remark, seconds))
        return seconds

    def _run_again(self, command: str) -> None:
        seconds = self._run(command, ", again")
        if seconds > AGAIN:
            sys.exit(f"{command}: {seconds:.0f} s when nothing has changed, {AGAIN} at most were expected")

    def _replaced(self, command: str) -> str:
        """The command as it is run here, where that is not as it stands."""
        if command == "make test":
            # All tests would begin with this one.
            return "make test ARGS=tests/splits/test_folds.py"
        if command.startswith("docker run"):
            # The engine of this machine, with what it needs here.
            shown = (
                "from container import engine; found = engine.choose(); "
                "print(found.format_command('run', *found.running))"
            )
            program = subprocess.run(
                [".venv/bin/python", "-c", shown], cwd=self.clone, check=True, capture_output=True, text=True
            )
            command = command.replace("docker run", program.stdout.strip())
        for written, here in self.addresses.items():
            command = command.replace(written, here)
        return command

    def _script(self, command: str) -> list[str]:
        """What bash is given: one command in the terminal in which the ones before it were typed."""
        state = shlex.quote(str(self.scratch / "state"))
        return ["bash", "-c", f"set -eo pipefail; . {state}\n{command}\nexport -p > {state}"]

    def _call(self, command: str) -> None:
        here = self._replaced(command)
        if here != command:
            print(f"(here: {here})", flush=True)
        said = ""
        running = subprocess.Popen(
            self._script(here),
            cwd=self.clone,
            env=self._environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            said += line
        status, expected = running.wait(), _of(ENDS, command, 0)
        if status != expected:
            sys.exit(f"{command}: exit status {status}, {expected} expected")
        if _of(SAYS, command, "") not in said:
            sys.exit(f"{command}: `{_of(SAYS, command, '')}` expected in what it says")

    def _start(self, command: str, address: str) -> None:
        self._stop()
        self.server = subprocess.Popen(
            self._script(command), cwd=self.clone, env=self._environment(), start_new_session=True
        )
        wait_until_ready(address, self.server)

    def _stop(self) -> None:
        if self.server:
            end(self.server)
        self.server = None

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        own.pop("VIRTUAL_ENV", None)
        path = [part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != Path(sys.executable).parent]
        # The store of Bentos is this run's own; its figures are printed as on a terminal of this width.
        return own | {"PATH": os.pathsep.join(path), "BENTOML_HOME": str(self.scratch / "bentoml"), "COLUMNS": "100"}


def _of(known: Mapping[str, T], command: str, otherwise: T) -> T:
    """What is known of the command that begins so."""
    return next((value for beginning, value in known.items() if command.startswith(beginning)), otherwise)


def main() -> None:
    """Print each command with what it says, then their seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-container", action="store_true", help="leave out what needs docker, or podman and root")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lus-readme-") as scratch:
        reader = Reader(Path(scratch), container=not options.no_container)
        reader.follow()
    print("\nseconds")
    for command, seconds in reader.seconds:
        print(f"{seconds:7.0f}  {command}")


if __name__ == "__main__":
    main()
