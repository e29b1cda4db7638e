from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 90)
    probabilities = rng.dirichlet(np.ones(3), 90).astype(np.float32)
    probabilities[np.arange(90), targets] += 0.4
    return targets, probabilities / probabilities.sum(axis=1, keepdims=True)
