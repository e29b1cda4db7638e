"""Audit of an evaluation: what can have made its number better than what new patients would give.

Each check is a function of an `Evaluation` alone: it answers its findings, or None where the evaluation does not say
what the check needs.
"""

from __future__ import annotations

from collections.abc import Callable

from lus.audit import outcome, split, training
from lus.audit.record import LEAK, NOTE, WARNING, Audit, AuditFinding, Evaluation

Check = Callable[[Evaluation], list[AuditFinding] | None]
CHECKS: dict[str, Check] = {
    "protocol": split.stated,
    "clips": split.clips_on_both_sides,
    "patients": split.patients_on_both_sides,
    "content": split.same_content,
    "near-duplicates": split.near_duplicates,
    "labels": split.patients_of_several_labels,
    "weights": training.carried_weights,
    "memory": training.knows_before_training,
    "statistics": training.statistics,
    "selection": training.selection,
    "tested": split.tested_once,
    "figures": outcome.stated_figures,
    "fold-pattern": outcome.fold_pattern,
    "shortcuts": outcome.shortcuts,
    "sources": outcome.source_drop,
}
"""Every check by its name."""


def run_audit(evaluation: Evaluation) -> Audit:
    """Make every check of `CHECKS` that the evaluation allows."""
    results = {name: check(evaluation) for name, check in CHECKS.items()}
    findings = [finding for found in results.values() for finding in found or ()]
    order = [LEAK, WARNING, NOTE]
    return Audit(
        sorted(findings, key=lambda one: order.index(one.level)),
        [name for name, found in results.items() if found == []],
        [name for name, found in results.items() if found is None],
    )
