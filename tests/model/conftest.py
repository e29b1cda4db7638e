"""Fixtures of the tests with models."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def searched(project: Path) -> Path:
    """The folder of a project's results, with a feature set and its search."""
    from tests.model.stages import feature_set, run_search  # MLflow with it

    build = project / "build"
    feature_set(build)
    run_search(build)
    return build
