"""API keys: how they are made, read, and asked for; the service knows their hashes alone."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping
from pathlib import Path

from starlette.datastructures import Headers

from lus.common.errors import BadInput

KEYS, KEYS_FILE = "LUS_API_KEYS", "LUS_API_KEYS_FILE"
"""Variables that hold the hashes of the keys, or name a file of them."""
PUBLIC_PATHS = ("/", "/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs")
PUBLIC_FOLDERS = ("/page/", "/static_content/")
"""Paths, and folders of further ones, that need no key; the page asks for one itself."""
_HASH = re.compile(r"[0-9a-f]{64}")


def is_public(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDERS)


def is_allowed(keys: Collection[str], headers: Headers) -> bool:
    """Whether a request bears one of the keys.

    Args:
        keys: their hashes, as `read` gives them.
        headers: of the request: `Authorization: Bearer KEY`, or `X-API-Key: KEY`.
    """
    scheme, _, key = headers.get("authorization", "").partition(" ")
    given = hash_key(key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", ""))
    # A hash of the key is compared, so that the time it takes says nothing of the key.
    return any(hmac.compare_digest(given, one) for one in keys)


def read_keys(environment: Mapping[str, str]) -> frozenset[str]:
    """The hashes of the keys that the service asks for; none: it asks for no key.

    Raises:
        BadInput: the file cannot be read, an entry is no hash, or keys were meant and none is there.
    """
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
    return key, hash_key(key)


def hash_key(key: str) -> str:
    """SHA-256 of a key. Keys are long and random, so that a fast hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()
