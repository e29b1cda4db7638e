"""Audit of a published table: accuracies of folds, or their means and standard deviations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.audit.record import LEAK, NOTE, AuditFinding
from lus.common.errors import BadInput
from lus.metrics import fold_patterns

FOLD = re.compile(r"(acc(uracy)?_)?(fold|split|cv)_?\d+(_(test_)?acc(uracy)?)?|acc(uracy)?_\d+")
MEAN = re.compile(r"((test_)?acc(uracy)?(_(avg|mean|average))?)|((avg|mean|average)(_acc(uracy)?)?)")
DEVIATION = re.compile(r"((test_)?acc(uracy)?_(std|sd|stdev|deviation))|((std|sd|stdev|deviation)(_acc(uracy)?)?)")
EXPECTED = (
    "columns fold_1, fold_2, ... with the accuracy of each fold, or accuracy_mean and accuracy_std, were expected"
)


@dataclass(frozen=True)
class TableRow:
    """A result as it stands in a table; numbers as 0 to 1.

    Attributes:
        name: of the row.
        accuracies: (folds,); none where the table has means.
        mean, deviation: of the folds; computed where the table has these.
    """

    name: str
    accuracies: tuple[float, ...]
    mean: float
    deviation: float


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        rows: those whose numbers are given.
        folds: how many each result has.
        tolerance: by how much a number may be off by rounding.
        sample: whether the deviations are sample standard deviations.
    """

    rows: Sequence[TableRow]
    folds: int
    tolerance: float
    sample: bool = False


@dataclass(frozen=True)
class Suspect:
    """A row in which one fold is poor and all others are perfect.

    Attributes:
        row: of the table.
        odd: the accuracy of the poor fold.
        others: the least accuracy of the others.
        p: how probable that is by chance; None where the number of clips is not known.
    """

    row: TableRow
    odd: float
    others: float
    p: float | None


@dataclass(frozen=True)
class Verdict:
    """What an audit of a table found.

    Attributes:
        findings: one for each row that chance cannot have made (`leak`), and for each that it may have as far as one
            can know (`note`).
        suspects: the rows of these findings, in their order.
        rows: how many rows were looked at.
        folds: of each.
        clips: in a fold at least; None where not known.
        assumption: by which the probabilities were computed.
    """

    findings: list[AuditFinding]
    suspects: list[Suspect]
    rows: int
    folds: int
    clips: int | None
    assumption: str

    @property
    def leaking(self) -> bool:
        """Whether a row was found that chance cannot have made."""
        return any(one.level == LEAK for one in self.findings)


