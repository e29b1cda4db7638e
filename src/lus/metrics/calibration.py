"""Temperature scaling: probabilities that say how sure one may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray

COLDEST, HOTTEST = 0.05, 20.0
"""Where the temperature is looked for."""
FLOOR = 1e-12
"""A probability of 0 has no logarithm; float32 rounds smaller ones than this to 0 beside a 1."""
LEVEL = 0.95
"""Of the interval that must exclude 1 before a temperature makes a classifier surer."""
FLAT = 1e-9
"""Nats by which the loss must depend on the temperature."""
SEPARATED, UNINFORMATIVE, UNPROVEN = (
    "all clips are right, which determines no temperature",
    "the loss is the same at every temperature",
    f"below 1, but its {LEVEL:.0%} interval holds 1",
)
"""Why a temperature is 1."""


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Attributes:
        value: above 1 the classifier was too sure, below 1 not sure enough.
        clips: how many it was fitted on.
        why: a sentence where it is 1 because the clips do not say otherwise; else empty.
    """

    value: float
    clips: int
    why: str = ""


def fit(probabilities: FloatArray, targets: IntArray, groups: NDArray[np.object_] | None = None) -> Temperature:
    """The temperature that makes the true labels of these clips most likely (Guo et al., ICML 2017), or 1.

    It is 1 where every clip is right, since any colder temperature is more likely then; where the loss is flat; and
    where it would make the classifier surer without evidence. Too sure is the dangerous side, so that a temperature
    above 1 is taken as it is, and one below 1 only where its interval excludes 1: where the score of 1 / T at 1 is
    larger than chance explains. Even then it is the one nearest to 1 within a standard error of the likeliest, that is
    where the log-likelihood is half a nat lower (the one-standard-error rule of Breiman et al., Classification and
    Regression Trees, 1984): of few clips, nearly all right, the likeliest can be far too cold.

    The score's variance is the larger one of that which the probabilities imply and of that seen over groups of clips
    (the robust score test of Boos, The American Statistician 46, 1992, by Student's t with one degree less than there
    are groups): few clips, nearly all right, hardly differ, and would seem to prove anything. A prior that pulls to 1
    was looked at and not taken: with every clip right it only slows the way to 0 down. What the rule costs and saves on
    new clips is shown by `benchmarks/simulated_cohorts.py`.

    Logits serve as well after a softmax: the logarithms of probabilities are the logits but for a constant, which
    the softmax takes out.

    Args:
        probabilities: (n, labels) of clips that the classifier was not trained on.
        targets: (n,) numbers of their labels.
        groups: (n,) names of those whose clips are not independent of each other; none: every clip is.

    Raises:
        ValueError: there is no clip, the shapes do not belong together, or a row holds something else than
            probabilities.
    """
    from scipy.optimize import brentq, minimize_scalar

    if not len(targets) or probabilities.ndim != 2 or len(probabilities) != len(targets):
        raise ValueError(f"probabilities {probabilities.shape} were given for {len(targets)} clips")
    strange = ~(np.isfinite(probabilities) & (probabilities >= 0)).all(axis=1)
    if strange.any():
        raise ValueError(f"{int(strange.sum())} of {len(targets)} clips have no probabilities; leave them out first")
    logits = _logits(probabilities)

    def loss(log_temperature: float) -> float:
        return _loss(logits, targets, float(np.exp(log_temperature)))

    if np.ptp(logits, axis=1).max() < FLAT:
        return Temperature(1.0, len(targets), UNINFORMATIVE)
    if (logits[np.arange(len(targets)), targets] >= logits.max(axis=1)).all():
        return Temperature(1.0, len(targets), SEPARATED)
    # Convex in 1 / temperature, so that there is one minimum on any scale of it.
    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6})
    value = float(np.exp(found.x))
    if value >= 1:
        return Temperature(value, len(targets))
    shown, inflation = _evidence(logits, targets, groups)
    if not shown:
        return Temperature(1.0, len(targets), UNPROVEN)
    least = found.fun + inflation / (2 * len(targets))
    if loss(0.0) <= least:
        return Temperature(1.0, len(targets), UNPROVEN)
    return Temperature(float(np.exp(brentq(lambda one: loss(one) - least, found.x, 0.0))), len(targets))


def _evidence(logits: NDArray[np.float64], targets: IntArray, groups: NDArray[np.object_] | None) -> tuple[bool, float]:
    """Whether the interval of the temperature lies below 1, and by how much groups of clips widen it."""
    from scipy.stats import t

    given = np.exp(_log_softmax(logits))
    mean = (given * logits).sum(axis=1)
    scores = logits[np.arange(len(targets)), targets] - mean  # of 1 / T, at 1
    names = np.arange(len(targets)) if groups is None else np.unique(groups.astype(str), return_inverse=True)[1]
    of_groups = np.bincount(names, scores)
    if len(of_groups) < 2:
        return False, 1.0
    expected = (given * (logits - mean[:, None]) ** 2).sum()  # variance of their sum, were T 1 and clips independent
    variance = max(expected, len(of_groups) * of_groups.var(ddof=1))
    shown = of_groups.sum() / np.sqrt(variance) > t.ppf((1 + LEVEL) / 2, len(of_groups) - 1)
    return bool(shown), float(variance / expected)


def apply(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Probabilities (n, labels) at another temperature: (n, labels) float32; the most probable label stays so.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} was given, one above 0 is expected")
    scaled = np.exp(_log_softmax(_logits(probabilities) / temperature))
    return np.asarray(scaled, np.float32)


def _logits(probabilities: FloatArray) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(probabilities.astype(np.float64), FLOOR)), np.float64)


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import log_softmax

    return np.asarray(log_softmax(logits, axis=1), np.float64)


def _loss(logits: NDArray[np.float64], targets: IntArray, temperature: float) -> float:
    return float(-_log_softmax(logits / temperature)[np.arange(len(targets)), targets].mean())
