"""What the service answers, as its users read it; the OpenAPI document is made from these."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from lus.inference import classifier, patient_answer
from lus.inference.compiled import MODEL_CARD
from lus.inference.explain import OVERLAY_TYPE, Attribution
from lus.inference.metadata import ModelMetadata
from lus.service.problems import FindingBody, Problem

LABELS = ["covid-19", "pneumonia", "healthy"]


class ModelRef(BaseModel):
    """The registered version that answers."""

    name: str = Field(examples=["lus-classifier"])
    version: str = Field(examples=["7"])
    lineage: str = Field(description="`lus show` traces it back to data and code", examples=["6a3f09c1d2e4"])


class Answer(BaseModel):
    """What the classifier says of a clip."""

    label: str = Field(description="the most probable label", examples=[LABELS[0]])
    probabilities: dict[str, float] = Field(
        description="of each label, calibrated", examples=[dict(zip(LABELS, (0.81, 0.13, 0.06), strict=True))]
    )
    frames: list[int] = Field(description="numbers of the frames that were looked at", examples=[[0, 2, 4]])
    seconds: dict[str, float] = Field(
        description="`read` in all, of which `decode` and `check`; and `classify` or `explain`",
        examples=[{"read": 0.21, "decode": 0.15, "check": 0.02, "classify": 0.61}],
    )
    model: ModelRef
    findings: list[FindingBody] = Field(description="what the checks report of the clip")


class Overlay(BaseModel):
    """The frames that were looked at, with the heat over them."""

    media_type: str = OVERLAY_TYPE
    data: str = Field(description="a video, in base64")


class Explanation(Answer):
    """What the classifier says of a clip, and why."""

    explained: str = Field(description="the label that is explained", examples=[LABELS[0]])
    heat: list[list[list[float]]] = Field(
        description="frames x rows x columns, 0 to 1: where the CNN saw what speaks for the label (Grad-CAM)"
    )
    importance: list[float] = Field(
        description="of each frame: by how much the label's probability falls when that frame is hidden"
    )
    course: list[dict[str, float]] = Field(description="the probabilities if the clip ended at each frame")
    overlay: Overlay


class PatientAnswer(BaseModel):
    """What the classifier says of a patient, from several clips."""

    label: str = Field(description="the most probable label", examples=[LABELS[0]])
    probabilities: dict[str, float] = Field(description="of each label, combined over the clips by the rule")
    clips: int = Field(description="that got an answer, and are combined", examples=[6])
    rule: str = Field(description="by which the clips' probabilities are combined", examples=["mean"])


class BatchItem(BaseModel):
    """One clip of a batch: an answer, or why there is none."""

    answer: Answer | None = None
    problem: Problem | None = None


class Batch(BaseModel):
    """The clips of a batch, in their order, and what they say together of a patient."""

    clips: list[BatchItem]
    patient: PatientAnswer | None = Field(
        default=None, description="with `patient=true`; null where none of the clips got an answer"
    )


class ModelFacts(ModelRef):
    """What the model is and where it comes from."""

    labels: list[str]
    length: int = Field(description="frames that are looked at")
    size: int = Field(description="pixels a side at which they are")
    feature_set: str = Field(description="CNN and length", examples=["xception-20"])
    engine: str = Field(description="and what it computes in on this machine", examples=["openvino-int8-bf16"])
    limits: dict[str, Any] = Field(description="of a usable clip, as they were when the model was made")
    made_from: dict[str, str] = Field(description="git commit, hashes of the data and the parameters, and the like")
    card: str = Field(description="the model card, in Markdown")


def make_answer(answer: classifier.Prediction) -> Answer:
    """An answer as the service gives it."""
    return Answer(**asdict(answer))


def make_batch(items: list[BatchItem], of_one_patient: bool) -> Batch:
    """A batch as the service answers it; where all clips are of one patient, with the answer to that patient."""
    given = [one.answer.probabilities for one in items if one.answer is not None]
    if not of_one_patient or not given:
        return Batch(clips=items)
    return Batch(clips=items, patient=PatientAnswer(**asdict(patient_answer.combine_answers(given))))


def make_explanation(
    answer: classifier.Prediction, found: Attribution, labels: tuple[str, ...], video: str
) -> Explanation:
    """An explained answer as the service gives it."""
    return Explanation(
        **asdict(answer),
        explained=labels[found.label],
        heat=found.heat.round(3).tolist(),
        importance=found.importance.round(5).tolist(),
        course=[dict(zip(labels, row, strict=True)) for row in found.course.round(5).tolist()],
        overlay=Overlay(data=video),
    )


def make_model_facts(metadata: ModelMetadata, engine: str, folder: Path) -> ModelFacts:
    """What `GET /model` says; the engine is that of `CompiledClassifier`, the folder has the model card."""
    file = folder / MODEL_CARD
    return ModelFacts(
        name=metadata.name,
        version=metadata.version,
        lineage=metadata.lineage.get("id", ""),
        labels=list(metadata.labels),
        length=metadata.length,
        size=metadata.size,
        feature_set=metadata.feature_set,
        engine=engine,
        limits=metadata.limits.model_dump(),
        made_from={key: value for key, value in metadata.lineage.items() if key != "machine"},
        card=file.read_text() if file.is_file() else "",
    )
