"""Start the image as it is meant to run, hold it to its promises, stop it: `make smoke`."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from container import engine, layers
from container.engine import HARDENED, LATEST, MEMORY, PROCESSES, PYTHON, REVISION, VERSION, Engine
from lus.common import progress
from lus.common.errors import BadInput
from lus.inference.classifier import Prediction

MAX_SIZE = 1000e6
"""Bytes of the image, of which an FFmpeg for PyAV and one for OpenCV take 150 million."""
MAX_START, MAX_STOP = 10.0, 5.0
"""Seconds from `run` to ready, and from SIGTERM to the end."""
BUSY = 0.25
"""Share of the machine's processors from which on others are in the way."""
CLIPS = 3
TOLERANCE = 0.01
"""By which a probability may differ from that of `lus classify`, which computes with Keras."""


@dataclass(frozen=True)
class Check:
    """A promise, what was found of it, and whether it is kept."""

    promise: str
    found: str
    kept: bool


@dataclass(frozen=True)
class Container:
    """A running container."""

    engine: Engine
    image: str
    name: str
    address: str

    def look_inside(self) -> dict[str, Any]:
        """What `inside.py` reports."""
        script = Path(__file__).with_name("inside.py").read_text()
        command = ("exec", "--interactive", self.name, PYTHON, "-")
        return dict(json.loads(self.engine.call(*command, said=script).stdout))


def main() -> None:
    """Print a table of all that was checked; exit status 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", default=LATEST)
    parser.add_argument("--clips", type=Path, default=Path("phantom"), help="a folder of usable clips")
    parser.add_argument("--max-start", type=float, default=MAX_START, help="seconds from run to ready")
    parser.add_argument("--compare", action="store_true", help="with the answers of the registered version")
    options = parser.parse_args()
    clips = _choose_clips(options.clips)
    chosen = engine.choose()
    if not chosen.has_image(options.image):
        raise BadInput(f"{options.image}: {chosen.program} has no such image; make image builds it")
    with progress.steps() as step:
        checks = _check_image(chosen, options, clips, step)
    _print_checks(checks, f"{options.image} with {chosen.program}")
    if not all(check.kept for check in checks):
        raise SystemExit(1)


def _check_image(chosen: Engine, options: argparse.Namespace, clips: list[Path], step: progress.Steps) -> list[Check]:
    step("looking through the image's layers")
    checks = _check_layers(chosen, options.image)
    expected = {}
    if options.compare:
        step("asking the registered version")
        expected = _classify_registered(chosen, options.image, clips)
    step("waiting until it is ready")
    started, worked = time.monotonic(), _processor_seconds()
    with _run_container(chosen, options.image) as container:
        _wait_until_ready(container, started)
        seconds = time.monotonic() - started
        worked = _processor_seconds() - worked
        step("looking inside")
        before = container.look_inside()
        others = worked - before["cpu_seconds"]
        checks.append(check_start(seconds, before["cpu_seconds"], others, options.max_start))
        checks += _check_privileges(before) + _check_contents(before)
        step("sending it clips")
        checks += _check_answers(container, clips, expected)
        checks += _check_leftovers(container, before)
        step("stopping it")
        checks.append(_check_stop(container))
    return checks


def _processor_seconds() -> float:
    """Seconds that the machine's processors have worked, for anybody."""
    user, nice, system, _, _, interrupts, soft, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def check_start(seconds: float, own: float, others: float, limit: float) -> Check:
    """Whether it was ready in time.

    Where others keep the machine busy it waits for its turn; there the seconds that it computed are held to the limit.

    Args:
        seconds: from `run` to ready.
        own: seconds of processors that the container had by then.
        others: seconds of processors that all else had.
        limit: seconds.
    """
    busy = others / (seconds * (os.cpu_count() or 1))
    found = f"{seconds:.1f} s, {own:.1f} s of processors; others kept {min(1.0, busy):.0%} of the machine busy"
    return Check(f"ready within {limit:.0f} s", found, seconds <= limit or (busy >= BUSY and own <= limit))


