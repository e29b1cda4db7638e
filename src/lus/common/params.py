"""The parameters: the sections of `params.yaml` as frozen objects, with what each value may be.

One section a stage, named like the stage, and `limits` and `folds`, which several stages share.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(gt=0)]
Profile = Literal["a-lines", "a-lines-still", "b-lines", "b-lines-still", "consolidation"]


class Section(BaseModel):
    """A frozen section of `params.yaml`; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Simulate(Section):
    """The phantom cohort."""

    seed: Annotated[int, Field(ge=0)] = Field(description="of the simulated patients and clips")
    patients: Positive = Field(description="patients of each label")
    clips: Positive = Field(description="clips of each patient")
    frames: Annotated[int, Field(ge=24)] = Field(description="frames of a clip, on average over the patients")
    labels: dict[str, dict[Profile, Annotated[float, Field(ge=0.0)]]] = Field(
        description="for each label, the relative frequency of each sonographic profile among its patients"
    )

    @field_validator("labels")
    @classmethod
    def _two_labels_with_profiles(cls, labels: dict[str, dict[Profile, float]]) -> dict[str, dict[Profile, float]]:
        if len(labels) < 2:
            raise ValueError(f"{len(labels)} label found, two or more expected")
        for label, profiles in labels.items():
            if sum(profiles.values()) <= 0:
                raise ValueError(f"label {label!r} has no profile with a positive frequency")
        return labels


class Cohort(Section):
    """Which clips are taken."""

    folder: str = Field(description="the clips: `phantom`, `data` (the public clips) or a folder of one's own")
    leave_out_labels: tuple[str, ...] = Field(description="labels whose clips are listed as left out")
    leave_out_probes: tuple[str, ...] = Field(description="probes whose clips are listed as left out")
    labels: tuple[str, ...] = Field(description="the labels expected; none: whatever the clips say")
    min_patients: Positive = Field(description="patients of each label at least")
    max_unusable: Fraction = Field(description="share of the clips that may be unreadable or contradict each other")


class Limits(Section):
    """What a usable clip is; the same limits hold in the pipeline and in the service."""

    # A version keeps the limits that it was registered with: one that is added has a place in metadata.NEUTRAL_LIMITS.

    min_side: Positive = Field(description="pixels; smallest width or height of a clip")
    max_pixels: Positive = Field(description="pixels of one frame at most")
    max_frames: Positive = Field(description="decoded frames at most")
    max_clip_pixels: Positive = Field(description="pixels of all frames of a clip together at most")
    max_seconds: Annotated[float, Field(gt=0)] = Field(description="seconds that decoding a clip may take")
    max_fps: Annotated[float, Field(gt=0)] = Field(description="declared frames a second at most")
    min_brightness: Fraction = Field(description="mean grey level of the sampled frames, 0 to 1")
    max_brightness: Fraction = Field(description="mean grey level of the sampled frames, 0 to 1")
    min_contrast: Fraction = Field(description="standard deviation of the grey levels, 0 to 1")
    min_sharpness: Annotated[float, Field(ge=0)] = Field(
        description="standard deviation of the Laplacian at half size over that of the grey levels"
    )
    max_saturation: Fraction = Field(description="mean HSV saturation weighted by brightness, 0 to 1")
    max_colour: Fraction = Field(description="share of pixels whose colour is not that usual for their grey level")
    max_blank_share: Fraction = Field(description="share of sampled frames that show nothing")
    max_still_share: Fraction = Field(description="share of neighbouring sampled frames that are alike")
    min_coverage: Fraction = Field(description="share of the pixels that change in the course of the clip")
    min_extent: Fraction = Field(description="share of the picture that the box around those pixels takes")
    max_cuts: Annotated[int, Field(ge=0)] = Field(description="changes to another scene")
    max_flashes: Annotated[int, Field(ge=0)] = Field(description="foreign frames between alike ones")
    report_text: Fraction = Field(description="share of pixels in burnt-in letters above which it is reported")
    report_colour: Fraction = Field(description="share of vividly coloured pixels above which it is reported")

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.min_brightness >= self.max_brightness:
            raise ValueError("min_brightness must be below max_brightness")
        return self


