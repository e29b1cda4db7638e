"""A search as MLflow shows it: a run for each study, and nested under it one for each trial."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lus.common import hashing
from lus.common.params import Search
from lus.features import featureset
from lus.features.featureset import FeatureSet
from lus.heads.model import HeadParams
from lus.heads.training import History
from lus.metrics import plots as figures
from lus.search import plots, storage, trials
from lus.search.trials import FoldScore, Trial
from lus.splits import folds
from lus.splits.folds import Part
from lus.splits.protocols import EvaluationProtocol
from lus.tracking import client, processes, runs
from lus.tracking.lineage import cohort_hash, collect_lineage

if TYPE_CHECKING:
    import optuna
    from mlflow.entities import DatasetInput, Run

WAITING = "SCHEDULED"
"""MLflow's word for a search whose turn has not come."""
ATTEMPTS = 3
"""Times that something is logged before MLflow's refusal counts."""
SAMPLE_SECONDS = 5
"""Between two samples of the system metrics."""
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
"""Optuna's words, and those of the tag `lus.state`."""


@dataclass(frozen=True)
class SearchRun:
    """The run of a study in MLflow.

    Attributes:
        run_id: its identity.
        study: the study's name.
        tags: that its trials bear too: what they were run on.
        data, part: what is searched.
        seed: of the search.
    """

    run_id: str
    study: str
    tags: Mapping[str, str]
    data: FeatureSet
    part: Part
    seed: int


def open_search(study: str, data: FeatureSet, part: Part, params: Search, rule: EvaluationProtocol) -> SearchRun:
    """The run of a study: the one there is, or a new one."""
    made_for = folds.ALL if data.info.folds is None else part.name
    features, clips = (data.folder / name for name in (featureset.features_file(made_for), featureset.CLIPS_FILE))
    shared = {
        "feature_set": data.name,
        "part": part.name,
        "cohort": cohort_hash(clips),
        "study": study,
        "seed": str(params.seed),
        "protocol": rule.name,
        "leaking": str(rule.leaking).lower(),
    } | collect_lineage({"features": features, "clips": clips})
    run_id = _find(study) or _make(study, data, part, params, rule, shared)
    _log(run_id, tags={runs.OWNER_TAG: processes.owner()})
    return SearchRun(run_id, study, shared, data, part, params.seed)


def _find(study: str) -> str | None:
    of_study = f"tags.`lus.study` = '{study}' and tags.`lus.kind` = 'search'"
    found = runs.search_runs(of_study, "attributes.start_time ASC", limit=1)
    return str(found[0].info.run_id) if found else None


def _make(
    study: str, data: FeatureSet, part: Part, params: Search, rule: EvaluationProtocol, shared: Mapping[str, str]
) -> str:
    """A new run for a study, or the one that another process made for it in this moment."""
    tags = {"kind": "search", "owner": processes.owner()} | dict(shared)
    note = (
        f"Heads tried on `{data.name}` for part `{part.name}`, protocol {rule.name}: {len(part.train)} clips, "
        f"{len(part.inner)} inner folds. A trial's `loss` is its mean validation loss over them. "
        + (f"The part's {len(part.test)} test clips take no part in it. " if len(part.test) else "")
        + (f"**Its figures leak: {rule.why}.** " if rule.leaking else "")
        + "Trials that fell behind the median of those before were pruned. `study.html` plots them all."
    )
    own = runs.prefix_tags(tags) | {"mlflow.note.content": note}
    run_id = _create(f"{part.name} · search {data.name}", own)  # the part first: MLflow cuts long names off
    chosen = _find(study) or run_id
    if chosen != run_id:
        client.get_client().delete_run(run_id)
        return chosen
    backbone = {"backbone": data.info.backbone, "length": data.info.length, "weights": data.info.weights}
    values = params.model_dump(exclude={"trials", "seconds", "workers"}) | backbone
    values |= {"feature_set": data.name, "part": part.name}
    _log(run_id, params=values)
    client.get_client().log_inputs(run_id, [_dataset(data, part)])
    client.get_client().update_run(run_id, status=WAITING)
    return run_id


def _create(name: str, tags: Mapping[str, str]) -> str:
    experiment = client.ensure_experiment(client.EXPERIMENT)
    return str(client.get_client().create_run(experiment, run_name=name, tags=dict(tags)).info.run_id)


