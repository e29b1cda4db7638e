"""register: the chosen feature set and head -> a trained classifier, registered as the challenger."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lus.clips import frameset
from lus.common.params import Register
from lus.common.progress import Steps, no_progress
from lus.evaluation import files
from lus.evaluation.mlflow_run import log_run
from lus.evaluation.report import version_tags
from lus.features import featureset
from lus.metrics import strata
from lus.registry import aliases, registration
from lus.registry.registration import Result
from lus.registry.version_summary import WEIGHTS_TAG
from lus.search import trials_file
from lus.tracking import client
from lus.tracking.lineage import collect_lineage


def run(
    build: Path,
    out: Path,
    params: Register,
    steps: Steps = no_progress,
    refuse_changes: Callable[[], None] = lambda: None,
    anew: bool = False,
) -> str:
    """Train the chosen classifier on the whole cohort and register it, where no version is of the same result.

    Args:
        build: the folder in which the stages before wrote `evaluation`, `features`, `search` and `frames`.
        out: a JSON file: name, version, run.
        params: the name in the registry.
        steps: told what is under way.
        refuse_changes: called just before anything is written to MLflow, where it stays.
        anew: register another version, also where there is one of the same evaluation, features and code.

    Returns:
        A sentence with the version, which is the challenger.

    Raises:
        BadInput: nothing has been evaluated yet, MLflow does not answer, or something was changed meanwhile.
    """
    client.connect()
    version, new = registration.register_once(_read(build), params, steps, refuse_changes, anew)
    written = {"name": params.name, "version": str(version.version), "run": str(version.run_id)}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(written, indent=2) + "\n")
    if new:
        return (
            f"{params.name} version {version.version} registered, alias {aliases.CHALLENGER}; "
            "`lus promote` puts it into production"
        )
    return (
        f"{params.name} version {version.version} is of the same evaluation, features and code: nothing new was "
        f"registered, alias {aliases.CHALLENGER}; `lus register --anew` registers another"
    )


def _read(build: Path) -> Result:
    evaluation = build / "evaluation"
    choice, summary, audit = files.read_evaluation(evaluation)
    folder = build / "features" / choice["feature_set"]
    data = featureset.read(folder)
    lineage = (
        collect_lineage(
            {
                "clips": folder / featureset.CLIPS_FILE,
                "features": folder / featureset.FEATURES_FILE,
                "backbone": folder / featureset.WEIGHTS_FILE,
                "trials": build / "search" / choice["feature_set"] / trials_file.TRIALS_FILE,
                "params": Path("params.yaml"),
                "dvc_lock": Path("dvc.lock"),
                "environment": Path("requirements/pipeline.txt"),
            }
        )
        | files.identity_tag(evaluation)
        | data.info.lineage
        | {WEIGHTS_TAG: data.info.weights}
    )
    return Result(
        choice,
        summary,
        json.loads((evaluation / files.FIGURES_FILE).read_text()),
        audit,
        strata.read_strata(evaluation / strata.STRATA_FILE),
        version_tags(summary, audit),
        data,
        frameset.read(build / "frames"),
        lineage,
        partial(log_run, build, evaluation),
    )
