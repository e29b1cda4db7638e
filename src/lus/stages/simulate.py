"""simulate: parameters -> the phantom cohort."""

from __future__ import annotations

from pathlib import Path

from lus import phantom
from lus.common.params import Simulate
from lus.common.workers import Progress


def run(out: Path, params: Simulate, progress: Progress | None = None) -> str:
    """Simulate the phantom's clips and their `clips.csv`; returns a sentence on what was made."""
    phantom.simulate_cohort(params, out, progress)
    clips = len(params.labels) * params.patients * params.clips
    return f"{clips} clips of {len(params.labels)} labels in {out}"
