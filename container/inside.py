"""Runs in the container, as the service's user: prints as JSON what can be done there and what lies there."""

import errno
import importlib.util
import json
import os
import pwd
import tempfile
from pathlib import Path

UNWANTED = ("tensorflow", "keras", "mlflow", "torch")
FOLDERS = ("/", "/etc", "/usr", "/home", "/app/.venv")
"""Of the root; podman puts memory of its own in the place of /run and /var/tmp."""
STATUS = ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
ROOTS_HOME = pwd.getpwuid(0).pw_dir
INDEX_FILES = (
    *("/etc/pip.conf", "/etc/uv", "/etc/xdg/pip", "/app/.venv/pip.conf"),
    *(f"{ROOTS_HOME}/{name}" for name in (".config", ".pip")),
)
LIMITS = {
    "memory": ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    "memory_peak": ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"),
    "processes": ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"),
}


def read_processes() -> dict[str, dict[str, str]]:
    """Ids and privileges of each process, by its number."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in file.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue  # It has ended meanwhile.
        found[file.parent.name] = {name: lines[name] for name in STATUS}
    return found


def try_writing(folder: str) -> str:
    """What comes of making a file there: the error's name, or an empty text."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def read_first(files: tuple[str, ...]) -> str:
    """The text of the first file that is there."""
    return next((Path(one).read_text().strip() for one in files if Path(one).is_file()), "")


def cpu_seconds() -> float:
    """Seconds of processors that the container has had."""
    counted = read_first(("/sys/fs/cgroup/cpuacct/cpuacct.usage",))
    if counted:
        return int(counted) / 1e9
    return int(read_first(("/sys/fs/cgroup/cpu.stat",)).split()[1]) / 1e6


def list_tmp() -> list[str]:
    """Files under /tmp but BentoML's own."""
    return sorted(
        str(one) for one in Path("/tmp").rglob("*") if one.is_file() and Path("/tmp/bentoml") not in one.parents
    )


def find_index_settings() -> list[str]:
    """Variables and files that name a package index; what root alone can see is asked by name."""
    variables = [name for name in os.environ if name.startswith("PIP_") or "INDEX" in name]
    return variables + [one for one in INDEX_FILES if os.access(one, os.F_OK)]


if __name__ == "__main__":
    report = {
        "processes": read_processes(),
        "writing": {one: try_writing(one) for one in (*FOLDERS, os.environ["BENTO_PATH"])},
        "packages": [one for one in UNWANTED if importlib.util.find_spec(one)],
        "indexes": find_index_settings(),
        "tmp": list_tmp(),
        "cpu_seconds": cpu_seconds(),
        "limits": {name: read_first(files) for name, files in LIMITS.items()},
    }
    print(json.dumps(report))
