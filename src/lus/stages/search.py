"""search: a feature set -> tried heads, for each part of the cohort; every Optuna trial is a nested MLflow run."""

from __future__ import annotations

import shutil
from pathlib import Path

from lus.common.params import Folds, Search
from lus.common.workers import Progress
from lus.features import featureset
from lus.search import run_search, trials_file
from lus.search.trials import Trials
from lus.splits import folds
from lus.tracking import client


def run(folder: Path, out: Path, params: Search, cut: Folds, progress: Progress | None = None) -> str:
    """Search a head for a feature set, once for each part of its cohort.

    Args:
        folder: the feature set.
        out: made afresh: `trials.json`.
        params: the search space and its budget.
        cut: how the patients are cut.
        progress: called after each trial.

    Returns:
        A sentence on the best trial of the whole cohort.

    Raises:
        RuntimeError: several trials in a row failed.
    """
    client.connect()
    studies = run_search.open_studies(featureset.read(folder), params, cut)
    found = run_search.run_search(studies, params.workers, progress)
    shutil.rmtree(out, ignore_errors=True)
    written = trials_file.write(out, found)
    run_search.log_results(studies, found, written)
    return _sentence(found, out)


def _sentence(found: Trials, out: Path) -> str:
    best, tried = found.get_part(folds.ALL).best, [trial for part in found.parts for trial in part.trials]
    return (
        f"{len(tried)} trials, {sum(trial.pruned for trial in tried)} of them pruned, for {len(found.parts)} parts in "
        f"{out}; best for all clips: trial {best.number}, validation loss {best.loss:.3f}, accuracy {best.accuracy:.2f}"
    )
