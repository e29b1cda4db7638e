from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lus.audit import table
from lus.audit.record import LEAK, NOTE
from lus.audit.table import Verdict
from lus.common.errors import BadInput

LUS = Path(sys.executable).with_name("lus")
CARRIED = [24 / 36, 1, 1, 1, 1]
FAIR = [27 / 36, 31 / 36, 29 / 37, 35 / 37, 30 / 39]


def _means(path: Path, rows: Sequence[Sequence[float]], digits: int = 16, ddof: int = 0, percent: bool = False) -> Path:
    scale = 100 if percent else 1
    lines = [
        f"model-{number},{scale * np.mean(row):.{digits}f},{scale * np.std(row, ddof=ddof):.{digits}f}"
        for number, row in enumerate(rows)
    ]
    path.write_text("\n".join(["model,accuracy_avg,accuracy_std", *lines]))
    return path


def _folds(path: Path, rows: Sequence[Sequence[float]], digits: int = 4) -> Path:
    head = ",".join(f"Fold {number}" for number in range(1, len(rows[0]) + 1))
    lines = [f"model-{n}," + ",".join(f"{one:.{digits}f}" for one in row) for n, row in enumerate(rows)]
    path.write_text("\n".join([f"model,{head}", *lines]))
    return path


def _audit(path: Path, clips: int | None = None, patients: int | None = None, folds: int = 5) -> Verdict:
    return table.audit(table.read(path, folds), clips, patients)


def _leaks(found: Verdict) -> list[str]:
    return [str(one.evidence["row"]) for one in found.findings if one.level == LEAK]


def test_the_row_of_a_carried_head_is_named_and_a_fair_one_is_not(tmp_path: Path) -> None:
    for file in (_means(tmp_path / "m.csv", [FAIR, CARRIED]), _folds(tmp_path / "f.csv", [FAIR, CARRIED])):
        found = _audit(file, clips=185)
        assert _leaks(found) == ["model-1"]
        assert found.leaking
        assert found.findings[0].evidence["odd_fold"] == pytest.approx(24 / 36, abs=1e-4)
        assert found.rows == 2


@pytest.mark.parametrize("digits", [2, 3, 4])
@pytest.mark.parametrize("percent", [False, True])
def test_it_is_named_after_rounding_and_in_percent_too(tmp_path: Path, digits: int, percent: bool) -> None:
    file = _means(tmp_path / "m.csv", [FAIR, CARRIED], digits - 2 if percent else digits, percent=percent)
    assert _leaks(_audit(file, clips=185)) == ["model-1"]


def test_sample_deviations_are_told_from_population_ones(tmp_path: Path) -> None:
    file = _means(tmp_path / "m.csv", [FAIR, CARRIED], ddof=1)
    assert table.read(file, 5).sample
    assert _leaks(_audit(file, clips=185)) == ["model-1"]


def test_the_pattern_in_a_small_study_may_be_chance(tmp_path: Path) -> None:
    file = _folds(tmp_path / "f.csv", [CARRIED])
    assert _audit(file, clips=15).findings == []
    assert _leaks(_audit(file, clips=180)) == ["model-0"]


def test_clips_that_hang_together_leave_more_to_chance(tmp_path: Path) -> None:
    file = _folds(tmp_path / "f.csv", [CARRIED])
    alone, together = (_audit(file, 180, patients).suspects[0].p for patients in (None, 90))
    assert alone is not None
    assert together is not None
    assert alone < together < 0.01
    assert _audit(file, 180, 10).findings == []


def test_without_the_number_of_clips_the_finest_fraction_tells_the_least(tmp_path: Path) -> None:
    # Two thirds alone may be of three clips; the row with 19 of 36 shows that the folds hold 36.
    alone = _audit(_means(tmp_path / "a.csv", [CARRIED]))
    assert alone.clips == 3
    assert alone.findings == []
    both = _audit(_means(tmp_path / "b.csv", [CARRIED, [1, 19 / 36, 1, 1, 1], FAIR]))
    assert both.clips == 36
    assert _leaks(both) == ["model-0", "model-1"]
    assert "36 clips in a fold, as the finest of these fractions needs at least" in both.assumption


def test_where_the_digits_tell_no_number_of_clips_it_is_a_note_that_asks_for_it(tmp_path: Path) -> None:
    found = _audit(_means(tmp_path / "m.csv", [CARRIED, FAIR], digits=2))
    assert [one.level for one in found.findings] == [NOTE]
    assert not found.leaking
    assert "--clips" in found.assumption


def test_perfect_folds_and_a_single_mistake_raise_nothing(tmp_path: Path) -> None:
    rows = [[1.0] * 5, [35 / 36, 1, 1, 1, 1], [0.99, 1, 1, 0.98, 1], [0.5, 0.52, 0.48, 0.5, 0.5]]
    for file in (_means(tmp_path / "m.csv", rows), _folds(tmp_path / "f.csv", rows)):
        assert _audit(file, clips=180).findings == []


