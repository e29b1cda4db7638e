"""A phantom for tests, which stays as it is whatever `params.yaml` says."""

from __future__ import annotations

from lus.common.params import Simulate

SIMULATE = Simulate(
    seed=2021,
    patients=20,
    clips=2,
    frames=28,
    labels={
        "covid-19": {"b-lines": 0.9, "a-lines": 0.1},
        "pneumonia": {"consolidation": 0.7, "b-lines-still": 0.3},
        "healthy": {"a-lines": 0.9, "b-lines": 0.1},
    },
)
