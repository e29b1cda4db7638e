"""Paths as logs and counts may have them, and errors as problem bodies: middleware outside of BentoML's own.

BentoML counts and logs each path that is sent, for as long as there is memory; a path may also be the name of a clip,
or hold a line for the log. It has a place for middleware within its own only. So the service's ASGI application is
wrapped where BentoML makes it (`mask_paths`): the one place in this project that rests on how BentoML is built. A test
fails where BentoML is built otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from starlette.datastructures import Headers

from lus.service import problems, prometheus
from lus.service.api_keys import PUBLIC_FOLDERS
from lus.service.asgi import App, Message, Receive, Send

OTHER = "other"
"""What BentoML counts and logs in the place of a path that there is not."""
_ASKED = "lus.path"
"""Where the path that was asked for is while BentoML sees another."""


class PathMaskingMiddleware:
    """ASGI middleware: the application sees known paths only; `unmask_path` gives back the one that was asked for.

    Args:
        app: with BentoML's middleware.
        known: the paths that there are.
    """

    def __init__(self, app: App, known: Collection[str]) -> None:
        self._app, self._known = app, frozenset(known)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Have a request answered as one for a path that there is, and errors said as problems."""
        if "path" in scope:
            scope = {**scope, "path": self._mask_path(scope["path"]), _ASKED: scope["path"]}
        await self._app(scope, receive, _ProblemSender(send).send)

    def _mask_path(self, path: str) -> str:
        return path if path in self._known else next((one for one in PUBLIC_FOLDERS if path.startswith(one)), OTHER)


def unmask_path(scope: Message) -> Message:
    """The scope of a request with the path that was asked for."""
    return {**scope, "path": scope[_ASKED]} if _ASKED in scope else scope


class _ProblemSender:
    """A response on its way out; an error that comes without a problem body, as BentoML's own do, gets one."""

    def __init__(self, send: Send) -> None:
        self._send, self._replaced = send, False

    async def send(self, message: Message) -> None:
        """Pass on a part of the response."""
        if self._replaced:
            return
        if message["type"] == "http.response.start" and message["status"] >= 400:
            headers = Headers(raw=message["headers"])
            if not headers.get("content-type", "").startswith(problems.MEDIA_TYPE):
                await self._send_problem(message["status"], headers)
                return
        await self._send(message)

    async def _send_problem(self, status: int, headers: Headers) -> None:
        self._replaced = True
        prometheus.count_refusal(str(status))
        answer = problems.explain_error(status, headers)
        await self._send({"type": "http.response.start", "status": status, "headers": answer.raw_headers})
        await self._send({"type": "http.response.body", "body": answer.body})


def mask_paths(service: Any, known: Callable[[], Collection[str]]) -> None:
    """Wrap the ASGI application that BentoML makes of a service.

    Args:
        service: what `bentoml.service` made.
        known: the paths that there are, asked for when the application is made.

    Raises:
        RuntimeError: BentoML makes its application in another way than this code knows.
    """
    kind = type(service)
    if not callable(getattr(kind, "to_asgi", None)):
        raise RuntimeError(
            f"{kind.__name__} of BentoML has no `to_asgi`, which lus.service.path_masking wraps; "
            "install the BentoML of requirements/serving.txt"
        )

    class MaskedService(kind):  # type: ignore[misc, valid-type]
        """BentoML's service, whose application is wrapped."""

        __slots__ = ()

        def to_asgi(self, is_main: bool = True) -> PathMaskingMiddleware:
            return PathMaskingMiddleware(super().to_asgi(is_main), known())

    service.__class__ = MaskedService
