from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lus.checks import rules, survey
from lus.clips import layouts
from lus.common import params_file
from lus.common.errors import BadInput, Unusable
from tests.clips.bad_input import CLIPS, COHORTS, LABELS, USABLE, Case, render
from tests.conftest import ROOT

PARAMS = params_file.load_params(ROOT / "params.yaml")
NOBODY = 65534


@contextmanager
def _ordinary_user(folder: Path) -> Iterator[None]:
    """Root may read every file: while this lasts the process is nobody, where it was root."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach; those of pytest are its owner's alone."""
    path = Path(tempfile.mkdtemp(prefix="lus-"))
    yield path
    shutil.rmtree(path)


def _said(case: Case, path: Path) -> str:
    limits = PARAMS.limits.model_copy(update=dict(case.limits))
    try:
        with _ordinary_user(path.parent):
            examined = rules.examine_clip(path, [20], 299, limits)
    except BadInput as error:
        return str(error)
    return str(Unusable(path.name, examined.findings)) if examined.findings else USABLE


@pytest.mark.parametrize("case", CLIPS, ids=lambda case: case.what)
def test_what_comes_in_the_place_of_a_clip_is_answered_as_the_table_says(case: Case, folder: Path) -> None:
    assert _said(case, case.make(folder)) == case.answer


@pytest.mark.parametrize("case", COHORTS, ids=lambda case: case.what)
def test_what_comes_in_the_place_of_a_cohort_is_answered_as_the_table_says(case: Case, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        layouts.list_clips(case.make(tmp_path), LABELS)
    assert str(caught.value).replace(str(tmp_path), "FOLDER") == case.answer


def test_a_file_of_a_folder_that_may_not_be_read_is_named_with_its_reason(folder: Path) -> None:
    (folder / "IM_0001").write_bytes(b"whatever")
    (folder / "IM_0001").chmod(0)
    (folder / "notes").write_text("no clip")
    with _ordinary_user(folder):
        (found,) = survey.find_clips([folder])
        with pytest.raises(Unusable) as caught:
            rules.examine_clip(found, [20], 299, PARAMS.limits)
    assert str(caught.value).startswith("IM_0001: a file that this user may not read")


def test_the_document_shows_the_table() -> None:
    assert render() in (ROOT / "docs/bad-input.md").read_text()
