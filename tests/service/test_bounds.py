"""The running service when it is asked for too much, by the wrong people, or holds a model that answers otherwise."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from lus.inference.compiled import ANSWER_FILE
from lus.service import api_keys
from tests.conftest import ROOT
from tests.service.conftest import Service, serving

pytestmark = pytest.mark.slow


def _processes(service: Service) -> list[psutil.Process]:
    whole = psutil.Process(service.pid)
    return [whole, *whole.children(recursive=True)]


def test_importing_the_service_needs_nothing_that_trains() -> None:
    code = "import sys, lus.service.app; print(*sorted(name for name in sys.modules if '.' not in name))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    absent = {"tensorflow", "keras", "mlflow", "pandas", "sklearn", "optuna", "matplotlib", "dvc", "great_expectations"}
    assert "fastapi" in found.stdout.split()
    assert not absent & set(found.stdout.split())


def test_keys_open_the_service_and_the_page_needs_none(served: Path, clip: Path, tmp_path: Path) -> None:
    key, digest = api_keys.new_key()
    with serving(served, tmp_path, {"LUS_API_KEYS": f"clinic:{digest}", "LUS_MAX_UPLOAD_MB": "1"}) as service:
        refused = service.post("/classify", clip)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert service.post("/classify", clip, headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert httpx.get(service.address + "/model").status_code == 401
        for path in ("/", "/readyz", "/metrics", "/openapi.json"):
            assert httpx.get(service.address + path).status_code == 200, path
        large = clip.with_name("large.avi")
        large.write_bytes(bytes(2 << 20))
        assert service.post("/classify", large, headers={"X-API-Key": key}).status_code == 413
        assert key not in service.log.read_text()


def test_a_model_that_answers_otherwise_on_this_machine_is_not_served(served: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(served / "build", project / "build")
    answers = project / "build/served" / ANSWER_FILE
    np.save(answers, np.load(answers)[:, ::-1])
    with serving(project, tmp_path / "home", ready=False) as service:
        deadline = time.monotonic() + 60
        while "1 of 1 clips labelled otherwise" not in service.log.read_text():
            assert time.monotonic() < deadline, service.log.read_text()
            time.sleep(0.2)
        # BentoML begins the process anew; it is never ready.
        with pytest.raises(httpx.TransportError):
            httpx.get(service.address + "/readyz", timeout=2)


def test_good_and_bad_clips_of_many_clients_leave_no_error_no_file_and_no_memory_behind(
    served: Path, clip: Path, short: Path, tmp_path: Path
) -> None:
    bodies = [clip.read_bytes(), short.read_bytes(), b"", clip.read_bytes()[:3000]]

    def ask(service: Service, seed: int, count: int) -> Counter[int]:
        rng, found = np.random.default_rng(seed), Counter[int]()
        with httpx.Client(timeout=60) as client:
            for _ in range(count):
                body = bodies[rng.integers(len(bodies))]
                path = service.address + ("/explain" if rng.random() < 0.2 else "/classify")
                while (status := client.post(path, files={"clip": ("clip", body)}).status_code) == 503:
                    # Sent away: it comes again, as it was asked to, if sooner.
                    found[status] += 1
                    time.sleep(0.1)
                found[status] += 1
        return found

    def memory(service: Service) -> float:
        return sum(one.memory_info().rss for one in _processes(service)) / 2**20

    with serving(served, tmp_path, {"LUS_MAX_REQUESTS": "4"}) as service, ThreadPoolExecutor(8) as pool:
        # Threads and buffers come with the first clips: what is compared is one such crowd after another.
        for _ in pool.map(lambda seed: ask(service, seed, 25), range(8)):
            pass
        before = memory(service)
        statuses = sum(pool.map(lambda seed: ask(service, seed, 25), range(8)), Counter[int]())
        assert set(statuses) == {200, 422, 503}
        assert statuses[200] > 10
        assert memory(service) - before < 60
        assert [one for one in service.scratch.rglob("*") if one.is_file()] == []
        assert service.post("/classify", clip).status_code == 200


def test_addresses_that_there_are_not_leave_neither_counts_nor_names_nor_lines_of_their_own(service: Service) -> None:
    def metrics() -> str:
        return httpx.get(service.address + "/metrics").text

    httpx.get(service.address + "/model")
    httpx.get(service.address + "/nothing")
    with httpx.Client() as client:
        before = len(metrics().splitlines())
        for number in range(50):
            assert client.get(f"{service.address}/Jane-Roe-{number}").status_code == 404
            assert client.get(f"{service.address}/page/Jane-Roe-{number}").status_code == 404
        forged = "/%0A2026-11-24 [INFO] a line of Jane-Roe's"
        assert client.get(service.address + forged, headers={"content-type": "Jane-Roe"}).status_code == 404
        for start in ("/livez", "/metrics"):
            assert client.get(f"{service.address}{start}-Jane-Roe").status_code == 404
    assert len(metrics().splitlines()) - before < 60
    log = service.log.read_text()
    assert "Roe" not in metrics() + log
    assert 'endpoint="/model"' in metrics()
    assert "path=/model" in log
    assert "path=other" in log


def test_a_decoder_that_is_killed_costs_no_more_than_its_clip(service: Service, clip: Path) -> None:
    def readers() -> list[psutil.Process]:
        # Spawned by Python's multiprocessing: they say so on their command line.
        return [one for one in _processes(service) if "spawn_main" in " ".join(one.cmdline())]

    assert service.post("/classify", clip).status_code == 200
    killed = readers()
    assert killed
    for one in killed:
        os.kill(one.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert service.post("/classify", clip).status_code == 200
    assert not {one.pid for one in killed} & {one.pid for one in readers()}
