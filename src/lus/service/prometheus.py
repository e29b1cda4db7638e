"""What the service counts for Prometheus, beside BentoML's own counts of requests."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from lus.common.errors import Finding

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


@dataclass(frozen=True)
class Counters:
    """The counts."""

    answers: Counter
    refusals: Counter
    turned_away: Counter
    seconds: Histogram


_LOCK = Lock()


def _get_counters() -> Counters:
    # Counts can be made once, and the cache lets threads that come first make them at the same time.
    with _LOCK:
        return _make_counters()


@functools.cache
def _make_counters() -> Counters:
    # BentoML says where counts are kept when a process of it has started, and not before this is imported.
    from prometheus_client import Counter, Histogram

    return Counters(
        Counter("lus_answers", "clips answered, by label", ["label"]),
        Counter("lus_refusals", "clips refused, by the check that they do not pass", ["check"]),
        Counter("lus_turned_away", "requests without an answer, by status", ["status"]),
        Histogram("lus_seconds", "seconds of a clip, by part", ["part"], buckets=SECONDS),
    )


def count_answer(label: str, seconds: Mapping[str, float]) -> None:
    """Count an answer."""
    _get_counters().answers.labels(label).inc()
    for part, spent in seconds.items():
        _get_counters().seconds.labels(part).observe(spent)


def count_unusable(findings: Sequence[Finding]) -> None:
    """Count a clip that is not usable, once for each check."""
    for check in {one.check for one in findings}:
        _get_counters().refusals.labels(check).inc()


def count_refusal(status: str) -> None:
    """Count a request that was turned away."""
    _get_counters().turned_away.labels(status).inc()
