"""Refusals as JSON problem bodies (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from lus.common.errors import BadInput, Finding, Unusable

MEDIA_TYPE = "application/problem+json"
THE_CLIP = "the clip"
"""A file's name may be a patient's, so that answers do not repeat it."""
_KEPT = ("allow", "retry-after", "www-authenticate")
"""Headers of an error that stay."""
_DETAILS = {
    400: "the request cannot be understood; send the clip as a multipart upload in the field `clip`",
    404: "there is nothing at this address; /openapi.json lists what there is",
    405: "this address does not take that method; /openapi.json lists what it takes",
    504: "the answer took too long; send a shorter clip, or come again later",
}
"""What is said of an error that came without a sentence. Of an error of the service's own, its log says more."""
_FAULT = "the service could not answer; its log says why"


class FindingBody(BaseModel):
    """A check that a clip does not pass, or that reports something of it."""

    check: str = Field(description="its name", examples=["frames"])
    found: str = Field(examples=["12"])
    expected: str = Field(examples=["at least 20"])
    advice: str = Field(description="what to do", examples=["record a longer clip"])
    meaning: str = Field("", description="of the number that was found", examples=["the number of frames"])


class Problem(BaseModel):
    """Why there is no answer."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(
        description="a sentence: what was found, what is expected, what to do",
        examples=["the clip: the number of frames is 12, at least 20 is expected; record a longer clip"],
    )
    findings: list[FindingBody] = Field([], description="each check that a clip does not pass")


def make_clip_problem(error: BadInput) -> Problem:
    """The problem that a refused clip is."""
    if not isinstance(error, Unusable):
        return _make_problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
    return _make_problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(Unusable(THE_CLIP, error.findings)), error.findings)


def _make_problem(status: HTTPStatus, detail: str, findings: Sequence[Finding] = ()) -> Problem:
    bodies = [FindingBody(**asdict(one)) for one in findings]
    return Problem(title=status.phrase, status=status.value, detail=detail, findings=bodies)


def to_response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem as an HTTP response."""
    return JSONResponse(problem.model_dump(), problem.status, dict(headers or {}), MEDIA_TYPE)


def problem_response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem that is not a clip's."""
    return to_response(_make_problem(HTTPStatus(status), detail), headers)


def explain_error(status: int, headers: Headers) -> JSONResponse:
    """The problem that an error is which came without a sentence, as those of BentoML and Starlette do.

    Args:
        status: of the error.
        headers: of the error; those that a client acts on are kept.
    """
    detail = _DETAILS.get(status) or (_FAULT if status >= 500 else HTTPStatus(status).description)
    return problem_response(status, detail, {name: value for name, value in headers.items() if name in _KEPT})


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in {
        400: "a request that cannot be understood",
        401: "no API key, or one that is not known",
        408: "the clip did not arrive in time",
        413: "the upload is too large",
        415: "no multipart upload",
        422: "the clip cannot be decoded, breaks a limit, or is missing",
        500: "a fault of the service; its log says more",
        503: "too many clips at once; `Retry-After` says when to come again",
        504: "the answer took too long",
    }.items()
}
"""For the OpenAPI document."""
