"""The BentoML service: a clip in, an answer out."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from lus import quiet
from lus.classifier import Classifier
from lus.errors import BadInput

SERVED = Path("build/served")
"""The classifier, from the folder in which BentoML starts the service: a Bento's `src`, or the project."""

TEMPORARY_PREFIX = len("tmp") + 8
"""BentoML stores an upload under `tmp`, eight random letters and the name that the sender gave it."""


class Answer(BaseModel):
    """What the classifier says of a clip."""

    label: str = Field(description="the most probable label")
    probabilities: dict[str, float] = Field(description="of each label")
    frames: list[int] = Field(description="numbers of the frames that were looked at")
    seconds: dict[str, float] = Field(description="spent on decoding, checks and classification")
    model: dict[str, str] = Field(description="name and version in the registry")


def problem(status: HTTPStatus, detail: str) -> JSONResponse:
    """A refusal as a JSON problem body (RFC 9457)."""
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return JSONResponse(body, status_code=status.value, media_type="application/problem+json")


@bentoml.service(name="lus-classifier", traffic={"timeout": 120, "concurrency": 8}, workers=1)
class LungUltrasound:
    """Classify lung-ultrasound clips. For research, not for diagnosis."""

    def __init__(self) -> None:
        quiet.import_tensorflow()
        self._classifier = Classifier.load(SERVED)
        # The first call builds the graph: seconds that no sender of a clip should wait for.
        self._classifier.warm_up()

    @bentoml.api  # type: ignore[untyped-decorator]
    def classify(self, clip: Path) -> Answer:
        """Classify one clip: any video file that FFmpeg decodes, as a multipart upload.

        A clip that cannot be decoded or breaks a limit gets a 422 with a JSON problem body, whose `detail`
        says what was found and what was expected.
        """
        try:
            answer = self._classifier.classify(clip)
        except BadInput as error:
            detail = str(error).replace(clip.name, clip.name[TEMPORARY_PREFIX:])
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)  # type: ignore[return-value]
        return Answer(**vars(answer))

    @bentoml.api  # type: ignore[untyped-decorator]
    def model(self) -> dict[str, Any]:
        """What the model is and where it comes from."""
        return self._classifier.card.to_json()
