"""A feature set on disk: the features of a cohort for one backbone and length."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lus.clips import cohort
from lus.common.arrays import FloatArray
from lus.common.errors import BadInput
from lus.common.params import Folds
from lus.splits import folds, protocols
from lus.splits.folds import Part

FEATURES_FILE, CLIPS_FILE, INFO_FILE, WEIGHTS_FILE = (
    "features.npy",
    "clips.csv",
    "info.json",
    "cnn.weights.h5",
)


@dataclass(frozen=True)
class Info:
    """What a feature set was computed with.

    Attributes:
        backbone, length, dim: features of a clip are (length, dim).
        size: pixels a side of the frames.
        seen: pixels a side at which the CNN saw them.
        weights: as in `params.yaml`.
        weights_sha256: of the weights file beside the features.
        engine: that computed them, as in `keras` or `openvino-bf16`.
        folds: how the patients were cut when the backbone was trained on the training clips of each part; none
            where one backbone is for all.
        parts: the names of these parts.
        weights_from: which source gave them, in words; empty where `weights` alone says so.
    """

    backbone: str
    length: int
    dim: int
    size: int
    seen: int
    weights: str
    weights_sha256: str
    engine: str = "keras"
    folds: dict[str, Any] | None = None
    parts: tuple[str, ...] = ()
    weights_from: str = ""

    @property
    def lineage(self) -> dict[str, str]:
        """What MLflow is told of where the weights came from; nothing where `weights` alone says so."""
        return {"weights_from": self.weights_from} if self.weights_from else {}


@dataclass(frozen=True)
class FeatureSet:
    """Features (n, length, dim) float32 and the cohort's rows they belong to, in the same order.

    `features` are those of the backbone for the whole cohort; `for_part` gives those for a part of it.
    """

    folder: Path
    features: FloatArray
    clips: pd.DataFrame
    info: Info

    @property
    def name(self) -> str:
        """Backbone and length, as in `xception-20`."""
        return format_name(self.info.backbone, self.info.length)

    def parts(self, cut: Folds) -> list[Part]:
        """The parts of the cohort, as the protocol cuts it; each with the folds that a choice may be made by.

        A backbone that was trained on clips must not be chosen by them: where there is one for each part, the
        first inner fold remains, whose validation clips it has not seen.

        Raises:
            BadInput: a label has too few patients, or the backbones were trained for other folds.
        """
        parts = protocols.make_protocol(cut).parts(self.clips)
        if self.info.folds is None:
            return parts
        if self.info.folds != cut.model_dump():
            raise BadInput(
                f"{self.folder}: its backbones were trained for the folds {self.info.folds}, params.yaml has "
                f"{cut.model_dump()}; `dvc repro` makes them anew"
            )
        return [replace(part, inner=part.inner[:1]) for part in parts]

    def for_part(self, part: str) -> FloatArray:
        """The features of all clips from the backbone that was made for a part: (n, length, dim) float32.

        Args:
            part: its name.
        """
        if self.info.folds is None or part == folds.ALL:
            return self.features
        array: FloatArray = np.load(self.folder / features_file(part), allow_pickle=False)
        return array


def features_file(part: str) -> str:
    """The name of the file with the features for a part of the cohort."""
    return FEATURES_FILE if part == folds.ALL else f"features-{part}.npy"


def format_name(backbone: str, length: int) -> str:
    """The name of a feature set and of its folder."""
    return f"{backbone}-{length}"


def parse_name(name: str) -> tuple[str, int]:
    """The inverse of `format_name`.

    Raises:
        BadInput: the name is not of that form.
    """
    match = re.fullmatch(r"(.+)-([1-9]\d*)", name)
    if match is None:
        raise BadInput(f"{name!r} names no feature set; expected backbone-length, as in xception-20")
    return match[1], int(match[2])


def describe(folder: Path, clips: pd.DataFrame, info: Info) -> None:
    """Write what stands beside features and weights: the clips that they are of, and how they were made."""
    clips.to_csv(folder / CLIPS_FILE, index=False)
    known = {name: value for name, value in asdict(info).items() if name != "weights_from" or value}
    (folder / INFO_FILE).write_text(json.dumps(known, indent=2) + "\n")


def read(folder: Path) -> FeatureSet:
    """Read a feature set.

    Raises:
        BadInput: a file is missing, or rows and features differ in number.
    """
    _refuse_missing(folder, [FEATURES_FILE, CLIPS_FILE, INFO_FILE])
    stored = json.loads((folder / INFO_FILE).read_text())
    info = Info(**stored | {"parts": tuple(stored.get("parts", ()))})
    _refuse_missing(folder, [features_file(part) for part in info.parts])
    features = np.load(folder / FEATURES_FILE, allow_pickle=False)
    clips = cohort.read(folder / CLIPS_FILE)
    if len(features) != len(clips):
        raise BadInput(f"{folder}: holds {len(features)} features for {len(clips)} clips; `dvc repro -f features`")
    return FeatureSet(folder, features, clips, info)


def _refuse_missing(folder: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise BadInput(f"{folder}: has no {', '.join(missing)}; `dvc repro features` makes it")
