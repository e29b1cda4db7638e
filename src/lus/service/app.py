"""The BentoML service: a clip in, an answer with its reasons out."""

from __future__ import annotations

import base64
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import bentoml
from fastapi import FastAPI, File, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import FileResponse

from lus.common.errors import BadInput, Unusable
from lus.inference import classifier, explain
from lus.inference.classifier import Classifier
from lus.inference.compiled import CompiledClassifier
from lus.service import problems, prometheus, schemas
from lus.service.api_keys import PUBLIC_PATHS
from lus.service.path_masking import mask_paths
from lus.service.request_guard import RequestGuard
from lus.service.schemas import Answer, Batch, BatchItem, Explanation, ModelFacts
from lus.service.settings import Settings

SERVED = Path("build/served")
"""The classifier, from the folder in which BentoML starts the service: a Bento's `src`, or the project."""
PAGE = Path(__file__).parent / "page"
READERS = 2
"""Processes that decode clips beside the classifier."""

# Mounted, and not BentoML's own `api`: that takes the address of a clip in its place, and would fetch it, keeps uploads
# under the sender's names, and writes what it cannot read into its log.
web = FastAPI(
    title="lus-classifier",
    version="1",
    description="Classifies lung-ultrasound clips. For research, not for diagnosis.",
    docs_url=None,
    redoc_url=None,
)
Clip = Annotated[UploadFile, File(description="a video file, or an ultrasound DICOM file")]


@web.exception_handler(RequestValidationError)
def _handle_invalid_request(_: Request, error: RequestValidationError) -> Response:
    names = ", ".join(dict.fromkeys(str(fault["loc"][-1]) for fault in error.errors()))
    return problems.problem_response(
        422, f"{names}: missing or of the wrong kind; /openapi.json says what is expected", web.state.model
    )


@web.exception_handler(BadInput)
def _handle_bad_input(_: Request, error: BadInput) -> Response:
    if isinstance(error, Unusable):
        prometheus.count_unusable(error.findings)
    return problems.to_response(problems.make_clip_problem(error), web.state.model)


@contextmanager
def _store_upload(upload: UploadFile) -> Iterator[Path]:
    """An upload as a file, under a name that says nothing, while it is looked at."""
    with tempfile.TemporaryDirectory(prefix="lus-") as folder:
        path = Path(folder) / "clip"
        with path.open("wb") as file:
            shutil.copyfileobj(upload.file, file)
        yield path


UV = "uv==0.13.9"
"""What installs the lock in a container image whose base does not have it; as in `requirements/uv.txt`."""
IMAGE = bentoml.images.Image(base_image="python:3.11-slim", distro="slim").run(
    f"sh -c 'command -v uv || pip install --no-cache-dir {UV}'"
)
"""For a distribution that it knows BentoML installs compilers first: 500 MB that wheels have no need of."""


@bentoml.service(
    name="lus-classifier",
    image=IMAGE,
    traffic={"timeout": 300},
    workers=1,
    # The type is what the sender says, any text at all.
    logging={"access": {"request_content_type": False}},
)
@bentoml.asgi_app(web, path="/")
class LungUltrasound:
    """Classifies lung-ultrasound clips. For research, not for diagnosis."""

    def __init__(self) -> None:
        # Answers to stored clips are the warm-up: where they are not the registered model's, nothing is served.
        self._compiled = CompiledClassifier.load_checked(SERVED)
        self._classifier = Classifier(self._compiled.probabilities, self._compiled.metadata, READERS)
        self._classifier.warm_up()
        metadata = self._compiled.metadata
        # For refusals too, which are made outside of the methods.
        web.state.model = {"X-Model-Version": metadata.version, "X-Model-Lineage": metadata.lineage.get("id", "")}

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def _close(self) -> None:
        self._classifier.close()

    @web.post("/classify", responses=problems.RESPONSES, tags=["clips"])
    def classify(self, clip: Clip, response: Response) -> Answer:
        """Classify one clip.

        A clip that cannot be decoded or breaks a limit gets a 422 with a problem body: `detail` is a sentence, and each
        of `findings` has what was found, what is expected and what to do.
        """
        response.headers.update(web.state.model)
        return self._classify_upload(clip)

    @web.post("/classify/batch", responses=problems.RESPONSES, tags=["clips"])
    def classify_batch(
        self,
        clips: Annotated[list[UploadFile], File()],
        response: Response,
        patient: Annotated[bool, Query(description="all clips are of one patient, who is answered too")] = False,
    ) -> Batch:
        """Classify several clips of one upload: an answer or a problem for each, in their order.

        With `patient=true` the answer to the patient stands beside them: the mean of the probabilities of the clips
        that were answered.
        """
        if len(clips) > Settings.batch:
            raise BadInput(f"{len(clips)} clips were sent, {Settings.batch} at most are expected; send several batches")
        response.headers.update(web.state.model)
        items = [self._make_item(one) for one in clips]
        return schemas.make_batch(items, patient)

    @web.post("/explain", responses=problems.RESPONSES, tags=["clips"])
    def explain(
        self,
        clip: Clip,
        response: Response,
        label: Annotated[str | None, Query(description="to explain; by default the most probable one")] = None,
    ) -> Explanation:
        """Classify one clip and say why: where the CNN looked, which frames mattered, how the answer came about."""
        labels = self._classifier.metadata.labels
        if label is not None and label not in labels:
            raise BadInput(f"label: not one of this model's, {', '.join(labels)} are; name one of them")
        with _store_upload(clip) as path:
            examined = self._classifier.read(path)
        frames, started = examined.sample.frames, time.perf_counter()
        found = explain.explain(self._compiled, frames, labels.index(label) if label else None)
        info = examined.sample.info
        video = explain.encode_overlay(frames, found.heat, info.width, info.height)
        spent = {"explain": time.perf_counter() - started}
        answer = classifier.make_prediction(self._classifier.metadata, examined, found.probabilities, spent)
        prometheus.count_answer(answer.label, answer.seconds)
        response.headers.update(web.state.model)
        return schemas.make_explanation(answer, found, labels, base64.b64encode(video).decode())

    @web.get("/model", responses={401: problems.RESPONSES[401]}, tags=["model"])
    def model(self) -> ModelFacts:
        """What the model is, where it comes from, and its model card."""
        return schemas.make_model_facts(self._classifier.metadata, self._compiled.engine, SERVED)

    def _classify_upload(self, clip: UploadFile) -> Answer:
        with _store_upload(clip) as path:
            answer = self._classifier.classify(path)
        prometheus.count_answer(answer.label, answer.seconds)
        return schemas.make_answer(answer)

    def _make_item(self, clip: UploadFile) -> BatchItem:
        try:
            return BatchItem(answer=self._classify_upload(clip))
        except Unusable as error:
            prometheus.count_unusable(error.findings)
            return BatchItem(problem=problems.make_clip_problem(error))


@web.get("/", include_in_schema=False)
def page() -> FileResponse:
    """The page for people."""
    return FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": CONTENT_POLICY})


CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@web.get("/docs", include_in_schema=False)
def docs() -> Response:
    """The OpenAPI document as a page, with the files that BentoML brings along."""
    static = "/static_content/swagger-ui"
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="lus-classifier",
        swagger_js_url=f"{static}-bundle.js",
        swagger_css_url=f"{static}.css",
        swagger_favicon_url="data:,",
    )


web.mount("/page", StaticFiles(directory=PAGE), name="page")
LungUltrasound.add_asgi_middleware(RequestGuard)  # type: ignore[attr-defined]
mask_paths(LungUltrasound, lambda: {*PUBLIC_PATHS, *web.openapi()["paths"]})
