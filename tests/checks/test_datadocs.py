"""The Data Docs' pages: they hold all they need, begin with what failed, and show names as they are."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from lus.checks import datadocs, expectations, rules
from lus.common import params_file
from tests.conftest import ROOT

ALL = params_file.load_params(ROOT / "params.yaml")
RULES = rules.make_rules(ALL.limits, 20)
HOSTILE = """own/<img src=x onerror="alert(1)">{{ 7 * 7 }}$path&'.avi"""
FULL = {"frames": 24, "side": 104, "pixels": 12480, "clip_pixels": 299520, "fps": 20, "coverage": 0.9, "extent": 1}
MEASURED = (
    dict.fromkeys((rule.column for rule in RULES), 0) | {"brightness": 0.3, "contrast": 0.2, "sharpness": 0.3} | FULL
)


class _Page(HTMLParser):
    """What a page links to, its text, and its elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.elements: set[str] = set()
        self.words: list[str] = []
        self.feed(path.read_text())
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action", "poster", "srcset"}]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _write(docs: Path, labels: tuple[str, ...] = ("a", "b"), **odd: dict[str, float]) -> list[Path]:
    """The pages of ten clips, some of which differ from what is usual; each patient has one clip."""
    names = [*odd, *(f"own/{number}.avi" for number in range(10 - len(odd)))]
    values = pd.DataFrame([{"path": name} | MEASURED | odd.get(name, {}) for name in names])
    clips = values[["path", "frames", "fps"]].assign(
        clip_id=[f"{number:064d}" for number in range(10)],
        label=[labels[number % len(labels)] for number in range(10)],
        patient=names,
        width=120,
        height=104,
    )
    frames = pd.concat([values.assign(frame=number, black_share=0.1, change=0.1) for number in (0, 1)])
    docs.mkdir()
    expectations.validate(clips, values, frames, RULES, ALL.cohort, ALL.limits, docs)
    return sorted(docs.rglob("*.html"))


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages where one clip is still, another too long and too dark."""
    folder = tmp_path_factory.mktemp("pages") / "docs"
    _write(folder, **{HOSTILE: {"still_share": 1.0}, "own/z.avi": {"frames": 6000, "brightness": 0.001}})
    for name in ("quarantine.csv", "reported.csv", "clips.csv"):
        # The stage's own, beside the pages.
        (folder / name).touch()
    return folder


def _suite(docs: Path, name: str) -> Path:
    (found,) = (docs / "validations" / name).rglob("*.html")
    return found


def test_the_pages_fetch_nothing_and_run_nothing(docs: Path) -> None:
    pages = sorted(docs.rglob("*.html"))
    assert len(pages) == 4
    for path in pages:
        page, source = _Page(path), path.read_text()
        assert "://" not in source
        assert not re.search(r"@import|url\(", source)
        assert page.elements.isdisjoint({"script", "img", "iframe", "link", "object", "embed", "form", "base"})
        assert "default-src 'none'" in source
        anchors = set(re.findall(r'\sid="([^"]*)"', source))
        for link in page.links:
            assert link[1:] in anchors if link.startswith("#") else (path.parent / link).is_file(), link
    assert {path.suffix for path in docs.rglob("*") if path.is_file()} == {".html", ".csv"}


def test_the_first_page_names_the_clips_that_are_left_out_and_why(docs: Path) -> None:
    text = _Page(docs / "index.html").text
    assert f"{HOSTILE} the share of identical neighbouring frames is at most 0.5 1 export the clip" in text
    long = (
        "the number of frames is at least 20 and at most 5000 6000 record a longer clip, or, where it is too high, cut"
    )
    assert long in text
    assert "the mean brightness (0 to 1) is at least 0.02 and at most 0.75 0.001" in text
    assert "What stops the run" not in text
    # The number of frames is looked at in the table too, and is told once.
    assert text.count("6000") == 1
    assert "own/0.avi" not in text


def test_what_failed_comes_first(docs: Path) -> None:
    text = _Page(docs / "index.html").text
    suites_shown = re.findall(r"(clips|cohort|frames) (failed|noted|passed) \d+ failed", text)
    assert suites_shown == [("clips", "failed"), ("cohort", "failed"), ("frames", "noted")]
    marks = re.findall(r'<div class="rule (\w+)">', _suite(docs, "cohort").read_text())
    assert marks == ["failed"] + ["passed"] * 13
    columns = re.findall(r'<section id="(\w+)" class="card (\w+)">', _suite(docs, "clips").read_text())
    assert columns[:3] == [("brightness", "failed"), ("frames", "failed"), ("still_share", "failed")]
    assert {state for _, state in columns[3:]} == {"passed"}


def test_a_suites_page_names_what_was_found_in_how_many_rows(docs: Path) -> None:
    clips = _Page(_suite(docs, "clips")).text
    assert "failed the share of identical neighbouring frames is at most 0.5 1 of 10 rows break it" in clips
    assert f"Clip Found {HOSTILE} 1 " in clips
    frames = _Page(_suite(docs, "frames")).text
    assert "2 of 20 rows break it; a broken rule of this kind is only reported." in frames
    assert "Clip Found Rows own/z.avi 0.001 2" in frames


def test_a_clips_name_is_no_markup(docs: Path) -> None:
    assert HOSTILE in _Page(docs / "index.html").text
    for path in docs.rglob("*.html"):
        assert "<img" not in path.read_text()


def test_a_cohort_that_stops_the_run_is_told_first(tmp_path: Path) -> None:
    _write(tmp_path / "docs", labels=("a",))
    text = _Page(tmp_path / "docs/index.html").text
    stops = "What stops the run failed label: there are two labels or more; found: 1 Clips that are not usable No clip"
    assert stops in text


def test_many_clips_that_break_a_rule_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datadocs, "SHOWN", 3)
    _write(tmp_path / "docs", **{f"own/{name}.avi": {"cuts": 2} for name in "abcde"})
    text = _Page(_suite(tmp_path / "docs", "clips")).text
    assert "Clip Found own/a.avi 2 own/b.avi 2 own/c.avi 2 and 2 more clips." in text


def test_the_same_clips_give_the_same_pages(tmp_path: Path) -> None:
    one, other = (_write(tmp_path / name, **{"own/z.avi": {"cuts": 1}}) for name in ("one", "other"))
    assert [path.relative_to(tmp_path / "one") for path in one] == [
        path.relative_to(tmp_path / "other") for path in other
    ]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


@pytest.mark.parametrize("view", [datadocs.SuiteView, datadocs.IndexView])
def test_pages_that_could_not_be_written_are_an_error(
    view: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "template", "gone.html")
    with pytest.raises(RuntimeError, match="Great Expectations could not write the pages"):
        _write(tmp_path / "docs")
