"""The one kind of error that a user is meant to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby


class BadInput(Exception):
    """Something given from outside is not usable.

    The message is one sentence that names what was found, what was expected and what to do. The command
    line prints it alone and exits with status 2; the service answers it with a 4xx.
    """


@dataclass(frozen=True)
class Finding:
    """A check that a clip does not pass.

    Attributes:
        check: its name, as in the column `check` of `quarantine.csv`.
        found: a number where one was measured, words elsewhere.
        expected: what a usable clip has.
        advice: what to do.
        meaning: of the number that was found; empty where `found` is words.
    """

    check: str
    found: str
    expected: str
    advice: str
    meaning: str = ""

    def __str__(self) -> str:
        what = f"{self.meaning} is {self.found}" if self.meaning else self.found
        return f"{what}, {self.expected} is expected"


class Unusable(BadInput):
    """A clip does not pass its checks; `findings` says which and why, and `name` is the clip's file name."""

    def __init__(self, name: str, findings: Sequence[Finding]) -> None:
        self.name, self.findings = name, tuple(findings)
        super().__init__(f"{name}: {self.reason}")

    @property
    def reason(self) -> str:
        """The sentence without the clip's name: each finding with its own advice, or successive ones with one."""
        if len(self.findings) == 1:
            return f"{self.findings[0]}; {self.findings[0].advice}"
        groups = groupby(self.findings, lambda one: one.advice)
        return "; ".join(f"{'; '.join(map(str, findings))}: {advice}" for advice, findings in groups)

    def __reduce__(self) -> tuple[type[Unusable], tuple[str, tuple[Finding, ...]]]:
        # It comes back from worker processes; exceptions are rebuilt from their message alone by default.
        return Unusable, (self.name, self.findings)
