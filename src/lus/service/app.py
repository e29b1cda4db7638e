"""The BentoML service: a clip in, an answer out."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from lus import quiet
from lus.classifier import Classifier
from lus.errors import BadInput, Unusable

SERVED = Path("build/served")
"""The classifier, from the folder in which BentoML starts the service: a Bento's `src`, or the project."""

TEMPORARY_PREFIX = len("tmp") + 8
"""BentoML stores an upload under `tmp`, eight random letters and the name that the sender gave it."""


READERS = 2
"""Processes that decode clips beside the classifier."""


class Answer(BaseModel):
    """What the classifier says of a clip."""

    label: str = Field(description="the most probable label")
    probabilities: dict[str, float] = Field(description="of each label")
    frames: list[int] = Field(description="numbers of the frames that were looked at")
    seconds: dict[str, float] = Field(
        description="spent on reading the clip, of which on decoding and on checks, and on classification"
    )
    model: dict[str, str] = Field(description="name and version in the registry, and the lineage id for `lus show`")


def problem(status: HTTPStatus, error: BadInput) -> JSONResponse:
    """A refusal as a JSON problem body (RFC 9457); `findings` has each check that a clip did not pass."""
    detail, findings = str(error), []
    if isinstance(error, Unusable):
        # The sender's own name for the file, not that of its copy here.
        detail = str(Unusable(error.name[TEMPORARY_PREFIX:] or "the clip", error.findings))
        findings = [asdict(finding) for finding in error.findings]
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return JSONResponse(body | {"findings": findings}, status_code=status.value, media_type="application/problem+json")


@bentoml.service(name="lus-classifier", traffic={"timeout": 300, "concurrency": 8}, workers=1, threads=READERS)
class LungUltrasound:
    """Classify lung-ultrasound clips. For research, not for diagnosis."""

    def __init__(self) -> None:
        quiet.import_tensorflow()
        self._classifier = Classifier.load(SERVED, readers=READERS)
        # The first call builds the graph: seconds that no sender of a clip should wait for.
        self._classifier.warm_up()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def _close(self) -> None:
        self._classifier.close()

    @bentoml.api  # type: ignore[untyped-decorator]
    def classify(self, clip: Path, ctx: bentoml.Context) -> Answer:
        """Classify one clip: any video file that FFmpeg decodes, as a multipart upload.

        A clip that cannot be decoded or breaks a limit gets a 422 with a JSON problem body: `detail` is a
        sentence, and each of `findings` has `check`, `found`, `expected`, `advice` and `meaning`. The headers
        `X-Model-Version` and `X-Model-Lineage` of an answer name the model too.
        """
        try:
            answer = self._classifier.classify(clip)
        except BadInput as error:
            # Where a method takes the context, BentoML answers with the context's status.
            ctx.response.status_code = HTTPStatus.UNPROCESSABLE_ENTITY
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, error)  # type: ignore[return-value]
        ctx.response.headers["X-Model-Version"] = answer.model["version"]
        ctx.response.headers["X-Model-Lineage"] = answer.model["lineage"]
        return Answer(**vars(answer))

    @bentoml.api  # type: ignore[untyped-decorator]
    def model(self) -> dict[str, Any]:
        """What the model is and where it comes from."""
        return self._classifier.card.to_json()
