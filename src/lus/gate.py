"""The gate before production: what a version must show, each condition with what was found and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lus import comparisons, protocols
from lus.arrays import FloatArray
from lus.params import Promote

TOLERANCE = 0.01
"""By how much a probability may differ between the registered model and what serves it."""
SEED = 0
"""Of the signs and resamples of the comparison."""


@dataclass(frozen=True)
class Facts:
    """What a version carries; None where it does not.

    Attributes:
        protocol: by which it was evaluated.
        audit: as `audit.json`.
        limits: of a usable clip, inside the model.
        answers: probabilities (n, labels) of the registered model for the stored clips: as stored, and as the serving
            engine gives them now.
        predictions: as `predictions.csv`.
    """

    protocol: str | None = None
    audit: Mapping[str, Any] | None = None
    limits: bool = False
    answers: tuple[FloatArray, FloatArray] | None = None
    predictions: pd.DataFrame | None = None


@dataclass(frozen=True)
class Condition:
    """One condition of the gate.

    Attributes:
        name: of the condition.
        passed: whether it is fulfilled.
        found, expected: as a reader understands them.
    """

    name: str
    passed: bool
    found: str
    expected: str


def conditions(candidate: Facts, champion: Facts | None, params: Promote) -> list[Condition]:
    """Look at every condition.

    Args:
        candidate: that is to be promoted.
        champion: that is in production; None where there is none.
        params: margin and level of the comparison.
    """
    return [
        _audit(candidate),
        _protocol(candidate),
        Condition(
            "limits",
            candidate.limits,
            "inside the model" if candidate.limits else "none",
            "limits of a usable clip inside the model",
        ),
        _parity(candidate),
        _no_worse(candidate, champion, params),
    ]


def _audit(candidate: Facts) -> Condition:
    expected = "an audit without a leak"
    if candidate.audit is None:
        return Condition("audit", False, "no audit", expected)
    leaks = [str(one["check"]) for one in candidate.audit["findings"] if one["level"] == "leak"]
    return Condition(
        "audit", not candidate.audit["leaking"], f"leaks: {', '.join(leaks)}" if leaks else "clean", expected
    )


def _protocol(candidate: Facts) -> Condition:
    rule = protocols.RULES.get(candidate.protocol or "")
    fair = [name for name, one in protocols.RULES.items() if not one.leaking]
    found = candidate.protocol or "none"
    if rule is not None and rule.leaking:
        found += f": {rule.why}"
    return Condition("protocol", rule is not None and not rule.leaking, found, " or ".join(fair))


def _parity(candidate: Facts) -> Condition:
    expected = f"the stored answers within {TOLERANCE}, and the same labels"
    if candidate.answers is None:
        return Condition("parity", False, "no stored clips", expected)
    stored, now = candidate.answers
    gap = float(np.abs(stored - now).max()) if stored.shape == now.shape else float("inf")
    same = gap <= TOLERANCE and bool((stored.argmax(axis=1) == now.argmax(axis=1)).all())
    return Condition("parity", same, f"largest difference {gap:.4f} on {len(stored)} clips", expected)


def _no_worse(candidate: Facts, champion: Facts | None, params: Promote) -> Condition:
    name = "no worse than the champion"
    expected = f"not {params.margin:.0%} of accuracy worse, p below {params.level}"
    if champion is None:
        return Condition(name, True, "there is no champion", expected)
    if candidate.predictions is None or champion.predictions is None:
        return Condition(name, False, "one of the two has no predictions", expected)
    both = candidate.predictions.merge(champion.predictions, on="clip_id", suffixes=("", "_champion"))
    common = f"{len(both)} of {len(champion.predictions)} clips in common"
    if len(both) < len(champion.predictions) or (both["label"] != both["label_champion"]).any():
        what = common if len(both) < len(champion.predictions) else "the labels of the clips differ"
        return Condition(name, False, f"not comparable: {what}", expected)
    labels = sorted({*both["label"], *both["predicted"], *both["predicted_champion"]})
    numbers = {
        column: both[column].map(labels.index).to_numpy(np.int64)
        for column in ("label", "predicted", "predicted_champion")
    }
    pair = comparisons.paired(
        numbers["label"],
        numbers["predicted"],
        numbers["predicted_champion"],
        both["patient"].to_numpy(object),
        SEED,
        params.margin,
    )
    found = (
        f"difference {pair.difference:+.3f} ({pair.low:+.3f} to {pair.high:+.3f}) on {pair.clips} clips of "
        f"{pair.patients} patients, p {pair.p_no_worse:.3g}"
    )
    return Condition(name, pair.p_no_worse < params.level, found, expected)