def read(path: Path, folds: int) -> Table:
    """Read a table of results.

    Args:
        path: a CSV file: a column with the accuracy of each fold (`fold_1`, ...), or one of means and one of standard
            deviations (`accuracy_avg` and `accuracy_std`, ...); as shares or in percent.
        folds: how many a mean is of; a table of folds says so itself.

    Raises:
        BadInput: the file is missing, is no table or has other columns, a number is none or is no accuracy, or no
            number of folds that was given allows the deviations.
    """
    try:
        cells = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise BadInput(f"{path}: not found; a table of results as CSV was expected") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise BadInput(f"{path}: is no CSV table ({what}); {EXPECTED}") from None
    plain = {column: re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_") for column in cells.columns}
    of_folds = [column for column, name in plain.items() if FOLD.fullmatch(name)]
    means, deviations = (
        [column for column, name in plain.items() if pattern.fullmatch(name)] for pattern in (MEAN, DEVIATION)
    )
    if len(of_folds) >= 2:
        return _of_folds(path, cells, of_folds)
    if len(means) == 1 and len(deviations) == 1:
        return _of_means(path, cells, means[0], deviations[0], folds)
    found = ", ".join(cells.columns[:8]) + (", ..." if len(cells.columns) > 8 else "")
    raise BadInput(f"{path}: has the columns {found}; {EXPECTED}")


def _of_folds(path: Path, cells: pd.DataFrame, columns: list[str]) -> Table:
    named, tolerance = _named_numbers(path, cells, columns)
    rows = [TableRow(name, tuple(map(float, one)), float(one.mean()), float(one.std())) for name, one in named]
    return Table(_some(path, rows), len(columns), tolerance)


def _of_means(path: Path, cells: pd.DataFrame, mean: str, deviation: str, folds: int) -> Table:
    named, tolerance = _named_numbers(path, cells, [mean, deviation])
    rows = [TableRow(name, (), float(one[0]), float(one[1])) for name, one in named]
    for sample in (False, True):
        if all(_excess(row, folds, sample) <= _rounding(tolerance, folds, sample) for row in rows):
            return Table(_some(path, rows), folds, tolerance, sample)
    worst = max(rows, key=lambda row: _excess(row, folds, True))
    raise BadInput(
        f"{path}: {worst.name} has the deviation {worst.deviation:.4g}, {folds} folds with the mean {worst.mean:.4g} "
        f"have {fold_patterns.largest_deviation(worst.mean, folds, True):.4g} at most; "
        "give the number of folds (--folds)"
    )


def _excess(row: TableRow, folds: int, sample: bool) -> float:
    return row.deviation - fold_patterns.largest_deviation(row.mean, folds, sample)


def _rounding(tolerance: float, folds: int, sample: bool) -> float:
    """By how much rounding alone may part a deviation from the largest one."""
    return tolerance * (1 + fold_patterns.largest_deviation(0, folds, sample))


def _some(path: Path, rows: list[TableRow]) -> list[TableRow]:
    if not rows:
        raise BadInput(f"{path}: has no row with numbers; {EXPECTED}")
    return rows


def _named_numbers(
    path: Path, cells: pd.DataFrame, columns: list[str]
) -> tuple[list[tuple[str, NDArray[np.float64]]], float]:
    """The rows in which no number is missing, each a name and its shares (columns,); and half a unit of the last digit.

    Raises:
        BadInput: a cell holds something else than an accuracy.
    """
    text = cells[columns].map(lambda cell: cell.strip().removesuffix("%").strip())
    values = text.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    strange = np.argwhere(np.isnan(values) & (text != "").to_numpy())
    if len(strange):
        row, column = strange[0]
        raise BadInput(
            f"{path}: {columns[column]} of row {row + 1} is {text.iat[row, column]!r}, an accuracy as 0.93 or 93 was "
            "expected; mend the cell or leave it empty"
        )
    scale = 100.0 if np.nanmax(values, initial=0.0) > 1 else 1.0
    outside = np.argwhere((values < 0) | (values > scale))
    if len(outside):
        row, column = outside[0]
        raise BadInput(
            f"{path}: {columns[column]} of row {row + 1} is {text.iat[row, column]!s}, an accuracy from 0 to "
            f"{scale:.0f} was expected; mend the cell"
        )
    digits = _digits(cell for column in columns for cell in text[column])
    named = [(name, one) for name, one in zip(_names(cells), values / scale, strict=True) if np.isfinite(one).all()]
    return named, max(0.5 * 10.0**-digits / scale, 1e-9)


def _digits(texts: Iterable[str]) -> int:
    """After the point, of the longest number: trailing zeros may have been left out of others."""
    return max((len(text.partition(".")[2]) if "e" not in text.lower() else 0 for text in texts), default=0)


def _names(cells: pd.DataFrame) -> list[str]:
    """The first column of texts that tells the rows apart, else their numbers."""
    for column in cells.columns:
        words = pd.to_numeric(cells[column], errors="coerce").isna().all()
        if words and cells[column].is_unique:
            return list(cells[column])
    return [f"row {number + 1}" for number in range(len(cells))]


def audit(table: Table, clips: int | None = None, patients: int | None = None) -> Verdict:
    """Find the rows in which one fold is poor, all others are perfect, and chance cannot be the reason.

    A row is a leak where its probability is below `patterns.LEVEL`, divided by the rows of the table.

    Args:
        table: of results.
        clips: in the whole cohort. Where it is not given, a fold has at least so many clips as its accuracy, a
            fraction, needs; all rows are held to have the same folds, so that the largest of these counts.
        patients: in the whole cohort; all clips of a patient are then held to be right or wrong together, which
            leaves most to chance. Where it is not given, clips are held to be independent.

    Raises:
        BadInput: there are fewer clips or patients than folds.
    """
    for what, count in (("clips", clips), ("patients", patients)):
        if count is not None and count < table.folds:
            raise BadInput(f"{count} {what} for {table.folds} folds found, one in each is expected; give all there are")
    odd = [(row, found) for row in table.rows if (found := _odd(row, table)) is not None]
    size = -(-clips // table.folds) if clips else _least_clips([row for row, _ in odd], table)
    suspects = []
    for row, found in odd:
        p = _chance(found, table, clips, patients, size)
        # Where rounding alone lets a row look like it, chance is the plainer reason.
        if p is None or p < fold_patterns.LEVEL / len(table.rows):
            suspects.append(Suspect(row, float(found.min()), float(np.sort(found)[1]), p))
    findings = [_finding(one, table) for one in suspects]
    return Verdict(findings, suspects, len(table.rows), table.folds, size, _assumption(table, clips, patients, size))


def _odd(row: TableRow, table: Table) -> NDArray[np.float64] | None:
    """The accuracies of the folds (folds,), where one is poor and all others are perfect; None elsewhere.

    Of a mean and a deviation they are those that leave most to chance as far as rounding lets them: the others may
    lack as much as it hides, in one of them.
    """
    if row.accuracies:
        accuracies = np.array(row.accuracies)
        return None if fold_patterns.odd_fold(accuracies) is None else accuracies
    hidden = _rounding(table.tolerance, table.folds, table.sample)
    lack = table.folds * (1 - row.mean)
    if _excess(row, table.folds, table.sample) < -hidden or not 1 - fold_patterns.NEARLY < lack <= 1 + hidden:
        return None
    least = max(row.deviation - hidden, 0.0) ** 2 * (table.folds - table.sample)
    squares = least + table.folds * (1 - row.mean) ** 2
    # Of two lacks, e and lack - e, the squares sum up to this.
    other = (lack - np.sqrt(max(2 * squares - lack**2, 0.0))) / 2
    return 1 - np.array([min(lack - other, 1.0), max(other, 0.0), *[0.0] * (table.folds - 2)])


def _least_clips(rows: Sequence[TableRow], table: Table) -> int | None:
    """Clips that a fold has at least, for the poor folds' accuracies to be fractions of them."""
    found = []
    for row in rows:
        # Where all that is lacking is in one fold, what rounding hides is as many times larger as there are folds.
        poor = min(row.accuracies, default=1 - table.folds * (1 - row.mean))
        tolerance = table.tolerance * (1 if row.accuracies else table.folds)
        found.append(fold_patterns.least_clips(poor, tolerance))
    return max((least for least in found if least is not None), default=None)


def _chance(
    accuracies: NDArray[np.float64], table: Table, clips: int | None, patients: int | None, size: int | None
) -> float | None:
    if size is None:
        return None
    sizes = fold_patterns.evenly(clips or size * table.folds, table.folds)
    clusters = [np.ones(one, np.int64) for one in sizes]
    if patients:
        groups = fold_patterns.evenly(patients, table.folds)
        clusters = [
            fold_patterns.evenly(int(one), int(min(group, one))) for one, group in zip(sizes, groups, strict=True)
        ]
    return fold_patterns.chance(accuracies, clusters, 1.0 if patients else 0.0)


def _assumption(table: Table, clips: int | None, patients: int | None, size: int | None) -> str:
    if size is None:
        return "the number of clips is not known: give it (--clips) to tell such a pattern from chance"
    counted = f"{clips} clips" if clips else f"{size} clips in a fold, as the finest of these fractions needs at least"
    hang = (
        f"the clips of each of {patients} patients right or wrong together"
        if patients
        else "clips independent of each other (--patients lets them hang together)"
    )
    return f"{table.folds} equally hard folds of {counted}; {hang}"


def _finding(one: Suspect, table: Table) -> AuditFinding:
    evidence: dict[str, object] = {
        "row": one.row.name,
        "mean": one.row.mean,
        "deviation": one.row.deviation,
        "odd_fold": round(one.odd, 6),
        "others": round(one.others, 6),
        "p": one.p,
    }
    others = "all of theirs" if one.others > 1 - 1e-4 else f"at least {np.floor(100 * one.others):.0f}% of theirs"
    what = f"{one.row.name}: one of {table.folds} folds is right in {one.odd:.0%} of its clips, the others in {others}"
    if one.p is None:
        return AuditFinding(
            "fold-pattern", NOTE, f"{what}; whether chance can make this depends on how many.", evidence
        )
    sentence = (
        f"{what}: chance does not make this, a model that has learnt the test clips in an earlier fold does; ask "
        "whether it started afresh in each."
    )
    return AuditFinding("fold-pattern", LEAK, sentence, evidence)
