"""The versions of a registered model: listed, and each with all that it comes from."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lus.clips import cohort, frameset
from lus.common.errors import BadInput
from lus.metrics.strata import STRATA_FILE, read_strata
from lus.registry import aliases, download, journal, models
from lus.registry.journal import AliasChange
from lus.registry.validations import Validation, find_validations
from lus.registry.version_summary import WEIGHTS_TAG, VersionFacts, summarise_version
from lus.tracking import client

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAMED = (aliases.CHAMPION, aliases.CHALLENGER, aliases.PREVIOUS)
STAGES = ("cohort", "frames", "features", "search", "evaluate")


@dataclass(frozen=True)
class VersionRow:
    """A version in a list; what it does not say is empty.

    Attributes:
        version: its number.
        aliases: that it bears now.
        accuracy, interval, balanced_accuracy, protocol, audit: of its evaluation.
        data, commit: hash of the clips' table and git commit.
        lineage: what tells this version from all others, as served answers have it.
        made: UTC, as ISO 8601 has it.
    """

    version: str
    aliases: Sequence[str]
    accuracy: str
    interval: str
    balanced_accuracy: str
    protocol: str
    audit: str
    data: str
    commit: str
    lineage: str
    made: str

    @property
    def age(self) -> str:
        """As in "3 days"."""
        seconds = (datetime.now(UTC) - datetime.fromisoformat(self.made)).total_seconds()
        for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
            if seconds >= length:
                count = int(seconds // length)
                return f"{count} {unit}{'' if count == 1 else 's'}"
        return "now"


@dataclass(frozen=True)
class Lineage:
    """All that a version comes from, and what was done with it.

    Attributes:
        row: as in the list.
        summary: what matters first (`version_summary`).
        run_id: MLflow run of its evaluation.
        tags: of the version: hashes, machine, figures.
        stages: hashes of what the pipeline's stages gave, from the `dvc.lock` stored with it: output -> hash.
        params: the parameters stored with it; None where none are.
        metrics, audit: of its evaluation; None where there is none.
        strata: rows of the metrics by source, probe, size of the picture and label.
        acts: promotions and rollbacks to it, and those by which it stepped back.
        validations: on cohorts that it was not trained on.
    """

    row: VersionRow
    summary: Mapping[str, str]
    run_id: str
    tags: Mapping[str, str]
    stages: Mapping[str, str]
    params: Mapping[str, Any] | None
    metrics: Mapping[str, Any] | None
    audit: Mapping[str, Any] | None
    strata: Sequence[Mapping[str, Any]]
    acts: Sequence[AliasChange]
    validations: Sequence[Validation]


def listed(name: str) -> list[VersionRow]:
    """All versions, the newest first.

    Raises:
        BadInput: there is none.
    """
    versions = _all(name)
    bearers = aliases.get_aliases(name)
    return [_row(one, bearers) for one in versions]


def _all(name: str) -> list[ModelVersion]:
    client.connect()
    found = list(client.get_client().search_model_versions(f"name = '{name}'"))
    if not found:
        raise BadInput(f"{name} has no version yet; {aliases.ALIAS_HINTS[aliases.CHALLENGER]}")
    return sorted(found, key=lambda one: int(one.version), reverse=True)


def _row(version: ModelVersion, bearers: Mapping[str, str]) -> VersionRow:
    tags, number = version.tags, str(version.version)
    borne = sorted(alias for alias, bearer in bearers.items() if bearer == number)
    own = [one for one in NAMED if one in borne] + [one for one in borne if one not in NAMED]
    return VersionRow(
        version=number,
        aliases=own,
        accuracy=tags.get("accuracy", ""),
        interval=tags.get("accuracy_interval", ""),
        balanced_accuracy=tags.get("balanced_accuracy", ""),
        protocol=tags.get("protocol", ""),
        audit=tags.get("audit", ""),
        data=tags.get("clips_sha256", ""),
        commit=tags.get("git_commit", ""),
        lineage=models.lineage_id(version),
        made=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
    )


def resolve_version(name: str, what: str) -> ModelVersion:
    """The version that is meant by its number, an alias, or a lineage id as a served answer has it (or its beginning).

    Raises:
        BadInput: none is meant, or several are.
    """
    versions = _all(name)
    number = what if what in {str(one.version) for one in versions} else aliases.get_aliases(name).get(what)
    if number is not None:
        return models.get_version(name, number)
    fitting = [one for one in versions if len(what) >= 4 and models.lineage_id(one).startswith(what)]
    if not fitting and what.isdecimal():
        return models.get_version(name, what)
    if len(fitting) != 1:
        found = f"fits {len(fitting)} versions of {name}" if fitting else f"is no version of {name}"
        raise BadInput(f"{what} {found}; a number, an alias or a lineage id is expected, `lus models` shows them")
    return models.get_version(name, str(fitting[0].version))


def lineage(name: str, what: str) -> Lineage:
    """All that a version comes from.

    Raises:
        BadInput: no version is meant, or several are.
    """
    version = resolve_version(name, what)
    number = str(version.version)
    with tempfile.TemporaryDirectory() as scratch:
        stored = download.download_lineage(version, Path(scratch))
        params, lock = (_yaml(stored / file) for file in ("params.yaml", "dvc.lock"))
        evaluation = download.download_evaluation(version, Path(scratch))
        metrics, audit = (read_json(evaluation / file) for file in ("metrics.json", "audit.json"))
        details = read_json(evaluation / "figures.json")
        clips = _clips(stored / frameset.CLIPS_FILE)
        strata = read_strata(evaluation / STRATA_FILE)
    validations, tags = find_validations(name, number), dict(version.tags)
    weights = tags.get(WEIGHTS_TAG) or str((params or {}).get("features", {}).get("weights", ""))
    facts = VersionFacts(weights, _labels(metrics), clips, metrics, details, audit)
    acts = [one for one in journal.acts(name) if number in (one.version, one.champion)]
    return Lineage(
        row=_row(version, aliases.get_aliases(name)),
        run_id=str(version.run_id or ""),
        summary=summarise_version(facts, validations),
        tags=tags,
        stages=outs(lock or {}),
        params=params,
        metrics=metrics,
        audit=audit,
        strata=strata,
        acts=acts,
        validations=validations,
    )


def read_json(file: Path) -> dict[str, Any] | None:
    """The content of a JSON file, where it is there."""
    return dict(json.loads(file.read_text())) if file.is_file() else None


def _labels(metrics: Mapping[str, Any] | None) -> list[str]:
    """As the metrics name them; none of a version without metrics."""
    before = "sensitivity."
    return [name.removeprefix(before) for name in metrics or {} if name.startswith(before)]


def _clips(file: Path) -> pd.DataFrame | None:
    """A cohort table as it was stored; columns that came later are empty."""
    if not file.is_file():
        return None
    return pd.read_csv(file, dtype=str, keep_default_na=False).reindex(columns=cohort.COLUMNS, fill_value="")


def _yaml(file: Path) -> dict[str, Any] | None:
    import yaml

    return dict(yaml.safe_load(file.read_text()) or {}) if file.is_file() else None


def restore_params(name: str, one: Lineage, file: Path) -> None:
    """Write the parameters that were stored with a version, as they were."""
    with tempfile.TemporaryDirectory() as scratch:
        stored = download.download_lineage(models.get_version(name, one.row.version), Path(scratch))
        shutil.copy(stored / "params.yaml", file)


def outs(lock: Mapping[str, Any]) -> dict[str, str]:
    """What the stages gave, from the content of a `dvc.lock`: output -> hash."""
    return {
        str(out["path"]): str(out["md5"])
        for stage, content in lock.get("stages", {}).items()
        if stage.split("@")[0] in STAGES
        for out in content.get("outs", [])
        if "md5" in out
    }
