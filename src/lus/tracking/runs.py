"""MLflow runs: their tags, which of them there are, and the end of those whose process is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lus.tracking import client
from lus.tracking.processes import alive

if TYPE_CHECKING:
    from mlflow.entities import Run

OWNER_TAG = "lus.owner"
"""Tag of a run with the process that it belongs to."""


def prefix_tags(tags: dict[str, str]) -> dict[str, str]:
    """Tags under this project's own prefix, as MLflow shows them beside its own."""
    return {f"lus.{name}": value for name, value in tags.items()}


def search_runs(condition: str, order: str = "attributes.start_time DESC", limit: int = 10_000) -> list[Run]:
    """The experiment's runs that fulfil a condition, in the words of MLflow's filters; the newest first by default."""
    import mlflow

    return list(
        mlflow.search_runs(
            experiment_names=[client.EXPERIMENT],
            filter_string=condition,
            order_by=[order],
            max_results=limit,
            output_format="list",
        )
    )


def find_run(**tags: str) -> Run | None:
    """The newest finished run of the experiment with all these tags."""
    conditions = [f"tags.`lus.{name}` = '{value}'" for name, value in tags.items()]
    return next(iter(search_runs(" and ".join([*conditions, "attributes.status = 'FINISHED'"]), limit=1)), None)


def kill_orphaned_runs() -> int:
    """End as killed the runs whose process on this machine is gone; returns how many there were."""
    owned = "tags.`lus.owner` LIKE '%' and attributes.status"
    open_runs = [run for status in ("RUNNING", "SCHEDULED") for run in search_runs(f"{owned} = '{status}'")]
    dead = [run.info.run_id for run in open_runs if alive(run.data.tags[OWNER_TAG]) is False]
    for run_id in dead:
        client.get_client().set_terminated(run_id, "KILLED")
    return len(dead)
