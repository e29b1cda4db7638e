"""The documents say what the project's files say, their pages hold together, and its habits call what they should."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import typer
import yaml

from lus.cli import main
from tests.conftest import ROOT


def _generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "docs/generate.py", "--check", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _sphinx(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    options = ["-q", "--fail-on-warning", "--keep-going", "-c", str(ROOT / "docs"), "-d", str(out / ".doctrees")]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(source), str(out)], capture_output=True, text=True, check=False
    )


def test_the_documents_are_what_the_project_makes_them(tmp_path: Path) -> None:
    done = _generate()
    if done.returncode:
        # Whoever runs the project on clips of their own has other values in params.yaml than those that are committed.
        committed = subprocess.run(["git", "show", "HEAD:params.yaml"], cwd=ROOT, capture_output=True, check=True)
        (tmp_path / "params.yaml").write_bytes(committed.stdout)
        done = _generate("--params", str(tmp_path / "params.yaml"))
    assert (done.returncode, done.stdout) == (0, "")


def test_a_document_that_is_not_up_to_date_is_named(tmp_path: Path) -> None:
    before = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(before.replace("bootstrap: 2000", "bootstrap: 2001"))
    done = _generate("--params", str(tmp_path / "params.yaml"))
    assert done.returncode == 1
    assert done.stdout == "docs/parameters.md is not what docs/generate.py makes now; run make docs\n"


def test_the_pages_have_no_dead_link_and_fetch_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("docs", ".github"):
        shutil.copytree(ROOT / name, source / name)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    done = _sphinx(source, tmp_path / "site")
    assert (done.returncode, done.stderr) == (0, "")
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 10
    fetched = re.compile(
        r"""<(?:script|img|iframe|source)[^>]*\ssrc="(?:https?:)?//|<link[^>]*\shref="(?:https?:)?//"""
    )
    assert [page.name for page in pages if fetched.search(page.read_text())] == []
    styles = (tmp_path / "site").rglob("*.css")
    assert [
        one.name for one in styles if re.search(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", one.read_text())
    ] == []


def test_a_dead_link_fails_the_pages(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Pages\n\n[gone](nowhere.md)\n")
    done = _sphinx(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere" in done.stderr


def test_the_hooks_before_a_commit_run_what_lint_runs() -> None:
    listed = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [one["repo"] for one in hooks] == ["local"]
    called = [hook["entry"].removeprefix(".venv/bin/") for hook in hooks[0]["hooks"]]
    assert called == [line for line in listed.stdout.splitlines() if line.startswith(("ruff", "mypy", "zizmor"))]
    checked = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    assert subprocess.run(checked, cwd=ROOT, check=False).returncode == 0


def _documented() -> list[tuple[str, list[str]]]:
    """Commands of this project in the documents' blocks, each with its document."""
    found = []
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for line in re.findall(r"^(?: {4}(?:\$ )?|)((?:lus|make) [a-z].*)$", document.read_text(), re.MULTILINE):
            command = re.split(r" {2,}#|\s[&|>;]", line)[0].rstrip("\\")
            found.append((document.name, shlex.split(command)))
    return found


def test_every_verb_option_and_target_in_the_documents_exists() -> None:
    verbs = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    unknown = []
    for document, (program, verb, *words) in _documented():
        if program == "make":
            known = verb in targets
        else:
            options = {option for one in verbs[verb].params for option in one.opts} if verb in verbs else set()
            known = verb in verbs and {word for word in words if word.startswith("--")} <= options
        if not known:
            unknown.append((document, program, verb, *words))
    assert unknown == []
    assert len(_documented()) > 40


def test_every_file_of_the_code_that_a_document_names_exists() -> None:
    named = {
        (document.name, path)
        for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        for path in re.findall(r"`((?:src/lus/|tests/)?[a-z_0-9]+/[a-z_0-9/]+\.py)`", document.read_text())
    }
    assert len(named) > 20
    places = (ROOT, ROOT / "src/lus")
    assert [one for one in named if not any((place / one[1]).is_file() for place in places)] == []
