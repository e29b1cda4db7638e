"""How the service is bounded and who may use it: from the environment, so that one container fits many places."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lus.errors import BadInput

UPLOAD, REQUESTS, KEYS, KEYS_FILE = "LUS_MAX_UPLOAD_MB", "LUS_MAX_REQUESTS", "LUS_API_KEYS", "LUS_API_KEYS_FILE"
_HASH = re.compile(r"[0-9a-f]{64}")


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


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process.

    Raises:
        BadInput: a variable has a value that is none, or the file of keys cannot be read.
    """
    return Settings(
        upload=_number(environment, UPLOAD, 32) << 20,
        requests=_number(environment, REQUESTS, 8),
        keys=_keys(environment),
    )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise BadInput(f"{name} is {text!r}, a whole number of at least 1 is expected; set or unset it")
    return int(text)


def _keys(environment: Mapping[str, str]) -> frozenset[str]:
    lines, where = environment.get(KEYS, "").split(","), KEYS
    if KEYS_FILE in environment:
        where = KEYS_FILE
        try:
            lines += Path(environment[KEYS_FILE]).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            # Not the content of the file, and not its name, which may be the key itself by mistake.
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise BadInput(f"{KEYS_FILE}: cannot be read ({reason}); name a file of keys' hashes, one a line") from None
    # A name in front tells people whose key it is.
    hashes = [line.split("#")[0].strip().rpartition(":")[2].strip().lower() for line in lines]
    found = [one for one in hashes if one]
    if any(not _HASH.fullmatch(one) for one in found):
        raise BadInput(f"{where}: an entry is no SHA-256 in 64 hexadecimal digits; `lus api-key` makes keys and hashes")
    if not found and (KEYS_FILE in environment or KEYS in environment):
        # Somebody wanted the service to be closed; a command that lists the keys gives nothing where it fails.
        raise BadInput(f"{where}: no key's hash found; `lus api-key` makes one, or unset it to ask for no key")
    return frozenset(found)


def new_key() -> tuple[str, str]:
    """A new API key, and the hash by which the service knows it."""
    key = secrets.token_urlsafe(32)
    return key, digest(key)


def digest(key: str) -> str:
    """SHA-256 of a key. Keys are long and random, so that a fast hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()
