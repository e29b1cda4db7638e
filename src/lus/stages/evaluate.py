"""evaluate: feature sets and tried heads -> figures on test clips, their audit, and the choice of what to register.

For each fold of the protocol the feature set and head are chosen by their loss in the searches of that fold's part,
trained again from fresh weights on all its training clips, and tested on its test clips, which no search of that part
has seen. The protocols that are known to leak do otherwise, and their figures say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lus.clips import frameset
from lus.common.params import Evaluate, Folds
from lus.common.progress import Steps, no_progress
from lus.evaluation import selection
from lus.evaluation.audit_evaluation import audit_evaluation
from lus.evaluation.cross_validation import cross_validate, leave_source_out
from lus.evaluation.draw_plots import draw_examples, draw_plots
from lus.evaluation.mlflow_run import log_run
from lus.evaluation.report import describe_evaluation
from lus.evaluation.results import make_results, select_tested, write_results
from lus.splits import protocols
from lus.splits.protocols import LeaveSourceOut
from lus.tracking import client


def run(
    build: Path,
    names: Sequence[str],
    out: Path,
    params: Evaluate,
    cut: Folds,
    steps: Steps = no_progress,
) -> str:
    """Evaluate, audit and choose.

    Args:
        build: the folder in which the stages before wrote `frames`, `checks`, `features` and `search`.
        names: the feature sets to choose from; others in the folder are of an earlier day.
        out: made afresh: `metrics.json` (headline), `figures.json` (by fold, baselines, calibration),
            `predictions.csv`, `strata.csv`, `record.json` and `audit.json`, `choice.json`, plots.
        params: seed, and the level of the intervals.
        cut: the protocol.
        steps: told what is under way.

    Returns:
        Sentences with the accuracy and its interval, the best baseline, and what the audit found.

    Raises:
        BadInput: MLflow does not answer; it is asked before the work.
    """
    client.connect()
    rule = protocols.make_protocol(cut)
    tried = selection.read(build, names, cut)
    clips = tried[0].data.clips
    found = cross_validate(tried, rule, params.seed, steps("testing the folds"), params.repeats)
    outside = None
    if not rule.leaking and not isinstance(rule, LeaveSourceOut):
        outside = leave_source_out(tried, cut, params.seed, steps("testing on other sources"))
    steps("figures and their intervals")
    tested = select_tested(clips, found)
    results = make_results(tried, found, tested, rule, params)
    methods = results.details["ways"]
    write_results(out, results)
    steps("pictures")
    draw_plots(found, tested, methods, out)
    draw_examples(clips, found, frameset.read(build / "frames"), results.choice["length"], out / "examples.png")
    steps("audit")
    audit = audit_evaluation(build, out, clips, found, rule, outside, params.seed)
    steps("logging the run to MLflow")
    log_run(build, out)
    return describe_evaluation(results.summary, methods, results.choice, audit, params.confidence, out)
