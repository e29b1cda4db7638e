"""A clip answered by the service, by `mlflow models serve` of the same version, and by the bare engine, in one run.

    python benchmarks/serving.py            after `make repro`
    python benchmarks/serving.py --engines  the engines alone

The service is sent a clip's file. MLflow's server cannot decode one: it is sent the frames as JSON, made beforehand and
not counted. First every engine of OpenVINO answers the clips that are stored with the version, as `lus package` tries
them. The bare engine is the compiled model in this process, with decoding and checks before it, one clip after
another. The three take turns, round by round, so that a busy machine slows each alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import httpx
import numpy as np
from served import clips, free_port, program, running, service

from lus.checks import rules
from lus.features import openvino
from lus.inference import engine_choice
from lus.inference.compiled import CompiledClassifier
from lus.registry import download, models
from lus.tracking.client import tracking_uri

SERVED = Path("build/served")


def asked(client: httpx.Client, address: str, body: Callable[[], dict[str, object]]) -> tuple[float, float]:
    """Seconds of one answer, and the largest probability in it; no numbers where the server gave none."""
    started = time.perf_counter()
    response = client.post(address, timeout=600, **body())  # type: ignore[arg-type]
    while response.status_code == 503 and "retry-after" in response.headers:
        time.sleep(float(response.headers["retry-after"]) / 10)
        response = client.post(address, timeout=600, **body())  # type: ignore[arg-type]
    if response.status_code >= 500:
        return float("nan"), float("nan")
    response.raise_for_status()
    spent, answer = time.perf_counter() - started, response.json()
    values = answer["probabilities"].values() if "probabilities" in answer else np.array(answer["predictions"]).ravel()
    return spent, float(max(values))


def crowd(clients: int, requests: int, one: Callable[[int], tuple[float, float]]) -> tuple[list[float], float]:
    """Seconds of each answer, and of all, where so many clients ask at once."""
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        spent = [seconds for seconds, _ in pool.map(one, range(requests))]
    return spent, time.perf_counter() - started


def row(name: str, clients: int, spent: list[float], whole: float) -> None:
    """One line of the table."""
    given = [one for one in spent if not np.isnan(one)]
    middle, late = np.percentile(given, [50, 95]) if given else (np.nan, np.nan)
    of = f"{len(given)} of {len(spent)}" if len(given) < len(spent) else str(len(spent))
    print(f"| {name} | {clients} | {of} | {middle:.2f} | {late:.2f} | {len(given) / whole:.2f} |", flush=True)


def compare_engines(name: str, version: str, rounds: int) -> None:
    """Print what each engine takes for a clip beside `openvino-f32`, and how near its answers are."""
    with tempfile.TemporaryDirectory() as scratch:
        served = Path(scratch)
        engines = engine_choice.list_candidates(engine_choice.AUTO)
        download.export_version(models.get_version(name, version), engines, served)
        found = engine_choice.try_engines(served, engines, rounds)
    base = next(one.seconds for one in found if one.engine == "openvino-f32")
    print("| engine | computes in | s a clip | times openvino-f32 | largest difference | other labels | |")
    print("|---|---|---|---|---|---|---|")
    for one in found:
        held = "holds" if one.parity.holds else "refused"
        exact = openvino.resolve_engine(one.engine).removeprefix("openvino-")
        figures = f"{one.parity.difference:.2g} | {one.parity.other_labels} of {one.parity.clips}"
        print(
            f"| {one.engine} | {exact} | {one.seconds:.2f} | {base / one.seconds:.2f} | {figures} | {held} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=Path("phantom"), help="folder of usable clips")
    parser.add_argument("--rounds", type=int, default=8, help="of one client, in which the three take turns")
    parser.add_argument("--requests", type=int, default=32, help="of 4 and of 16 clients")
    parser.add_argument(
        "--mlflow-requests", type=int, default=8, help="the same for MLflow's server, which is slow; 0: none"
    )
    parser.add_argument("--engines", action="store_true", help="compare the engines alone")
    options = parser.parse_args()
    facts = json.loads(Path("build/package.json").read_text())
    compare_engines(facts["name"], facts["version"], options.rounds)
    if options.engines:
        return
    made = CompiledClassifier(SERVED)
    found = clips(options.clips, 8)
    metadata = made.metadata

    def bare(number: int) -> tuple[float, float]:
        started = time.perf_counter()
        examined = rules.examine_clip(found[number % len(found)], [metadata.length], metadata.size, metadata.limits)
        answer = made.probabilities(examined.sample.frames[None])[0]
        return time.perf_counter() - started, float(answer.max())

    files = [one.read_bytes() for one in found]
    bodies = []
    for one in found[:4]:
        frames = rules.examine_clip(one, [metadata.length], metadata.size, metadata.limits).sample.frames
        bodies.append(json.dumps({"inputs": frames[None].tolist()}).encode())
    ports = free_port(), free_port()
    mlflow = [program("mlflow"), "models", "serve", "--env-manager", "local", "--host", "127.0.0.1"]
    mlflow += ["--port", str(ports[1]), "--model-uri", f"models:/{facts['name']}/{facts['version']}"]
    tracked = {"MLFLOW_TRACKING_URI": tracking_uri(), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with (
        running(service(ports[0]), ports[0], "/readyz") as ours,
        running(mlflow, ports[1], "/ping", tracked) as theirs,
        httpx.Client() as client,
    ):
        print(f"start to ready: the service {ours.seconds:.1f} s, MLflow's server {theirs.seconds:.1f} s")

        def served(number: int) -> tuple[float, float]:
            files_ = {"clip": ("clip", files[number % len(files)])}
            return asked(client, ours.address + "/classify", lambda: {"files": files_})

        def scored(number: int) -> tuple[float, float]:
            body = {"content": bodies[number % len(bodies)], "headers": {"content-type": "application/json"}}
            return asked(client, theirs.address + "/invocations", lambda: dict(body))

        ways = {"bare engine, decoding and checks": bare, "the service": served, "mlflow models serve": scored}
        answers = {name: [way(number)[1] for number in range(2)] for name, way in ways.items()}
        print("largest probability of two clips:", {name: np.round(one, 4).tolist() for name, one in answers.items()})
        alone: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(options.rounds):
            for name, way in ways.items():
                alone[name].append(way(number)[0])
        print("| answered by | clients | clips | p50 (s) | p95 (s) | clips/s |\n|---|---|---|---|---|---|")
        for name, spent in alone.items():
            row(name, 1, spent, sum(spent))
        for clients in (4, 16):
            row("the service", clients, *crowd(clients, options.requests, served))
            if options.mlflow_requests:
                row("mlflow models serve", clients, *crowd(clients, options.mlflow_requests, scored))
        ratios = [one / two for one, two in zip(alone["the service"], alone[next(iter(ways))], strict=True)]
        print(f"one clip: the service takes {statistics.median(ratios):.2f} times what the bare engine takes")
        print(f"memory: the service {ours.memory():.0f} MiB, MLflow's server {theirs.memory():.0f} MiB")


if __name__ == "__main__":
    main()
