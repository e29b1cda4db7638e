"""What proposes the trials of a study."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lus.common import quiet

if TYPE_CHECKING:
    import optuna

STARTUP = 8
"""Trials drawn at random before TPE learns from them."""


def make_sampler(seed: int, part: str, number: int) -> optuna.samplers.BaseSampler:
    """What proposes the trial with this number: TPE over all parameters jointly.

    Each trial gets one of its own, seeded by its number, so that a search that was ended and goes on proposes what an
    unbroken one would.
    """
    import optuna

    digest = hashlib.sha256(f"{seed}/{part}/{number}".encode()).digest()
    with quiet.allow_optuna_experiments():
        return optuna.samplers.TPESampler(
            seed=int.from_bytes(digest[:4], "big"),
            n_startup_trials=STARTUP,
            multivariate=True,
            group=True,
        )