@settings(deadline=None, max_examples=60)
@given(
    mistakes=st.lists(st.integers(0, 20), min_size=5, max_size=5).filter(lambda m: sum(one > 0 for one in m) >= 2),
    digits=st.sampled_from([2, 3, 16]),
)
def test_what_is_called_all_in_one_fold_is_so_within_what_rounding_hides(
    tmp_path_factory: pytest.TempPathFactory, mistakes: list[int], digits: int
) -> None:
    row = [1 - one / 37 for one in mistakes]
    found = _audit(_means(tmp_path_factory.mktemp("t") / "m.csv", [row], digits), clips=185)
    if digits == 16:
        assert found.findings == []
    for suspect in found.suspects:
        # The bounds that are shown hold for the true folds.
        assert suspect.others <= min(sorted(row)[1:]) + 0.005


def test_empty_cells_are_passed_over_and_rows_without_names_are_numbered(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("fold1,fold2,fold3\n0.5,1,1\n,1,1\n100%,1,1\n".replace("100%", "1.00"))
    assert [row.name for row in table.read(file, 5).rows] == ["row 1", "row 3"]
    assert table.read(file, 5).folds == 3


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "not found; a table of results as CSV was expected"),
        ("", "is no CSV table"),
        ("label,filename,frames\ncov,a.gif,41\n", "has the columns label, filename, frames; columns fold_1"),
        ("model,accuracy\nx,0.9\n", "has the columns model, accuracy; columns fold_1"),
        ("model,accuracy,accuracy_std\n", "has no row with numbers"),
        ("model,accuracy,accuracy_std\nx,,\n", "has no row with numbers"),
        ("model,accuracy,accuracy_std\nx,good,0.1\n", "accuracy of row 1 is 'good', an accuracy as 0.93 or 93"),
        ("model,accuracy,accuracy_std\nx,0.9,0.1\ny,-0.2,0.1\n", "accuracy of row 2 is -0.2, an accuracy from 0 to 1"),
        ("fold_1,fold_2\n93,120\n", "fold_2 of row 1 is 120, an accuracy from 0 to 100"),
        (
            "model,accuracy,accuracy_std\nx,0.900,0.300\n",
            "x has the deviation 0.3, 5 folds with the mean 0.9 have 0.2236",
        ),
        ("fold_1,fold_2\n0.9,inf\n", "fold_2 of row 1 is inf, an accuracy from 0 to"),
    ],
)
def test_what_is_no_table_of_results_is_refused_with_what_was_expected(
    tmp_path: Path, content: str | None, what: str
) -> None:
    file = tmp_path / "t.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadInput, match=what):
        table.read(file, 5)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(bytes(range(128, 256)) * 20)
    with pytest.raises(BadInput, match="is no CSV table"):
        table.read(tmp_path / "t.csv", 5)


def _lus(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        [LUS, "audit", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_command_names_the_rows_and_ends_with_status_two(tmp_path: Path) -> None:
    _means(tmp_path / "results.csv", [FAIR, CARRIED])
    done = _lus("--table", "results.csv", "--clips", "185", cwd=tmp_path)
    assert done.returncode == 2
    assert "model-1" in done.stdout
    assert "model-0" not in done.stdout
    assert done.stderr == "lus: results.csv: chance cannot have made 1 of 2 results\n"
    as_json = _lus("--table", "results.csv", "--clips", "185", "--json", cwd=tmp_path)
    body = json.loads(as_json.stdout)
    assert as_json.returncode == 2
    assert [one["evidence"]["row"] for one in body["findings"]] == ["model-1"]
    assert math.isclose(body["findings"][0]["evidence"]["odd_fold"], 2 / 3, abs_tol=1e-5)


def test_the_command_ends_with_status_zero_where_nothing_is_found(tmp_path: Path) -> None:
    _folds(tmp_path / "results.csv", [FAIR])
    done = _lus("--table", "results.csv", "--clips", "185", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 of 1 results" in done.stdout


def test_without_an_evaluation_the_command_says_what_makes_one(tmp_path: Path) -> None:
    done = _lus(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "lus: build/evaluation/record.json: not found; `dvc repro evaluate` makes it\n"


@pytest.mark.real
def test_the_published_table_has_twenty_six_such_rows_of_sixty_eight(upstream: Path) -> None:
    found = _audit(upstream / "b-mandelbrot/pulmonary-covid19/evaluation.csv")
    assert (len(_leaks(found)), found.rows) == (26, 68)
    assert "xception-20" in _leaks(found)
    assert found.clips == 36
    assert all(0.44 < one.odd < 0.67 for one in found.suspects)


def test_fewer_clips_or_patients_than_folds_are_refused(tmp_path: Path) -> None:
    results = table.read(_folds(tmp_path / "f.csv", [CARRIED]), 5)
    with pytest.raises(BadInput, match="4 patients for 5 folds found, one in each is expected"):
        table.audit(results, 185, 4)
    with pytest.raises(BadInput, match="4 clips for 5 folds"):
        table.audit(results, 4)
