"""Limits of an upload: its bytes and its time, held while it arrives."""

from __future__ import annotations

import asyncio
import time

from starlette.responses import Response

from lus.service import problems, prometheus, settings
from lus.service.asgi import App, Message, Receive, Send
from lus.service.settings import Settings


def refuse_too_large(bounds: Settings) -> Response:
    """The refusal of an upload that is too large."""
    return problems.problem_response(
        413,
        f"the upload is larger than {bounds.upload >> 20} MiB; cut the clip, or ask for {settings.UPLOAD} to be raised",
    )


class UploadLimiter:
    """One request, whose upload may have so many bytes and take so long, and its response."""

    def __init__(self, bounds: Settings, receive: Receive, send: Send) -> None:
        self._bounds, self._receive, self._send = bounds, receive, send
        self._ends = time.monotonic() + bounds.upload_seconds
        self._taken = 0
        self._arrived = self._started = False
        self._instead: Response | None = None

    async def run(self, app: App, scope: Message) -> None:
        """Let the application answer, unless the upload is to be refused."""
        try:
            await app(scope, self._receive_limited, self._send_once)
        except Exception:
            if self._instead is None:
                raise
        if self._instead is not None and not self._started:
            prometheus.count_refusal(str(self._instead.status_code))
            await self._instead(scope, self._receive, self._send)

    async def _receive_limited(self) -> Message:
        if self._arrived:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._ends - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            seconds = self._bounds.upload_seconds
            self._instead = problems.problem_response(408, f"the upload took more than {seconds:g} s; send it again")
            return {"type": "http.disconnect"}
        self._taken += len(message.get("body", b""))
        self._arrived = not message.get("more_body", False)
        if self._taken > self._bounds.upload:
            self._instead = refuse_too_large(self._bounds)
            return {"type": "http.disconnect"}
        return message

    async def _send_once(self, message: Message) -> None:
        if self._instead is None:
            self._started = True
            await self._send(message)
