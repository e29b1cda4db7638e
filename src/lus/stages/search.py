"""search: a feature set -> tried heads; every Optuna trial is a nested MLflow run."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lus import featureset, folds, heads, pool, tracking, trials
from lus.featureset import FeatureSet
from lus.folds import Fold
from lus.heads import HeadParams
from lus.params import Folds, Search
from lus.trials import FoldScore, Trial, Trials

if TYPE_CHECKING:
    import optuna


def suggest(trial: optuna.Trial, space: Search) -> HeadParams:
    """Draw a head from the search space."""
    layers = trial.suggest_int("dense_layers", 1, space.max_dense_layers)
    return HeadParams(
        units=trial.suggest_categorical("units", list(space.units)),
        dropout=trial.suggest_float("dropout", *space.dropout),
        dense=tuple(trial.suggest_categorical(f"dense_{n}", list(space.dense)) for n in range(1, layers + 1)),
        learning_rate=trial.suggest_float("learning_rate", *space.learning_rate, log=True),
        batch=trial.suggest_categorical("batch", list(space.batch)),
    )


def _as_suggestion(head: HeadParams) -> dict[str, Any]:
    dense = {f"dense_{number}": units for number, units in enumerate(head.dense, start=1)}
    plain = {
        "units": head.units,
        "dropout": head.dropout,
        "learning_rate": head.learning_rate,
        "batch": head.batch,
    }
    return plain | {"dense_layers": len(head.dense)} | dense


def fits(head: HeadParams, space: Search) -> bool:
    """Whether a head lies in the search space, so that it can be tried first."""
    return (
        head.units in space.units
        and set(head.dense) <= set(space.dense)
        and len(head.dense) <= space.max_dense_layers
        and head.batch in space.batch
        and space.dropout[0] <= head.dropout <= space.dropout[1]
        and space.learning_rate[0] <= head.learning_rate <= space.learning_rate[1]
    )


def try_fold(
    head: HeadParams, data: FeatureSet, inner: Fold, params: Search, seed: int
) -> tuple[FoldScore, heads.History]:
    """Train a head on the inner training clips and score it on the validation clips.

    Neither holds a test clip of the outer fold, so the score may be used to choose.
    """
    targets, labels = folds.targets(data.clips), len(folds.label_names(data.clips))
    validation = (data.features[inner.test], targets[inner.test])
    _, history = heads.train(
        head,
        data.features[inner.train],
        targets[inner.train],
        labels,
        epochs=params.epochs,
        seed=seed,
        validation=validation,
        patience=params.patience,
    )
    best = history.best_epoch
    if not np.isfinite(history.val_loss[best - 1]):
        return FoldScore(math.inf, history.val_accuracy[best - 1], best), history  # diverged: the worst there is
    return FoldScore(history.val_loss[best - 1], history.val_accuracy[best - 1], best), history


def _run_trial(number: int, head: HeadParams, data: FeatureSet, inner: list[Fold], params: Search) -> Trial:
    import mlflow

    with mlflow.start_run(run_name=f"trial {number:02d}", nested=True, tags={"lus.kind": "trial"}):
        mlflow.log_params(head.to_dict() | {"feature_set": data.name, "seed": params.seed})
        scores = []
        started = time.perf_counter()
        for fold, split in enumerate(inner):
            score, history = try_fold(head, data, split, params, params.seed + fold)
            scores.append(score)
            mlflow.log_metrics(
                {"fold_loss": score.loss, "fold_accuracy": score.accuracy, "fold_epochs": score.epochs},
                step=fold,
            )
            for epoch, loss in enumerate(history.val_loss):
                mlflow.log_metric(f"val_loss.fold_{fold}", loss, step=epoch)
        trial = Trial(number, head, tuple(scores))
        seconds = time.perf_counter() - started
        mlflow.log_metrics({"loss": trial.loss, "accuracy": trial.accuracy, "seconds": seconds})
    return trial


def _search(data: FeatureSet, inner: list[Fold], params: Search, progress: pool.Progress | None) -> list[Trial]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Drawn at random, by a seed. A sampler that learns from the trials' mean over the folds would let a fold's
    # test patients, who are trained on in the other folds, steer which heads that fold may choose from.
    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler(seed=params.seed))
    published = heads.published(data.name)
    if fits(published, params):
        study.enqueue_trial(_as_suggestion(published))
    done: list[Trial] = []
    for number in range(params.trials):
        asked = study.ask()
        done.append(_run_trial(number, suggest(asked, params), data, inner, params))
        study.tell(asked, done[-1].loss)
        if progress:
            progress(number + 1, params.trials)
    return done


def run(folder: Path, out: Path, params: Search, cut: Folds, progress: pool.Progress | None = None) -> str:
    """Search a head for a feature set.

    Args:
        folder: the feature set.
        out: made afresh: `trials.json`.
        params: the search space and its budget.
        cut: how the patients are cut.

    Returns:
        A sentence on the best trial.
    """
    import mlflow

    data = featureset.read(folder)
    parts = folds.plan(data.clips, cut)[:-1]
    outer, inner = [Fold(part.train, part.test) for part in parts], [part.inner[0] for part in parts]
    tracking.connect()
    tags = tracking.lineage({"features": folder / featureset.FEATURES_FILE, "clips": folder / featureset.CLIPS_FILE})
    with mlflow.start_run(run_name=f"search {data.name}", tags={"lus.kind": "search"} | tracking.prefixed(tags)):
        mlflow.log_params(params.model_dump() | {"feature_set": data.name, "weights": data.info.weights})
        found = Trials(data.name, tuple(outer), tuple(_search(data, inner, params, progress)))
        best = found.best
        mlflow.log_metrics({"best_loss": best.loss, "best_accuracy": best.accuracy})
        mlflow.log_params({f"best.{key}": value for key, value in best.head.to_dict().items()})
        shutil.rmtree(out, ignore_errors=True)
        written = trials.write(out, found)
        mlflow.log_artifact(str(written))
        mlflow.set_tag("lus.trials_sha256", tracking.sha256(written))
    return (
        f"{len(found.trials)} trials in {out}; best: trial {best.number}, validation loss {best.loss:.3f}, "
        f"accuracy {best.accuracy:.2f}"
    )
