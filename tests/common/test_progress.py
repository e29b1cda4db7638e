from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from lus.common import progress, quiet
with progress.steps() as step:
    step("loading")
    with quiet.silence_stderr():
        report = step("asking the stored clips")
        report(3, 12)
        print("said meanwhile", flush=True)
print("the result")
"""


def _on_a_terminal(script: str, out: Path) -> str:
    """What a script shows on a terminal of 80 columns; its standard output goes to a file."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    environment |= {"TERM": "xterm"}
    with out.open("wb") as file:
        done = subprocess.Popen([sys.executable, "-c", script], stdout=file, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:
        pass  # Linux says so where the other side is closed.
    os.close(ours)
    assert done.wait() == 0, shown
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_on_a_terminal_each_step_has_its_name_and_what_is_counted_a_bar(tmp_path: Path) -> None:
    shown = _on_a_terminal(SCRIPT, tmp_path / "out")
    lines = [line.strip() for line in re.split(r"[\r\n]+", shown) if line.strip()]
    assert re.fullmatch(r"loading +0:00:0\d", lines[-2])
    assert re.fullmatch(r"asking the stored clips +━+\S* +3/12 .*", lines[-1])
    assert all(len(line) <= 80 for line in lines)


def test_what_is_printed_to_a_file_meanwhile_goes_there(tmp_path: Path) -> None:
    shown = _on_a_terminal(SCRIPT, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "said meanwhile\nthe result\n"
    assert "changed_inputs" not in shown


@pytest.mark.parametrize("settings", [{}, {"FORCE_COLOR": "1"}])
def test_elsewhere_nothing_is_shown_even_where_colours_are_forced(settings: dict[str, str]) -> None:
    own = os.environ | settings
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=own)
    assert (done.stdout, done.stderr) == ("said meanwhile\nthe result\n", "")


LOGGING = """
import logging
from lus.common import progress
with progress.steps() as step:
    step("loading")
    logging.getLogger().addHandler(logging.StreamHandler())
logging.warning("said later")
"""


def test_a_log_that_a_library_opened_meanwhile_still_writes_afterwards(tmp_path: Path) -> None:
    shown = _on_a_terminal(LOGGING, tmp_path / "out")
    assert "said later" in shown.splitlines()
    assert "Traceback" not in shown
