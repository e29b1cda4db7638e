"""How the service is bounded and who may use it: from the environment, so that one container fits many places."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lus.common.errors import BadInput
from lus.service import api_keys

UPLOAD, REQUESTS = "LUS_MAX_UPLOAD_MB", "LUS_MAX_REQUESTS"


@dataclass(frozen=True)
class Settings:
    """The bounds of the service.

    Attributes:
        upload: bytes that a request may have.
        upload_seconds: in which it must have arrived.
        requests: clips (or batches) that may be under way at once; further ones are sent away.
        batch: clips of one batch.
        keys: SHA-256 of each API key, in hexadecimal digits; none: no key is asked for.
    """

    upload: int = 32 << 20
    upload_seconds: float = 60.0
    requests: int = 8
    batch: int = 16
    keys: frozenset[str] = frozenset()


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process.

    Raises:
        BadInput: a variable has a value that is none, or the file of keys cannot be read.
    """
    return Settings(
        upload=_read_number(environment, UPLOAD, 32) << 20,
        requests=_read_number(environment, REQUESTS, 8),
        keys=api_keys.read_keys(environment),
    )


def _read_number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise BadInput(f"{name} is {text!r}, a whole number of at least 1 is expected; set or unset it")
    return int(text)
