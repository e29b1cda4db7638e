"""Whose a run or a trial is: the process that it belongs to, and whether that is still there."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path


def _machine() -> str:
    """What tells this machine since its start, or this container, from others that may have the same name."""
    known = [socket.gethostname()]
    with contextlib.suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        known.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(known)


def owner() -> str:
    """What tells this process from all others: its machine, its number, and when it began."""
    import psutil

    return f"{_machine()} {os.getpid()} {psutil.Process().create_time():.2f}"


def alive(whose: str) -> bool | None:
    """Whether a process is still there; None where that is not known.

    That is on another machine, in another container, and before this machine was started last.
    """
    import psutil

    machine, pid, began = whose.rsplit(" ", 2)
    # Owners of older runs have the name alone.
    if machine not in (_machine(), socket.gethostname()):
        return None
    try:
        # The number may have been given to another process since.
        return bool(abs(psutil.Process(int(pid)).create_time() - float(began)) < 1)
    except psutil.NoSuchProcess:
        return False
