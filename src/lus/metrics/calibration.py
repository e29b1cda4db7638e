"""Temperature scaling: probabilities that say how sure one may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lus.common.arrays import FloatArray, IntArray

COLDEST, HOTTEST = 0.05, 20.0
"""Where the temperature is looked for. It has no minimum where every clip is right: any colder is better then."""
FLOOR = 1e-12
"""A probability of 0 has no logarithm; float32 rounds smaller ones than this to 0 beside a 1."""


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Attributes:
        value: above 1 the classifier was too sure, below 1 not sure enough.
        clips: how many it was fitted on.
    """

    value: float
    clips: int

    @property
    def at_limit(self) -> bool:
        """Whether the clips do not determine it: all right, or no better than guessing."""
        return not COLDEST * 1.01 < self.value < HOTTEST / 1.01


def fit(probabilities: FloatArray, targets: IntArray) -> Temperature:
    """The temperature that makes the true labels of these clips most likely (Guo et al., ICML 2017).

    Logits serve as well after a softmax: the logarithms of probabilities are the logits but for a constant, which
    the softmax takes out.

    Args:
        probabilities: (n, labels) of clips that the classifier was not trained on.
        targets: (n,) numbers of their labels.

    Raises:
        ValueError: there is no clip, or the shapes do not belong together.
    """
    from scipy.optimize import minimize_scalar

    if not len(targets) or probabilities.ndim != 2 or len(probabilities) != len(targets):
        raise ValueError(f"probabilities {probabilities.shape} were given for {len(targets)} clips")
    logits = _logits(probabilities)

    def loss(log_temperature: float) -> float:
        return _loss(logits, targets, float(np.exp(log_temperature)))

    # Convex in 1 / temperature, so that there is one minimum on any scale of it.
    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return Temperature(float(np.exp(found.x)), len(targets))


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
