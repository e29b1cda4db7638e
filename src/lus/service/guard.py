"""What stands before the service: keys, sizes, numbers; and every error leaves it as a JSON problem body."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response

from lus.service import counters, problems, settings
from lus.service.settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN = ("/", "/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs")
FOLDERS = ("/page/", "/static_content/")
"""Paths, and folders of further ones, that need no key; the page asks for one itself."""
OTHER = "other"
"""What BentoML counts and logs in the place of a path that there is not."""
_ASKED = "lus.path"
"""Where the path that was asked for is while BentoML sees another."""
RETRY_SECONDS = 2
KEPT = ("allow", "retry-after", "www-authenticate")
"""Headers of an error that stay."""
DETAILS = {
    400: "the request cannot be understood; send the clip as a multipart upload in the field `clip`",
    404: "there is nothing at this address; /openapi.json lists what there is",
    405: "this address does not take that method; /openapi.json lists what it takes",
    504: "the answer took too long; send a shorter clip, or come again later",
}
"""What is said of an error that came without a sentence. Of an error of the service's own, its log says more."""
FAULT = "the service could not answer; its log says why"


class Veil:
    """ASGI middleware around BentoML's own, which count and log each path that is sent, for as long as there is memory.

    A path may also be the name of a clip, or hold a line for the log. The guard, within, gives it back.
    """

    def __init__(self, app: App, known: Collection[str]) -> None:
        self._app, self._known = app, frozenset(known)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Have a request answered as one for a path that there is, and errors said as problems."""
        if "path" in scope:
            scope = {**scope, "path": self._shown(scope["path"]), _ASKED: scope["path"]}
        await self._app(scope, receive, _Response(send).give)

    def _shown(self, path: str) -> str:
        return path if path in self._known else next((one for one in FOLDERS if path.startswith(one)), OTHER)


class _Response:
    """A response on its way out; an error that comes without a problem body, as BentoML's own do, gets one."""

    def __init__(self, send: Send) -> None:
        self._send, self._replaced = send, False

    async def give(self, message: Message) -> None:
        """Pass on a part of the response."""
        if self._replaced:
            return
        if message["type"] == "http.response.start" and message["status"] >= 400:
            headers = Headers(raw=message["headers"])
            if not headers.get("content-type", "").startswith(problems.MEDIA_TYPE):
                await self._say(message["status"], headers)
                return
        await self._send(message)

    async def _say(self, status: int, headers: Headers) -> None:
        self._replaced = True
        counters.refused(str(status))
        detail = DETAILS.get(status) or (FAULT if status >= 500 else HTTPStatus(status).description)
        kept = {name: value for name, value in headers.items() if name in KEPT}
        answer = problems.plain(status, detail, kept)
        await self._send({"type": "http.response.start", "status": status, "headers": answer.raw_headers})
        await self._send({"type": "http.response.body", "body": answer.body})


class Guard:
    """ASGI middleware: refuses early, before a body is read or a clip is decoded."""

    def __init__(self, app: App, bounds: Settings | None = None) -> None:
        self._app, self._bounds = app, bounds or settings.read()
        self._under_way = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if _ASKED in scope:
            scope = {**scope, "path": scope[_ASKED]}
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            counters.refused(str(refusal.status_code))
            await refusal(scope, receive, send)
            return
        counted = scope["method"] == "POST"
        self._under_way += counted
        try:
            await _Exchange(self._bounds, receive, send).run(self._app, scope)
        finally:
            self._under_way -= counted

    def _refusal(self, scope: Message) -> Response | None:
        headers = Headers(scope=scope)
        if self._bounds.keys and not _is_open(scope["path"]) and not self._known(headers):
            return problems.plain(
                401,
                "no API key, or one that is not known; send yours as `Authorization: Bearer KEY`",
                {"WWW-Authenticate": "Bearer"},
            )
        if scope["method"] != "POST":
            return None
        if headers.get("content-type", "").split(";")[0].strip().lower() != "multipart/form-data":
            return problems.plain(415, "no multipart upload; send the clip as multipart/form-data")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._bounds.upload:
            return too_large(self._bounds)
        if self._under_way >= self._bounds.requests:
            return problems.plain(
                503,
                f"clips under way: {self._under_way}, as many as there may be; come again in {RETRY_SECONDS} s",
                {"Retry-After": str(RETRY_SECONDS)},
            )
        return None

    def _known(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = settings.digest(key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", ""))
        # A hash of the key is compared, so that the time it takes says nothing of the key.
        return any(hmac.compare_digest(given, one) for one in self._bounds.keys)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(FOLDERS)


def too_large(bounds: Settings) -> Response:
    """The refusal of an upload that is too large."""
    return problems.plain(
        413,
        f"the upload is larger than {bounds.upload >> 20} MiB; cut the clip, or ask for {settings.UPLOAD} to be raised",
    )


class _Exchange:
    """One request and its response."""

    def __init__(self, bounds: Settings, receive: Receive, send: Send) -> None:
        self._bounds, self._receive, self._send = bounds, receive, send
        self._ends = time.monotonic() + bounds.upload_seconds
        self._taken = 0
        self._arrived = self._started = False
        self._instead: Response | None = None

    async def run(self, app: App, scope: Message) -> None:
        """Let the application answer, unless the upload is to be refused."""
        try:
            await app(scope, self._take, self._give)
        except Exception:
            if self._instead is None:
                raise
        if self._instead is not None and not self._started:
            counters.refused(str(self._instead.status_code))
            await self._instead(scope, self._receive, self._send)

    async def _take(self) -> Message:
        if self._arrived:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._ends - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            seconds = self._bounds.upload_seconds
            self._instead = problems.plain(408, f"the upload took more than {seconds:g} s; send it again")
            return {"type": "http.disconnect"}
        self._taken += len(message.get("body", b""))
        self._arrived = not message.get("more_body", False)
        if self._taken > self._bounds.upload:
            self._instead = too_large(self._bounds)
            return {"type": "http.disconnect"}
        return message

    async def _give(self, message: Message) -> None:
        if self._instead is None:
            self._started = True
            await self._send(message)
