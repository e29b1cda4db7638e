"""Clients that send good and bad clips for some minutes: what they are answered, and what is left of it afterwards.

    python benchmarks/load.py --clients 16 --seconds 120            after `make repro`

The exit status is 1 where an error of the service other than 503 came, memory grew, or a file was left behind.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from served import Server, clips, free_port, running, service

GROWTH = 64.0
"""MiB by which memory may differ between the first third of the run and its end."""


def bad(good: bytes) -> list[bytes]:
    """What is no usable clip: nothing, noise, half a clip, a picture, one that is too large to be sent."""
    noise = np.random.default_rng(1).bytes(50_000)
    return [b"", noise, good[: len(good) // 3], b"\x89PNG\r\n\x1a\n" + noise, bytes(33 << 20)]


def client(address: str, bodies: list[bytes], seed: int, until: float) -> tuple[Counter[str], list[float]]:
    """Send clips one after another until the time is over, in an order of its own."""
    rng, statuses, spent = np.random.default_rng(seed), Counter[str](), []
    with httpx.Client(timeout=300) as session:
        while time.monotonic() < until:
            body = bodies[rng.integers(len(bodies))]
            path = "/explain" if rng.random() < 0.1 else "/classify"
            started = time.perf_counter()
            try:
                response = session.post(address + path, files={"clip": ("clip", body)})
            except httpx.TransportError as error:
                # The service answers an upload that it will not read, and closes the connection.
                statuses[f"no answer ({type(error).__name__})" if len(body) < 32 << 20 else "413 or closed"] += 1
                continue
            statuses[str(response.status_code)] += 1
            if response.status_code == 200:
                spent.append(time.perf_counter() - started)
            if response.status_code == 503:
                time.sleep(float(response.headers["retry-after"]) * rng.uniform(0.5, 1.5))
    return statuses, spent


def watch(server: Server, until: float) -> list[float]:
    """Memory, once a second."""
    found = []
    while time.monotonic() < until:
        found.append(server.memory())
        time.sleep(1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=Path("phantom"), help="folder of usable clips")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args()
    good = [one.read_bytes() for one in clips(options.clips, 10)]
    bodies = good + bad(good[0])
    port = free_port()
    with running(service(port), port, "/readyz") as server:
        until = time.monotonic() + options.seconds
        with ThreadPoolExecutor(options.clients + 1) as pool:
            watching = pool.submit(watch, server, until)
            asking = [pool.submit(client, server.address, bodies, seed, until) for seed in range(options.clients)]
            answered = [one.result() for one in asking]
            memory = watching.result()
        left = sorted(one.name for one in server.scratch.rglob("*") if one.is_file())
        healthy = httpx.get(server.address + "/readyz").status_code == 200
    statuses = sum((one for one, _ in answered), Counter[str]())
    spent = [seconds for _, each in answered for seconds in each]
    third = len(memory) // 3
    early, late = float(np.median(memory[third : 2 * third] or [0])), float(np.median(memory[2 * third :] or [0]))
    print(f"{options.clients} clients, {options.seconds} s: {dict(sorted(statuses.items()))}")
    print(f"answers: p50 {np.percentile(spent, 50):.2f} s, p95 {np.percentile(spent, 95):.2f} s, {len(spent)} in all")
    print(f"memory: {early:.0f} MiB in the second third, {late:.0f} MiB in the last; at most {max(memory):.0f} MiB")
    print(f"files left: {left or 'none'}; ready afterwards: {healthy}")
    wrong = [one for one in statuses if (one.startswith("5") and one != "503") or one.startswith("no answer")]
    if wrong or left or not healthy or late - early > GROWTH:
        sys.exit(f"not as it should be: {', '.join(wrong) or 'see above'}")


if __name__ == "__main__":
    main()
