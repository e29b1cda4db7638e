"""What MLflow shows of a trial: its run, nested under that of its search."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lus.heads.model import HeadParams
from lus.heads.training import History
from lus.search import trials
from lus.search.mlflow_log import as_dataset, create_run, log_to_run
from lus.search.mlflow_runs import SearchRun
from lus.search.trials import FoldScore, Trial
from lus.tracking import client, processes, runs

if TYPE_CHECKING:
    import optuna


class TrialRun:
    """The run of a trial while it goes on."""

    def __init__(self, search: SearchRun, trial: optuna.Trial, head: HeadParams) -> None:
        import psutil

        place = trial.user_attrs[trials.NUMBER]
        tags = {"kind": "trial", "trial": str(trial.number), "owner": processes.owner()} | dict(search.tags)
        note = (
            f"Trial {place} of `{search.data.name}` for part `{search.part.name}`: {head}; reads {head.inputs}, "
            f"dropout {head.dropout:.2g}, penalty {head.l2:.2g}, {head.optimiser} at {head.learning_rate:.2g}, "
            f"{head.batch} clips a step."
        )
        name = f"{search.part.name} {place:02d}: {head}, {head.optimiser}"
        nested = {"mlflow.parentRunId": search.run_id, "mlflow.note.content": note}
        self._run_id = create_run(name, runs.prefix_tags(tags) | nested)
        values = head.used() | {"head": str(head), "dense_layers": len(head.dense), "feature_set": search.data.name}
        log_to_run(self._run_id, params=values | {"part": search.part.name, "seed": search.seed, "number": place})
        client.get_client().log_inputs(self._run_id, [as_dataset(search.data, search.part)])
        self._process, self._peak = psutil.Process(), 0
        self._started, self._epochs = time.perf_counter(), 0

    def epoch(self) -> None:
        """Look at the memory in use."""
        self._epochs += 1
        self._peak = max(self._peak, int(self._process.memory_info().rss))

    def fold(self, number: int, score: FoldScore, history: History) -> None:
        """Log a fold: its score, and its course by epoch."""
        series = {
            "train_loss": history.loss,
            "train_accuracy": history.accuracy,
            "val_loss": history.val_loss,
            "val_accuracy": history.val_accuracy,
        }
        metrics = [
            (f"{name}/fold-{number}", value, epoch)
            for name, values in series.items()
            for epoch, value in enumerate(values, start=1)
        ]
        metrics += [(f"fold_{name}", float(value), number) for name, value in vars(score).items()]
        log_to_run(self._run_id, metrics=metrics)

    def end(self, trial: Trial) -> None:
        """Log what came out, and what it took."""
        seconds = time.perf_counter() - self._started
        values = {
            "folds": len(trial.folds),
            "seconds": seconds,
            "seconds_per_epoch": seconds / max(self._epochs, 1),
            "peak_memory_mb": self._peak / 2**20,
        }
        if trial.folds:
            values |= {"loss": trial.loss, "accuracy": trial.accuracy, "epochs": trial.epochs}
        log_to_run(self._run_id, metrics=[(name, float(value), 0) for name, value in values.items()])
