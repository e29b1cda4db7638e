"""Great Expectations' Data Docs as pages that fetch nothing, run no script and begin with what failed.

Great Expectations' own pages are styled and run by what they fetch from other hosts. Its site builder takes other
renderers (a result in, a document out) and other views (a document in, HTML out); those below are for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

MEANINGS = {"critical": "stops the run", "warning": "leaves clips out", "info": "is only reported"}
"""What a broken rule does, by its severity; the worst first."""
SHOWN = 20
"""The clips that are named for a rule, at most."""


def site(folder: str) -> dict[str, Any]:
    """What Great Expectations is told of a site of these pages in a folder."""

    def ours(name: str) -> dict[str, str]:
        return {"module_name": __name__, "class_name": name}

    results = {"class_name": "DefaultSiteSectionBuilder", "renderer": ours("SuiteRenderer"), "view": ours("SuiteView")}
    return {
        "class_name": "SiteBuilder",
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder},
        "site_index_builder": {
            "class_name": "DefaultSiteIndexBuilder",
            "renderer": ours("IndexRenderer"),
            "view": ours("IndexView"),
        },
        # A suite's rules stand on the page of its results.
        "site_section_builders": {"validations": results, "expectations": "None", "profiling": "None"},
    }


@dataclass(frozen=True)
class Broken:
    """A clip that breaks a rule: how many of its rows do, and what was found there."""

    path: str
    rows: int
    found: str


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation and what came of it.

    Attributes:
        column: that it is about.
        sentence: what it expects.
        advice: what to do about a clip that breaks it; may be empty.
        severity: a key of `MEANINGS`.
        held: whether nothing broke it.
        looked_at: rows that it was asked of; 0 where it is about the column as a whole.
        unexpected: rows that broke it.
        observed: what was found in the column as a whole, or why nothing could be; may be empty.
        clips: those that broke it.
    """

    column: str
    sentence: str
    advice: str
    severity: str
    held: bool
    looked_at: int
    unexpected: int
    observed: str
    clips: Sequence[Broken]

    @property
    def state(self) -> str:
        """For the reader and the stylesheet: passed, noted (broken, and only reported) or failed."""
        if self.held:
            return "passed"
        return "noted" if self.severity == "info" else "failed"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return len(MEANINGS) if self.held else list(MEANINGS).index(self.severity)


@dataclass(frozen=True)
class Suite:
    """A suite's rules with their results, the worst first."""

    name: str
    version: str
    rules: Sequence[ExpectationResult]

    @property
    def state(self) -> str:
        """That of its worst rule."""
        return self.rules[0].state

    def count(self, state: str) -> int:
        """How many rules are in a state."""
        return sum(rule.state == state for rule in self.rules)

    @property
    def columns(self) -> dict[str, list[ExpectationResult]]:
        """The rules of each column, the column with the worst rule first."""
        found: dict[str, list[ExpectationResult]] = {}
        for rule in self.rules:
            found.setdefault(rule.column, []).append(rule)
        return found


@dataclass(frozen=True)
class Index:
    """What the first page shows: the suites, the worst first, and the rules that leave out each clip."""

    suites: Sequence[Suite]
    links: Mapping[str, str]
    left_out: Mapping[str, Sequence[tuple[ExpectationResult, Broken]]]

    @property
    def stopping(self) -> list[ExpectationResult]:
        """The broken rules that stop the run."""
        return [rule for suite in self.suites for rule in suite.rules if rule.rank == 0]


def _suite(result: Any) -> Suite:
    rules = sorted((_rule(one) for one in result.results), key=lambda rule: (rule.rank, rule.column, rule.sentence))
    return Suite(str(result.suite_name), str(result.meta["great_expectations_version"]), rules)


def _rule(one: Any) -> ExpectationResult:
    config, found = one.expectation_config, one.result
    column = str(config.kwargs["column"])
    observed = found.get("observed_value", "")
    return ExpectationResult(
        column=column,
        sentence=str(config.description),
        advice=str(config.notes or ""),
        severity=str(config.severity.value),
        held=bool(one.success),
        looked_at=int(found.get("element_count", 0)),
        unexpected=int(found.get("unexpected_count", 0)),
        observed=_number(observed) if found else "it could not be evaluated",
        clips=_broken(found.get("unexpected_index_list") or [], column),
    )


def _broken(rows: Iterable[Mapping[str, Any]], column: str) -> list[Broken]:
    values: dict[str, list[Any]] = {}
    for row in rows:
        values.setdefault(str(row["path"]), []).append(row.get(column))
    return [Broken(path, len(found), _range(found)) for path, found in values.items()]


def _range(values: Sequence[Any]) -> str:
    """The value, or the lowest and the highest of several."""
    numbers = [float(value) for value in values if isinstance(value, Real) and not math.isnan(value)]
    if not numbers:
        words = {_number(value) for value in values}
        return ", ".join(sorted(words))
    ends = dict.fromkeys((_number(min(numbers)), _number(max(numbers))))
    return " to ".join(ends)


def _number(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN alone differs from itself
        return "nothing"
    if not isinstance(value, Real):
        return str(value)
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def _left_out(suites: Sequence[Suite]) -> dict[str, list[tuple[ExpectationResult, Broken]]]:
    """The rules that leave out each clip, one a column: the cohort's suite looks at some that the clips' has too."""
    found: dict[str, dict[str, tuple[ExpectationResult, Broken]]] = {}
    for suite in suites:
        for rule in suite.rules:
            for clip in rule.clips if rule.severity == "warning" else ():
                found.setdefault(clip.path, {}).setdefault(rule.column, (rule, clip))
    return {path: list(rules.values()) for path, rules in sorted(found.items())}


class SuiteRenderer:
    """A suite's results -> its page's document."""

    def render(self, result: Any) -> Suite:
        """The document."""
        return _suite(result)


class IndexRenderer:
    """The links to the suites' pages -> the first page's document."""

    def __init__(self, data_context: Any) -> None:
        self._context = data_context

    def render(self, links: Mapping[str, Any]) -> Index:
        """The document."""
        suites, pages = [], {}
        for link in links["validations_links"]:
            result = self._context.get_validation_result(
                link["expectation_suite_name"], run_id=link["run_id"], batch_identifier=link["batch_identifier"]
            )
            suite = _suite(result)
            suites.append(suite)
            pages[suite.name] = str(link["filepath"])
        # Equally bad ones in the order of the alphabet: the clips before the cohort and the frames.
        suites.sort(key=lambda suite: (suite.rules[0].rank, suite.name))
        return Index(suites, pages, _left_out(suites))


class _View:
    template: str

    def __init__(self) -> None:
        self._pages = Environment(
            loader=PackageLoader(__name__, "."),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, document: Suite | Index, **_: object) -> str:
        """The document as a page that holds all it needs."""
        return self._pages.get_template(self.template).render(page=document, meanings=MEANINGS, shown=SHOWN)


class SuiteView(_View):
    """A suite's page."""

    template = "suite.html"


class IndexView(_View):
    """The first page."""

    template = "index.html"
