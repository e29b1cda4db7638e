"""A run's process is known to live or to be gone, and of one elsewhere nothing is known."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lus.tracking import processes

OWNER = [sys.executable, "-c", "from lus.tracking import processes; print(processes.owner())"]


def test_a_process_is_known_to_live_and_one_that_has_ended_to_be_gone() -> None:
    gone = subprocess.run(OWNER, capture_output=True, text=True, check=True).stdout.strip()
    assert (processes.alive(processes.owner()), processes.alive(gone)) == (True, False)


def test_of_a_process_on_another_machine_with_the_same_name_nothing_is_known() -> None:
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.is_file():
        pytest.skip("this system has no identity of its start")
    elsewhere = processes.owner().replace(boot.read_text().strip(), "00000000-0000-4000-8000-000000000000")
    assert elsewhere != processes.owner()
    assert processes.alive(elsewhere) is None


def test_of_a_process_in_another_container_with_the_same_name_nothing_is_known() -> None:
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    try:
        subprocess.run([*apart, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("namespaces of processes cannot be made here")
    elsewhere = subprocess.run([*apart, *OWNER], capture_output=True, text=True, check=True).stdout.strip()
    assert elsewhere.startswith(socket.gethostname())
    assert processes.alive(elsewhere) is None


def test_the_owner_of_an_older_run_is_looked_for_by_the_name_of_its_machine() -> None:
    _, pid, began = processes.owner().rsplit(" ", 2)
    assert processes.alive(f"{socket.gethostname()} {pid} {began}") is True
    assert processes.alive(f"{socket.gethostname()} {os.getpid()} 1.00") is False
    assert processes.alive(f"elsewhere {pid} {began}") is None
