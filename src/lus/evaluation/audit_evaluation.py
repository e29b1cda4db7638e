"""The audit of an evaluation by its own records."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lus.audit import stored
from lus.audit.checks import run_audit
from lus.audit.record import Audit, Evaluation
from lus.common.arrays import FloatArray
from lus.evaluation.cross_validation import CrossValidationResult
from lus.splits.protocols import EvaluationProtocol


def audit_evaluation(
    build: Path,
    out: Path,
    clips: pd.DataFrame,
    found: CrossValidationResult,
    rule: EvaluationProtocol,
    outside: FloatArray | None,
    seed: int,
) -> Audit:
    """Write what an audit needs, audit what was written, and write `audit.json`.

    Args:
        build: the folder of the stages' results.
        out: the folder of the evaluation, which holds its predictions.
        clips: of the cohort.
        found: what the folds gave.
        rule: the protocol.
        outside: (n, labels) answers on sources that were left out, where they were asked for.
        seed: of what the audit draws at random.
    """
    own = clips if clips["source"].nunique() > 1 else clips.drop(columns="source")
    evaluation = Evaluation(
        own, found.records, leave_source_out=outside, folds_alike=rule.folds_alike, stated_leak=rule.why, seed=seed
    )
    stored.write(out, evaluation)
    audit = run_audit(stored.read(build, out))
    stored.write_audit(out, audit)
    return audit
