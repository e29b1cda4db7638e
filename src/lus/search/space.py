"""The search space of heads, as Optuna sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lus.common.params import Search
from lus.heads.model import HeadParams

if TYPE_CHECKING:
    import optuna


def suggest(trial: optuna.trial.BaseTrial, space: Search) -> HeadParams:
    """Draw a head from the search space; for a finished trial: the head that was drawn."""
    layers = trial.suggest_int("dense_layers", 1, space.max_dense_layers)
    return HeadParams(
        units=trial.suggest_categorical("units", list(space.units)),
        dropout=trial.suggest_float("dropout", *space.dropout),
        dense=tuple(trial.suggest_categorical(f"dense_{n}", list(space.dense)) for n in range(1, layers + 1)),
        learning_rate=trial.suggest_float("learning_rate", *space.learning_rate, log=True),
        batch=trial.suggest_categorical("batch", list(space.batch)),
        optimiser=trial.suggest_categorical("optimiser", list(space.optimiser)),
        inputs=trial.suggest_categorical("inputs", list(space.inputs)),
    )


def as_suggestion(head: HeadParams) -> dict[str, Any]:
    """The inverse of `suggest`: a head as a trial's parameters."""
    dense = {f"dense_{number}": units for number, units in enumerate(head.dense, start=1)}
    plain = {
        "units": head.units,
        "dropout": head.dropout,
        "learning_rate": head.learning_rate,
        "batch": head.batch,
        "optimiser": head.optimiser,
        "inputs": head.inputs,
    }
    return plain | {"dense_layers": len(head.dense)} | dense


def fits(head: HeadParams, space: Search) -> bool:
    """Whether a head lies in the search space, so that it can be tried first."""
    return (
        head.units in space.units
        and set(head.dense) <= set(space.dense)
        and 1 <= len(head.dense) <= space.max_dense_layers
        and head.batch in space.batch
        and head.optimiser in space.optimiser
        and head.inputs in space.inputs
        and space.dropout[0] <= head.dropout <= space.dropout[1]
        and space.learning_rate[0] <= head.learning_rate <= space.learning_rate[1]
    )
