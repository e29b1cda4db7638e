"""What stands before the service, around an application of a few lines."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lus.common.errors import BadInput
from lus.service import api_keys, settings
from lus.service.path_masking import PathMaskingMiddleware, mask_paths
from lus.service.request_guard import RequestGuard
from lus.service.settings import Settings

FORM = {"content-type": "multipart/form-data; boundary=x"}


async def _take(request: Request) -> Response:
    taken = b"".join([part async for part in request.stream()])
    return JSONResponse({"taken": len(taken)})


async def _wait(_: Request) -> Response:
    await asyncio.sleep(0.3)
    return PlainTextResponse("done")


async def _fail(_: Request) -> Response:
    return PlainTextResponse("Jane Doe's file is broken", 500)


def _app() -> Starlette:
    return Starlette(
        routes=[
            Route("/take", _take, methods=["POST"]),
            Route("/wait", _wait, methods=["POST", "GET"]),
            Route("/fail", _fail),
            Route("/livez", _wait),
        ]
    )


def _client(**bounds: object) -> httpx.AsyncClient:
    guarded = PathMaskingMiddleware(RequestGuard(_app(), Settings(**bounds)), set())  # type: ignore[arg-type]
    transport = httpx.ASGITransport(guarded)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://service")


def _ask(work: Callable[[httpx.AsyncClient], object], **bounds: object) -> object:
    async def run() -> object:
        async with _client(**bounds) as client:
            return await work(client)  # type: ignore[misc]

    return asyncio.run(run())


async def _pieces(count: int, pause: float = 0.0) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(pause)
        yield b"a" * 100


def _post(**more: object) -> Callable[[httpx.AsyncClient], object]:
    return lambda client: client.post("/take", headers=FORM, **more)  # type: ignore[arg-type]


def test_an_upload_within_the_bound_passes() -> None:
    response = _ask(_post(content=b"a" * 500), upload=500)
    assert isinstance(response, httpx.Response)
    assert response.json() == {"taken": 500}


@pytest.mark.parametrize("content", [b"a" * 501, lambda: _pieces(6)], ids=["declared", "undeclared"])
def test_an_upload_that_is_too_large_is_refused_whether_or_not_it_says_so(content: object) -> None:
    response = _ask(_post(content=content() if callable(content) else content), upload=500)
    assert isinstance(response, httpx.Response)
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert "the upload is larger than 0 MiB" in response.json()["detail"]


def test_an_upload_that_takes_too_long_is_ended() -> None:
    response = _ask(_post(content=_pieces(20, pause=0.1)), upload_seconds=0.3)
    assert isinstance(response, httpx.Response)
    assert response.status_code == 408
    assert "took more than 0.3 s" in response.json()["detail"]


def test_more_clips_at_once_than_there_may_be_are_asked_to_come_again() -> None:
    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        posts = [client.post("/wait", headers=FORM) for _ in range(3)]
        looks = [client.get("/wait"), client.get("/livez")]
        first = await asyncio.gather(*posts, *looks)
        return [*first, await client.post("/wait", headers=FORM)]

    found = _ask(work, requests=2)
    assert isinstance(found, list)
    # Looking at the service's health is always possible, and room becomes free again.
    assert [one.status_code for one in found] == [200, 200, 503, 200, 200, 200]
    assert found[2].headers["retry-after"] == "2"
    assert "clips under way: 2" in found[2].json()["detail"]


def test_what_is_no_multipart_upload_is_refused_before_it_is_read() -> None:
    async def work(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/take", headers={"content-type": "application/vnd.bentoml+pickle"}, content=b"a")

    response = _ask(work)
    assert isinstance(response, httpx.Response)
    assert response.status_code == 415


def test_an_error_of_the_service_tells_nothing_of_the_clip() -> None:
    response = _ask(lambda client: client.get("/fail"))
    assert isinstance(response, httpx.Response)
    assert response.status_code == 500
    assert response.json()["detail"] == "the service could not answer; its log says why"


def test_an_answer_that_takes_too_long_is_a_problem_though_bentoml_ends_it() -> None:
    async def run() -> httpx.Response:
        app = PathMaskingMiddleware(TimeoutMiddleware(RequestGuard(_app(), Settings()), 0.1), {"/wait"})  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:  # type: ignore[arg-type]
            return await client.get("/wait")

    response = asyncio.run(run())
    assert (response.status_code, response.headers["content-type"]) == (504, "application/problem+json")
    assert "the answer took too long" in response.json()["detail"]


def test_with_keys_set_only_their_holders_are_answered() -> None:
    (first, one), (second, two) = api_keys.new_key(), api_keys.new_key()

    async def work(client: httpx.AsyncClient) -> list[int]:
        headers = [
            {},
            {"authorization": f"Bearer {first}"},
            {"authorization": f"bearer {second}"},
            {"x-api-key": first},
            {"authorization": f"Bearer {one}"},
            {"authorization": f"Basic {first}"},
            {"x-api-key": "ключ".encode()},
        ]
        posts = [await client.post("/take", headers=FORM | given) for given in headers]  # type: ignore[arg-type]
        assert posts[0].headers["www-authenticate"] == "Bearer"
        return [one.status_code for one in [*posts, await client.get("/livez"), await client.get("/wait")]]

    found = _ask(work, keys=frozenset({one, two}))
    assert found == [401, 200, 200, 200, 401, 401, 401, 200, 401]


def test_the_first_counts_may_come_from_several_threads_at_once() -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor as Pool\n"
        "from lus.service import prometheus\n"
        "with Pool(8) as pool:\n"
        "    list(pool.map(lambda _: prometheus.count_refusal('404'), range(8)))\n"
        "from prometheus_client import REGISTRY\n"
        "print(REGISTRY.get_sample_value('lus_turned_away_total', {'status': '404'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "8.0\n", done.stderr


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    assert settings.read_settings({}) == Settings()
    key, first = api_keys.new_key()
    assert api_keys.hash_key(key) == first
    file = tmp_path / "keys"
    file.write_text(f"# who may ask\nclinic: {first}\n\n")
    environment = {"LUS_MAX_UPLOAD_MB": "1", "LUS_MAX_REQUESTS": "3", "LUS_API_KEYS_FILE": str(file)}
    assert settings.read_settings(environment) == Settings(upload=1 << 20, requests=3, keys=frozenset({first}))
    other = api_keys.new_key()[1]
    assert settings.read_settings(environment | {"LUS_API_KEYS": f"a:{other}"}).keys == {first, other}


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"LUS_MAX_REQUESTS": "0"}, "LUS_MAX_REQUESTS is '0', a whole number of at least 1"),
        ({"LUS_MAX_UPLOAD_MB": "many"}, "LUS_MAX_UPLOAD_MB is 'many'"),
        ({"LUS_API_KEYS": "a-plain-key"}, "LUS_API_KEYS: an entry is no SHA-256"),
        ({"LUS_API_KEYS": ","}, "no key's hash found"),
        ({"LUS_API_KEYS": ""}, "LUS_API_KEYS: no key's hash found"),
        ({"LUS_API_KEYS_FILE": "/nowhere/keys"}, "cannot be read"),
        ({"LUS_API_KEYS_FILE": "/dev/null"}, "LUS_API_KEYS_FILE: no key's hash found"),
    ],
)
def test_settings_that_are_none_are_said_and_never_shown(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence) as refused:
        settings.read_settings(environment)
    assert "a-plain-key" not in str(refused.value)
    assert "/nowhere" not in str(refused.value)


def test_a_bentoml_that_makes_its_application_otherwise_is_not_served_with_bare_paths() -> None:
    class Service:
        """As BentoML's might be one day."""

    with pytest.raises(RuntimeError, match="has no `to_asgi`"):
        mask_paths(Service(), set)


def test_the_application_that_bentoml_makes_of_the_service_has_its_paths_masked() -> None:
    from lus.service.app import LungUltrasound

    assert isinstance(LungUltrasound.to_asgi(is_main=False), PathMaskingMiddleware)