class Frames(Section):
    """The frames sampled from each clip, and the checks they must pass."""

    lengths: tuple[Positive, ...] = Field(min_length=1, description="evenly spaced frames of a clip, one set each")
    side: Annotated[int, Field(ge=71, le=1024)] = Field(description="pixels a side at which frames are stored")
    max_quarantined: Fraction = Field(description="share of the cohort that may be quarantined")


def _known_weights(weights: str, words: tuple[str, ...]) -> str:
    """Refuse what is neither one of these words nor a file in weights/.

    Of that folder the pipeline keeps watch: a file changed elsewhere would go on serving old features.
    """
    parts = PurePosixPath(weights).parts
    if weights in words or (len(parts) > 1 and parts[0] == "weights" and ".." not in parts):
        return weights
    raise ValueError(f"{weights!r} found, {', '.join(f'`{word}`' for word in words)} or a file in weights/ expected")


class Pretrain(Section):
    """The training of a CNN on the cohort's own frames."""

    start: str = Field(description="weights to begin with: `imagenet`, `random`, or a file in the folder weights/")
    layers: Positive | None = Field(description="the CNN's last layers, which are trained; null: all")
    seed: Annotated[int, Field(ge=0)] = Field(description="of new layers, dropout and the order of the frames")
    epochs: Positive = Field(description="at most, of one training")
    patience: Positive = Field(description="epochs without a better validation loss before a training ends")
    batch: Positive = Field(description="frames of one gradient step")
    learning_rate: Annotated[float, Field(gt=0)] = Field(description="of the gradient steps")

    @field_validator("start")
    @classmethod
    def _start(cls, start: str) -> str:
        return _known_weights(start, ("imagenet", "random"))


class Features(Section):
    """The feature sets: one for each backbone and length."""

    backbones: tuple[str, ...] = Field(min_length=1, description="names of backbones")
    weights: str = Field(description="`imagenet`, `random`, `own`, or a file in the folder weights/")
    seen: Annotated[int, Field(ge=32, le=1024)] | None = Field(
        description="pixels a side at which the CNN sees a frame, at most `frames.side`; null: those its ImageNet "
        "weights were trained on"
    )
    seed: Annotated[int, Field(ge=0)] = Field(description="of the random weights")
    batch: Positive = Field(description="frames of one call of the backbone")
    engine: Literal["keras", "openvino", "openvino-int8", "openvino-f32"] = Field(description="that runs the backbone")

    @field_validator("weights")
    @classmethod
    def _weights(cls, weights: str) -> str:
        if weights == "lus":
            raise ValueError("'lus' found, which is now called `own`: weights trained on the cohort's own frames")
        return _known_weights(weights, ("imagenet", "random", "own"))


Protocol = Literal["nested-patient", "leave-source-out", "published", "published-fresh"]


class Folds(Section):
    """How the cohort is cut into what is trained on and what is tested."""

    protocol: Protocol = Field("nested-patient", description="the rule by which it is cut (`lus.splits.protocols`)")
    file: str = Field("folds/published.json", description="the folds of `published` and `published-fresh`, in folds/")
    seed: Annotated[int, Field(ge=0)] = Field(description="of the cut")
    outer: Annotated[int, Field(ge=2)] = Field(description="folds; each keeps its own test patients unseen")
    inner: Annotated[int, Field(ge=2)] = Field(
        description="folds into which the training patients of an outer fold, and all patients, are cut to choose by"
    )

    @field_validator("file")
    @classmethod
    def _watched(cls, file: str) -> str:
        # The pipeline keeps watch of that folder: folds changed elsewhere would go on serving old figures.
        parts = PurePosixPath(file).parts
        if len(parts) > 1 and parts[0] == "folds" and ".." not in parts:
            return file
        raise ValueError(f"{file!r} found, a file in folds/ expected")


