"""Code to come: what this code is patched to where a test asks how it reads versions of today."""

from __future__ import annotations

import pytest

from lus.common.params import Limits
from lus.inference import metadata
from lus.inference.metadata import NEUTRAL_LIMITS, SCHEMA

NEXT = SCHEMA + 1


class LaterLimits(Limits):
    """Those of today, and one more."""

    max_ghosts: int


def know_more(patch: pytest.MonkeyPatch) -> None:
    """From now on the code knows one more schema, and in it a limit `max_ghosts`, whose neutral value is 1000."""
    patch.setattr(metadata, "SCHEMA", NEXT)
    patch.setattr(metadata, "Limits", LaterLimits)
    patch.setitem(NEUTRAL_LIMITS, "max_ghosts", (NEXT, 1000))
