"""The search space of heads, as Optuna sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lus.common.params import Search
from lus.heads.model import LSTM, POOL, HeadParams

if TYPE_CHECKING:
    import optuna

DENSE_LAYERS = {LSTM: "dense_layers", POOL: "pool_dense_layers"}
"""Names of the number of dense layers: an LSTM has one at least, and one name means one range to Optuna."""


def suggest(trial: optuna.trial.BaseTrial, space: Search) -> HeadParams:
    """Draw a head from the search space; for a finished trial: the head that was drawn."""
    kind = trial.suggest_categorical("kind", list(space.heads))
    layers = trial.suggest_int(DENSE_LAYERS[kind], 1 if kind == LSTM else 0, space.max_dense_layers)
    own = _suggest_lstm(trial, space) if kind == LSTM else _suggest_pooling(trial, space)
    return HeadParams(
        kind=kind,
        **own,
        dropout=trial.suggest_float("dropout", *space.dropout),
        dense=tuple(trial.suggest_categorical(f"dense_{n}", list(space.dense)) for n in range(1, layers + 1)),
        learning_rate=trial.suggest_float("learning_rate", *space.learning_rate, log=True),
        batch=trial.suggest_categorical("batch", list(space.batch)),
        optimiser=trial.suggest_categorical("optimiser", list(space.optimiser)),
        inputs=trial.suggest_categorical("inputs", list(space.inputs)),
    )


def _suggest_lstm(trial: optuna.trial.BaseTrial, space: Search) -> dict[str, Any]:
    return {"units": trial.suggest_categorical("units", list(space.units))}


def _suggest_pooling(trial: optuna.trial.BaseTrial, space: Search) -> dict[str, Any]:
    return {
        "pooling": trial.suggest_categorical("pooling", list(space.pooling)),
        "l2": trial.suggest_float("l2", *space.l2, log=True),
    }


def as_suggestion(head: HeadParams) -> dict[str, Any]:
    """The inverse of `suggest`: a head as a trial's parameters."""
    dense = {f"dense_{number}": units for number, units in enumerate(head.dense, start=1)}
    own = {"units": head.units} if head.kind == LSTM else {"pooling": head.pooling, "l2": head.l2}
    plain = {
        "kind": head.kind,
        "dropout": head.dropout,
        "learning_rate": head.learning_rate,
        "batch": head.batch,
        "optimiser": head.optimiser,
        "inputs": head.inputs,
    }
    return own | plain | {DENSE_LAYERS[head.kind]: len(head.dense)} | dense


def fits(head: HeadParams, space: Search) -> bool:
    """Whether a head lies in the search space, so that it can be tried first."""
    if head.kind == LSTM:
        own = head.units in space.units and len(head.dense) >= 1 and head.l2 == 0
    else:
        own = head.pooling in space.pooling and space.l2[0] <= head.l2 <= space.l2[1]
    return (
        own
        and head.kind in space.heads
        and set(head.dense) <= set(space.dense)
        and len(head.dense) <= space.max_dense_layers
        and head.batch in space.batch
        and head.optimiser in space.optimiser
        and head.inputs in space.inputs
        and space.dropout[0] <= head.dropout <= space.dropout[1]
        and space.learning_rate[0] <= head.learning_rate <= space.learning_rate[1]
    )