class Search(Section):
    """The Optuna search for the head."""

    seed: Annotated[int, Field(ge=0)] = Field(description="of the search and of the heads' first weights")
    trials: Positive = Field(description="of each part of the cohort")
    seconds: Annotated[float, Field(gt=0)] | None = Field(
        description="after which no trial of a part is begun; null: no such limit"
    )
    workers: Positive = Field(description="processes that run trials; the processors are shared out among them")
    epochs: Positive = Field(description="at most, of one training")
    patience: Positive = Field(description="epochs without a better validation loss before a training ends")
    heads: tuple[Literal["lstm", "pool"], ...] = Field(
        min_length=1, description="choices: an LSTM, or pooling over the frames"
    )
    units: tuple[Positive, ...] = Field(min_length=1, description="choices: LSTM units")
    pooling: tuple[Literal["mean", "max", "attention"], ...] = Field(
        min_length=1, description="choices: how frames are pooled"
    )
    dense: tuple[Positive, ...] = Field(min_length=1, description="choices: units of a dense layer")
    max_dense_layers: Annotated[int, Field(ge=1, le=5)] = Field(
        description="dense layers at most; an LSTM has one at least"
    )
    dropout: tuple[Fraction, Fraction] = Field(description="range")
    learning_rate: tuple[float, float] = Field(description="range, searched on a logarithmic scale")
    batch: tuple[Positive, ...] = Field(min_length=1, description="choices: clips of one gradient step")
    optimiser: tuple[Literal["adam", "rmsprop", "sgd"], ...] = Field(min_length=1, description="choices")
    l2: tuple[float, float] = Field(
        description="range of a pooling head's penalty on squared weights, searched on a logarithmic scale"
    )
    inputs: tuple[Literal["frames", "changes", "both"], ...] = Field(
        min_length=1, description="choices: features of each frame, how much they differ from those before, or both"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Search:
        logarithmic = (self.learning_rate, self.l2)
        if self.dropout[0] > self.dropout[1] or not all(0 < low <= high for low, high in logarithmic):
            raise ValueError("dropout, learning_rate and l2 are ranges: low then high, learning_rate and l2 above 0")
        return self


class Evaluate(Section):
    """The figures of the chosen classifier."""

    seed: Annotated[int, Field(ge=0)] = Field(description="of the resampling")
    bootstrap: Annotated[int, Field(ge=100)] = Field(description="resamples of the patients for an interval")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(description="level of the intervals")
    repeats: Positive = Field(
        description="trainings of each fold's head: with more than 1, the spread of its accuracy over their seeds"
    )


class Register(Section):
    """The registered classifier."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="its name in the registry")
    seed: Annotated[int, Field(ge=0)] = Field(description="of the training on the whole cohort")


class Promote(Section):
    """The gate that a version passes on its way into production."""

    margin: Annotated[float, Field(ge=0, lt=1)] = Field(description="of accuracy: less is no worse")
    level: Annotated[float, Field(gt=0, lt=0.5)] = Field(description="of the one-sided comparison")
    min_common: Annotated[float, Field(gt=0, le=1)] = Field(
        description="share of each side's clips that both were tested on, at least: what the others hide is not known"
    )
    min_patients: Annotated[int, Field(ge=2)] = Field(
        description="patients whom both were tested on, at least: the test is one for many"
    )
    validation: tuple[str, ...] = Field(description="cohorts on which `lus validate` must have shown it first")


class Package(Section):
    """The Bento."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="its name in the Bento store")
    alias: str | None = Field(
        pattern=r"^[a-zA-Z][a-zA-Z0-9_-]*$", description="of the version; none: the champion, else the challenger"
    )
    engine: Literal["auto", "openvino", "openvino-int8", "openvino-bf16", "openvino-f32"] = Field(
        description="what answers in the Bento; `auto`: the fastest that answers as the registered model does"
    )


class Params(Section):
    """All of `params.yaml`."""

    simulate: Simulate
    limits: Limits
    cohort: Cohort
    frames: Frames
    pretrain: Pretrain
    features: Features
    folds: Folds
    search: Search
    evaluate: Evaluate
    register_: Register = Field(alias="register")
    promote: Promote
    package: Package
