"""What stands before the service: a request is refused before its body is read or a clip is decoded."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import Response

from lus.service import api_keys, problems, prometheus, settings
from lus.service.asgi import App, Message, Receive, Send
from lus.service.path_masking import unmask_path
from lus.service.settings import Settings
from lus.service.upload_limits import UploadLimiter, refuse_too_large

RETRY_SECONDS = 2


class RequestGuard:
    """ASGI middleware: refuses early, before a body is read or a clip is decoded."""

    def __init__(self, app: App, bounds: Settings | None = None) -> None:
        self._app, self._bounds = app, bounds or settings.read_settings()
        self._under_way = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        scope = unmask_path(scope)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            prometheus.count_refusal(str(refusal.status_code))
            await refusal(scope, receive, send)
            return
        counted = scope["method"] == "POST"
        self._under_way += counted
        try:
            await UploadLimiter(self._bounds, receive, send).run(self._app, scope)
        finally:
            self._under_way -= counted

    def _refusal(self, scope: Message) -> Response | None:
        headers = Headers(scope=scope)
        if (
            self._bounds.keys
            and not api_keys.is_public(scope["path"])
            and not api_keys.is_allowed(self._bounds.keys, headers)
        ):
            return problems.problem_response(
                401,
                "no API key, or one that is not known; send yours as `Authorization: Bearer KEY`",
                {"WWW-Authenticate": "Bearer"},
            )
        if scope["method"] != "POST":
            return None
        if headers.get("content-type", "").split(";")[0].strip().lower() != "multipart/form-data":
            return problems.problem_response(415, "no multipart upload; send the clip as multipart/form-data")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._bounds.upload:
            return refuse_too_large(self._bounds)
        if self._under_way >= self._bounds.requests:
            return problems.problem_response(
                503,
                f"clips under way: {self._under_way}, as many as there may be; come again in {RETRY_SECONDS} s",
                {"Retry-After": str(RETRY_SECONDS)},
            )
        return None
