"""README.md can be followed: its blocks are found, its commands exist. `make readme` runs them."""

from __future__ import annotations

import re
import shlex

from tests.conftest import ROOT
from tests.readme import CONTAINER, ENDS, SAYS, SERVERS, commands

README = (ROOT / "README.md").read_text()


def test_the_commands_of_a_text_are_those_of_its_blocks_of_shell_without_their_remarks() -> None:
    text = (
        "```sh\nmake a   # all\ndocker run \\\n  --rm b\n```\n\n    indented\n\n"
        "```mermaid\nflowchart\n```\n```sh\nlus c\n```\n"
    )
    assert [command.split() for command in commands(text)] == [
        ["make", "a"],
        ["docker", "run", "--rm", "b"],
        ["lus", "c"],
    ]


def test_every_block_of_the_readme_is_run_or_drawn_and_none_is_indented() -> None:
    assert set(re.findall(r"^```(\w*)$", README, re.MULTILINE)) == {"sh", "mermaid", ""}
    blocks = README.split("\n\n")
    assert not [block for block in blocks if block.startswith("    ")]


def test_every_command_of_the_readme_begins_with_a_program_of_this_project_or_one_that_it_asks_for() -> None:
    assert {shlex.split(command)[0] for command in commands(README)} == {
        *("make", "lus", "dvc"),
        *("curl", "docker", "export", "."),
    }


def test_what_is_known_of_commands_is_of_commands_that_are_there() -> None:
    found = commands(README)
    known = {*SERVERS, *CONTAINER, *SAYS, *ENDS}
    assert [one for one in known if not any(command.startswith(one) for command in found)] == []
