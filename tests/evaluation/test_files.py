from __future__ import annotations

from pathlib import Path

import pytest

from lus.evaluation import files


@pytest.mark.parametrize("name", ["metrics.json", "choice.json", "audit.json", "record.json", "predictions.csv"])
def test_evaluations_that_differ_in_one_of_these_files_are_told_apart(name: str, tmp_path: Path) -> None:
    for file in files.IDENTIFYING:
        (tmp_path / file).write_text("{}")
    before = files.identity_tag(tmp_path)
    assert files.identity_tag(tmp_path) == before
    (tmp_path / name).write_text("{ }")
    assert files.identity_tag(tmp_path) != before