def _choose_clips(folder: Path) -> list[Path]:
    """Some clips of a folder, spread over it.

    Raises:
        BadInput: there is no such folder, or no clip in it.
    """
    from lus.checks import survey

    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder, one of usable clips is expected; name one with --clips")
    found = survey.find_clips([folder])
    return found[:: max(1, len(found) // CLIPS)][:CLIPS]


@contextmanager
def _run_container(chosen: Engine, image: str) -> Iterator[Container]:
    """The container as it is meant to run, on a free port of loopback; it is gone afterwards, whatever happens."""
    name = f"lus-smoke-{os.getpid()}"
    try:
        chosen.call(
            "run", "--detach", "--name", name, "--publish", "127.0.0.1::3000", *chosen.running, *HARDENED, image
        )
        port = chosen.call("port", name, "3000/tcp").stdout.split(":")[-1].strip()
        yield Container(chosen, image, name, f"http://127.0.0.1:{port}")
    except BaseException:
        said = chosen.attempt("logs", "--tail", "40", name)
        print(said.stdout, said.stderr, sep="\n")
        raise
    finally:
        chosen.attempt("rm", "--force", name)


def _wait_until_ready(container: Container, started: float, seconds: float = 120) -> None:
    while time.monotonic() - started < seconds:
        try:
            if httpx.get(f"{container.address}/readyz", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        state = container.engine.call("inspect", "--format", "{{.State.Running}}", container.name).stdout.strip()
        if state != "true":
            raise BadInput("the container ended before it was ready; what it said stands above")
        time.sleep(0.1)
    raise BadInput(f"the container was not ready within {seconds:.0f} s; what it said stands above")


def _check_layers(chosen: Engine, image: str) -> list[Check]:
    described = chosen.inspect_image(image)
    size, user = int(described["Size"]), str(described["Config"]["User"])
    labels = chosen.labels(image)
    version, revision = labels.get(VERSION, ""), labels.get(REVISION, "")
    searched, found = layers.find_addresses(chosen, image)
    return [
        Check(f"image of at most {MAX_SIZE / 1e6:.0f} MB", f"{size / 1e6:.0f} MB", size <= MAX_SIZE),
        Check("the user is a number, not root's", user, re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", user) is not None),
        Check("labels name version and commit", f"v{version}, {revision[:12]}", bool(version and revision)),
        Check("no index's address in a layer or the history", found or searched, not found),
    ]


def _check_privileges(inside: dict[str, Any]) -> list[Check]:
    processes = inside["processes"]
    first, all_of_them = processes["1"], list(processes.values())
    ids = {one for each in all_of_them for name in ("Uid", "Gid") for one in each[name].split()}
    capabilities = {each[name] for each in all_of_them for name in each if name.startswith("Cap")}
    writing = inside["writing"]
    refused = ", ".join(f"{folder} {error or 'written'}" for folder, error in writing.items())
    limits = inside["limits"]
    return [
        Check(f"no process is root's ({len(processes)} of them)", f"uid {first['Uid'].split()[0]}", "0" not in ids),
        Check("no capability", f"CapBnd {first['CapBnd']}", {int(one, 16) for one in capabilities} == {0}),
        Check("no new privileges", first["NoNewPrivs"], {each["NoNewPrivs"] for each in all_of_them} == {"1"}),
        Check("the root is read-only", refused, set(writing.values()) == {"EROFS"}),
        Check("memory is limited", limits["memory"], limits["memory"] == str(MEMORY)),
        Check("the number of processes is limited", limits["processes"], limits["processes"] == str(PROCESSES)),
    ]


def _check_contents(inside: dict[str, Any]) -> list[Check]:
    return [
        Check("no TensorFlow, Keras, MLflow or torch", ", ".join(inside["packages"]), not inside["packages"]),
        Check("no settings of a package index", ", ".join(inside["indexes"]), not inside["indexes"]),
    ]


def _check_answers(container: Container, clips: list[Path], expected: dict[Path, Prediction]) -> list[Check]:
    with httpx.Client(base_url=container.address, timeout=60) as client:
        counted = _read_counts(client)
        card = client.get("/model").raise_for_status().json()
        checks = [_check_answer(client, clip, card, expected.get(clip)) for clip in clips]
        checks += [
            _check_refusal(client, *bad)
            for bad in (("notes.txt", b"no clip\n" * 40), ("cut.avi", clips[0].read_bytes()[:2000]))
        ]
        now = _read_counts(client)
        page = client.get("/")
    answered, refused = (now[one] - counted[one] for one in ("lus_answers", "lus_refusals"))
    healthy = container.engine.attempt("exec", container.name, *_health_command(container))
    return [
        *checks,
        Check(
            "/metrics counts answers and refusals",
            f"{answered:.0f}, {refused:.0f}",
            answered == len(clips) and refused >= 2,
        ),
        Check(
            "the page answers",
            page.headers.get("content-type", ""),
            page.status_code == 200 and "html" in page.headers["content-type"],
        ),
        Check("the image's health check passes", f"exit status {healthy.returncode}", healthy.returncode == 0),
    ]


def _check_answer(client: httpx.Client, clip: Path, card: dict[str, Any], expected: Prediction | None) -> Check:
    started = time.monotonic()
    response = client.post("/classify", files={"clip": (clip.name, clip.read_bytes())})
    seconds = time.monotonic() - started
    if response.status_code != 200:
        return Check(f"{clip.name} is answered", f"{response.status_code} {response.text[:200]}", kept=False)
    answer = response.json()
    label, probabilities = answer["label"], answer["probabilities"]
    best = max(probabilities, key=probabilities.__getitem__)
    kept = set(probabilities) == set(card["labels"]) and label == best and abs(sum(probabilities.values()) - 1) < 1e-3
    found = f"{label} {probabilities[label]:.3f}, {seconds:.2f} s"
    if expected is not None:
        difference = _largest_difference(expected, answer)
        kept, found = kept and difference <= TOLERANCE, f"{found}, {difference:.4f} from lus classify"
    return Check(f"{clip.name} is answered", found, kept)


def _classify_registered(chosen: Engine, image: str, clips: list[Path]) -> dict[Path, Prediction]:
    """What the registered version of which the image is says of the clips."""
    from lus.common import params_file, quiet
    from lus.registry import download, models

    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    quiet.import_tensorflow()
    version = models.get_version(params_file.load_params().register_.name, chosen.labels(image).get(VERSION, ""))
    with download.load_classifier(version) as classifier:
        return {clip: classifier.classify(clip) for clip in clips}


def _largest_difference(expected: Prediction, answer: dict[str, Any]) -> float:
    """The largest difference of a probability; 1 for another label."""
    if expected.label != answer["label"]:
        return 1.0
    return float(max(abs(value - answer["probabilities"][label]) for label, value in expected.probabilities.items()))


def _check_refusal(client: httpx.Client, name: str, content: bytes) -> Check:
    response = client.post("/classify", files={"clip": (name, content)})
    kind = response.headers["content-type"]
    findings = response.json().get("findings") if "json" in kind else None
    found = f"{response.status_code} {', '.join(one['check'] for one in findings or [])}"
    return Check(f"{name} is refused", found, response.status_code == 422 and "problem+json" in kind and bool(findings))


def _read_counts(client: httpx.Client) -> dict[str, float]:
    """Answers and refusals so far."""
    from prometheus_client.parser import text_string_to_metric_families

    counts = {"lus_answers": 0.0, "lus_refusals": 0.0}
    for family in text_string_to_metric_families(client.get("/metrics").raise_for_status().text):
        if family.name in counts:
            counts[family.name] += sum(sample.value for sample in family.samples if sample.name.endswith("_total"))
    return counts


def _health_command(container: Container) -> list[str]:
    """The command of the image's HEALTHCHECK."""
    described = container.engine.inspect_image(container.image)
    settings = described["Config"].get("Healthcheck") or described.get("Healthcheck") or {"Test": ["CMD", "false"]}
    return [str(word) for word in settings["Test"][1:]]


def _check_leftovers(container: Container, before: dict[str, Any]) -> list[Check]:
    inside = container.look_inside()
    more = sorted(set(inside["tmp"]) - set(before["tmp"]))
    peak = inside["limits"]["memory_peak"]
    return [
        Check("no clip stays in /tmp", ", ".join(more), not more),
        Check("memory at its peak", f"{int(peak) / 2**20:.0f} MiB" if peak.isdigit() else "not told here", kept=True),
    ]


def _check_stop(container: Container) -> Check:
    started = time.monotonic()
    container.engine.call("stop", "--time", "30", container.name)
    seconds = time.monotonic() - started
    code = container.engine.call("inspect", "--format", "{{.State.ExitCode}}", container.name).stdout.strip()
    promise = f"ends within {MAX_STOP:.0f} s of SIGTERM, with 0"
    return Check(promise, f"{seconds:.1f} s, {code}", seconds <= MAX_STOP and code == "0")


def _print_checks(checks: list[Check], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("promise", "found", "kept", title=title, title_justify="left")
    for check in checks:
        table.add_row(check.promise, check.found or "none", "yes" if check.kept else "NO")
    Console(width=140).print(table)


if __name__ == "__main__":
    engine.run(main)
