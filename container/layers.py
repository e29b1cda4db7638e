"""Whether an address of a package index is kept in an image: in a layer, or in the record of how it was built."""

from __future__ import annotations

import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO

from container import indexes
from container.engine import Engine
from lus.common.errors import BadInput

BLOCK = 1 << 20
GZIP = b"\x1f\x8b"


def find_addresses(engine: Engine, image: str) -> tuple[str, str]:
    """Search all that an image is made of for the addresses that this machine is set to use.

    Returns:
        What was searched, in words, and the names of the parts in which an address was found (empty: none). The
        addresses themselves are not named: they can hold passwords.

    Raises:
        BadInput: the image cannot be read.
    """
    addresses = [one.encode() for one in indexes.index_addresses()]
    if not addresses:
        return "no index but PyPI is set here", ""
    searched, found = 0, []
    with subprocess.Popen(
        [engine.program, "save", image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=engine.environment()
    ) as saved:
        assert saved.stdout is not None  # noqa: S101
        with tarfile.open(fileobj=saved.stdout, mode="r|") as parts:
            for part in parts:
                content = parts.extractfile(part) if part.isfile() else None
                if content is not None:
                    searched += 1
                    found += [part.name] if contains_address(content, addresses) else []
        while saved.stdout.read(BLOCK):
            pass
    if saved.returncode != 0 or not searched:
        raise BadInput(f"{engine.program} save {image} failed: exit status {saved.returncode}")
    return f"{len(addresses)} looked for in {searched} parts", ", ".join(found)


def contains_address(content: IO[bytes], addresses: list[bytes]) -> bool:
    """Whether one of the addresses occurs, also where the content is compressed with gzip."""
    tail = max(len(one) for one in addresses) - 1
    kept = b""
    for block in _decompress(content):
        text = kept + block
        if any(one in text for one in addresses):
            return True
        kept = text[-tail:] if tail else b""
    return False


def _decompress(content: IO[bytes]) -> Iterator[bytes]:
    block = content.read(BLOCK)
    unpack = zlib.decompressobj(wbits=31) if block.startswith(GZIP) else None
    while block:
        yield unpack.decompress(block) if unpack else block
        block = content.read(BLOCK)
