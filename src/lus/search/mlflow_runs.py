"""What MLflow shows of a search: a run for each study, under which those of its trials are nested."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lus.common import hashing
from lus.common.params import Search
from lus.features import featureset
from lus.features.featureset import FeatureSet
from lus.heads.training import History
from lus.metrics import plots
from lus.search import storage, trials
from lus.search.mlflow_log import as_dataset, create_run, log_to_run
from lus.search.study_page import draw_study_page
from lus.search.trials import Trial
from lus.splits import folds
from lus.splits.folds import Part
from lus.splits.protocols import EvaluationProtocol
from lus.tracking import client, processes, runs
from lus.tracking.lineage import cohort_hash, collect_lineage

if TYPE_CHECKING:
    import optuna

WAITING = "SCHEDULED"
"""MLflow's word for a search whose turn has not come."""
SAMPLE_SECONDS = 5
"""Between two samples of the system metrics."""


STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
"""Optuna's words, and those of the tag `lus.state`."""


@dataclass(frozen=True)
class SearchRun:
    """The run of a study in MLflow.

    Attributes:
        run_id: its identity.
        tags: that its trials bear too: what they were run on.
        data, part: what is searched.
        seed: of the search.
    """

    run_id: str
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
    shared |= data.info.lineage
    run_id = _find(study) or _make(study, data, part, params, rule, shared)
    log_to_run(run_id, tags={runs.OWNER_TAG: processes.owner()})
    return SearchRun(run_id, shared, data, part, params.seed)


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
    run_id = create_run(f"{part.name} · search {data.name}", own)  # the part first: MLflow cuts long names off
    chosen = _find(study) or run_id
    if chosen != run_id:
        client.get_client().delete_run(run_id)
        return chosen
    backbone = {"backbone": data.info.backbone, "length": data.info.length, "weights": data.info.weights}
    values = params.model_dump(exclude={"trials", "seconds", "workers"}) | backbone
    values |= {"feature_set": data.name, "part": part.name}
    log_to_run(run_id, params=values)
    client.get_client().log_inputs(run_id, [as_dataset(data, part)])
    client.get_client().update_run(run_id, status=WAITING)
    return run_id


def activate_run(search: SearchRun) -> AbstractContextManager[Any]:
    """The search's run as the active one, with system metrics; ends it."""
    import logging

    import mlflow

    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
    mlflow.set_system_metrics_sampling_interval(SAMPLE_SECONDS)
    run: AbstractContextManager[Any] = mlflow.start_run(run_id=search.run_id, log_system_metrics=True)
    return run


def cancel_run(search: SearchRun) -> None:
    """End a search's run whose turn will not come."""
    if client.get_client().get_run(search.run_id).info.status == WAITING:
        client.get_client().set_terminated(search.run_id, "KILLED")


def log_findings(search: SearchRun, study: optuna.Study, best: Trial, written: Path) -> None:
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
    log_to_run(search.run_id, metrics=measured, tags=runs.prefix_tags(tags))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        draw_study_page(study, f"{search.data.name} · {search.part.name}", folder / "study.html")
        _pictures(search, storage.get_trial(study, best.number), best, folder)
        mlflow.log_artifacts(str(folder), run_id=search.run_id)
        mlflow.log_artifact(str(written), run_id=search.run_id)


def _pictures(search: SearchRun, frozen: optuna.trial.FrozenTrial, best: Trial, folder: Path) -> None:
    import numpy as np

    title = f"{search.data.name} · {search.part.name}, trial {best.number}"
    matrix = np.array(frozen.user_attrs[trials.CONFUSION], np.int64)
    names = folds.label_names(search.data.clips)
    plots.confusion(matrix, names, folder / "best-confusion.png", f"{title}\nvalidation clips")
    curves = [
        History(**{name: tuple(values) for name, values in one.items()}) for one in frozen.user_attrs[trials.CURVES]
    ]
    plots.curves(curves, folder / "best-curves.png", title)