def _log(
    run_id: str,
    params: Mapping[str, Any] | None = None,
    metrics: Sequence[tuple[str, float, int]] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log in one call: parameters, metrics as (name, value, step), tags."""
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    now = int(time.time() * 1000)
    for left in reversed(range(ATTEMPTS)):
        try:
            client.get_client().log_batch(
                run_id,
                metrics=[Metric(name, value, now, step) for name, value, step in metrics],
                params=[Param(name, str(value)) for name, value in (params or {}).items()],
                tags=[RunTag(name, value) for name, value in (tags or {}).items()],
            )
            return
        except MlflowException:
            # Two processes that write the same key of one run at once: for the later one it is there by now.
            if not left:
                raise


def _dataset(data: FeatureSet, part: Part) -> DatasetInput:
    """The clips that a study learns from and chooses by, as MLflow's kind of dataset."""
    import mlflow
    from mlflow.entities import DatasetInput, InputTag

    table = data.clips.iloc[part.train].reset_index(drop=True)
    source = str(data.folder / featureset.CLIPS_FILE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that whole numbers cannot be missing: none is
        dataset = mlflow.data.from_pandas(table, source=source, targets="label", name=f"clips of {part.name}")
        entity = dataset._to_mlflow_entity()
    return DatasetInput(dataset=entity, tags=[InputTag("mlflow.data.context", "search")])


def active(search: SearchRun) -> AbstractContextManager[Any]:
    """The search's run as the active one, with system metrics; ends it."""
    import logging

    import mlflow

    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
    mlflow.set_system_metrics_sampling_interval(SAMPLE_SECONDS)
    run: AbstractContextManager[Any] = mlflow.start_run(run_id=search.run_id, log_system_metrics=True)
    return run


def cancel(search: SearchRun) -> None:
    """End a search's run whose turn will not come."""
    if client.get_client().get_run(search.run_id).info.status == WAITING:
        client.get_client().set_terminated(search.run_id, "KILLED")


class TrialRun:
    """The run of a trial while it goes on."""

    def __init__(self, search: SearchRun, trial: optuna.Trial, head: HeadParams) -> None:
        import psutil

        place = trial.user_attrs[trials.NUMBER]
        dense = " ".join(map(str, head.dense))
        tags = {"kind": "trial", "trial": str(trial.number), "owner": processes.owner()} | dict(search.tags)
        note = (
            f"Trial {place} of `{search.data.name}` for part `{search.part.name}`: LSTM of {head.units} units on "
            f"{head.inputs}, dropout {head.dropout:.2g}, dense {dense}, {head.optimiser} at {head.learning_rate:.2g}, "
            f"{head.batch} clips a step."
        )
        of = "" if head.inputs == "frames" else f" of {head.inputs}"
        name = f"{search.part.name} {place:02d}: LSTM {head.units}{of}, dense {dense}, {head.optimiser}"
        nested = {"mlflow.parentRunId": search.run_id, "mlflow.note.content": note}
        self._run_id = _create(name, runs.prefix_tags(tags) | nested)
        values = head.to_dict() | {"dense_layers": len(head.dense), "feature_set": search.data.name}
        _log(self._run_id, params=values | {"part": search.part.name, "seed": search.seed, "number": place})
        client.get_client().log_inputs(self._run_id, [_dataset(search.data, search.part)])
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
        _log(self._run_id, metrics=metrics)

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
        _log(self._run_id, metrics=[(name, float(value), 0) for name, value in values.items()])


def close_finished_runs(study: optuna.Study, search: SearchRun) -> None:
    """End the runs of trials that have ended, as what they ended as: this process's own, and those of the dead."""
    still = runs.search_runs(f"tags.`mlflow.parentRunId` = '{search.run_id}' and attributes.status = 'RUNNING'")
    by_number = {str(one.number): one for one in study.get_trials(deepcopy=False)} if still else {}
    for run in still:
        whose = run.data.tags[runs.OWNER_TAG]
        trial = by_number.get(run.data.tags["lus.trial"])
        if trial is not None and trial.user_attrs.get(storage.OWNER) != whose:
            trial = None  # of a study in another storage, shown in the same place
        here = whose == processes.owner() or processes.alive(whose) is False
        if (trial is None or trial.state.is_finished()) if here else _abandoned(trial):
            _end(run, trial)


def _abandoned(trial: optuna.trial.FrozenTrial | None) -> bool:
    """Whether a trial of another process has ended, and the process will not end its run any more.

    Either it ended so long ago that the process can't be about to, or others ended it because the process is gone.
    """
    if trial is None or not trial.state.is_finished():
        return False
    seconds = storage.seconds_since_end(trial)
    return seconds is None or seconds > storage.GRACE


def _end(run: Run, trial: optuna.trial.FrozenTrial | None) -> None:
    error = trial.user_attrs.get(storage.ERROR) if trial else None
    killed = trial is None or (trial.state.name == "FAIL" and error is None)
    tags = {"state": "killed" if trial is None or killed else STATES[trial.state.name]}
    _log(run.info.run_id, tags=runs.prefix_tags(tags | ({"error": error} if error else {})))
    client.get_client().set_terminated(run.info.run_id, "KILLED" if killed else "FAILED" if error else "FINISHED")


def finish(search: SearchRun, study: optuna.Study, best: Trial, written: Path) -> None:
    """Log what a study found: its best trial in figures and pictures, and the study's plots.

    Args:
        search: its run.
        study: with its trials.
        best: of them.
        written: the file with the trials of the whole search.
    """
    import mlflow

    counts = dict.fromkeys(STATES.values(), 0)
    for one in study.get_trials(deepcopy=False):
        if one.state.name in STATES and (one.state.name != "FAIL" or storage.ERROR in one.user_attrs):
            counts[STATES[one.state.name]] += 1
    values = {"best_loss": best.loss, "best_accuracy": best.accuracy, "best_trial": best.number}
    values |= {f"trials_{state}": count for state, count in counts.items()}
    tags = {f"best.{name}": str(value) for name, value in best.head.to_dict().items()}
    tags["trials_sha256"] = hashing.sha256(written)
    measured = [(name, float(value), 0) for name, value in values.items()]
    _log(search.run_id, metrics=measured, tags=runs.prefix_tags(tags))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plots.study(study, f"{search.data.name} · {search.part.name}", folder / "study.html")
        _pictures(search, storage.numbered(study, best.number), best, folder)
        mlflow.log_artifacts(str(folder), run_id=search.run_id)
        mlflow.log_artifact(str(written), run_id=search.run_id)


def _pictures(search: SearchRun, frozen: optuna.trial.FrozenTrial, best: Trial, folder: Path) -> None:
    import numpy as np

    title = f"{search.data.name} · {search.part.name}, trial {best.number}"
    matrix = np.array(frozen.user_attrs[trials.CONFUSION], np.int64)
    names = folds.label_names(search.data.clips)
    figures.confusion(matrix, names, folder / "best-confusion.png", f"{title}\nvalidation clips")
    curves = [
        History(**{name: tuple(values) for name, values in one.items()}) for one in frozen.user_attrs[trials.CURVES]
    ]
    figures.curves(curves, folder / "best-curves.png", title)
