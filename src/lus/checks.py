"""What a usable clip is: one table of rules, made from the limits in `params.yaml`.

The rules guard the pipeline, where Great Expectations states them and draws the Data Docs, and the service,
where they run alone: importing Great Expectations costs seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from lus.arrays import Frames
from lus.clip import ClipInfo
from lus.params import Limits


@dataclass(frozen=True)
class Rule:
    """A number measured on a clip must lie between two limits (None: no limit on that side)."""

    column: str
    low: float | None
    high: float | None
    meaning: str


@dataclass(frozen=True)
class Finding:
    """A rule that a clip breaks: what was found and what was expected."""

    check: str
    found: float
    limit: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.meaning} is {self.found:.4g}, {self.limit} is expected"


def rules(limits: Limits, length: int) -> tuple[Rule, ...]:
    """The rules for clips from which `length` frames are taken."""
    return (
        Rule("frames", length, limits.max_frames, "the number of frames"),
        Rule("side", limits.min_side, None, "the shorter side in pixels"),
        Rule("pixels", None, limits.max_pixels, "the number of pixels of a frame"),
        Rule("brightness", limits.min_brightness, limits.max_brightness, "the mean brightness (0 to 1)"),
        Rule("contrast", limits.min_contrast, None, "the contrast (0 to 1)"),
        Rule("saturation", None, limits.max_saturation, "the colour saturation (0 to 1)"),
        Rule("still_share", None, limits.max_still_share, "the share of identical neighbouring frames"),
    )


def frame_statistics(frames: Frames) -> pd.DataFrame:
    """Measure each frame.

    Args:
        frames: (length, height, width, 3) uint8 RGB.

    Returns:
        A row a frame, all columns from 0 to 1: brightness (mean grey), contrast (standard deviation of grey),
        black_share (pixels darker than 8 of 255), saturation (HSV, weighted by brightness, so that the noise
        of black pixels does not count), change (mean absolute difference to the frame before; 0 for the first).
    """
    length, height, width, _ = frames.shape
    strip = frames.reshape(length * height, width, 3)
    grey = cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY).reshape(length, height, width)
    hsv = cv2.cvtColor(strip, cv2.COLOR_RGB2HSV).reshape(length, height * width, 3)
    value = hsv[..., 2].astype(np.float32)
    colour = (hsv[..., 1] * value).sum(axis=1) / np.maximum(value.sum(axis=1), 1.0)
    change = [0.0] + [float(cv2.absdiff(a, b).mean()) for a, b in zip(grey[1:], grey[:-1], strict=True)]
    return pd.DataFrame(
        {
            "brightness": grey.mean(axis=(1, 2)) / 255.0,
            "contrast": grey.std(axis=(1, 2)) / 255.0,
            "black_share": (grey < 8).mean(axis=(1, 2)),
            "saturation": colour / 255.0,
            "change": np.array(change) / 255.0,
        }
    )


def shape_statistics(info: ClipInfo) -> dict[str, float]:
    """The numbers that the rules look at, as far as they are known before any frame is looked at."""
    return {"frames": info.frames, "side": min(info.width, info.height), "pixels": info.width * info.height}


def clip_statistics(info: ClipInfo, frames: pd.DataFrame) -> dict[str, float]:
    """The numbers that the rules look at, from what a clip is and its frames' statistics."""
    neighbours = frames["change"].iloc[1:]
    return shape_statistics(info) | {
        "brightness": float(frames["brightness"].mean()),
        "contrast": float(frames["contrast"].mean()),
        "black_share": float(frames["black_share"].mean()),
        "saturation": float(frames["saturation"].mean()),
        "still_share": float((neighbours == 0).mean()) if len(neighbours) else 0.0,
    }


def findings(statistics: Mapping[str, float], table: Sequence[Rule]) -> list[Finding]:
    """The rules that a clip breaks; a rule whose number is not among the statistics is not looked at."""
    found = []
    for rule in table:
        value = statistics.get(rule.column)
        if value is None:
            continue
        if rule.low is not None and value < rule.low:
            found.append(Finding(rule.column, value, f"at least {rule.low:g}", rule.meaning))
        elif rule.high is not None and value > rule.high:
            found.append(Finding(rule.column, value, f"at most {rule.high:g}", rule.meaning))
    return found


def _suites(cohort: pd.DataFrame, table: Sequence[Rule]) -> dict[str, list[Any]]:
    from great_expectations import expectations as gxe

    not_null = [gxe.ExpectColumnValuesToNotBeNull(column=name) for name in ("path", "label", "patient")]
    return {
        "cohort": [
            *not_null,
            gxe.ExpectColumnValuesToBeUnique(column="clip_id"),
            gxe.ExpectColumnValueLengthsToEqual(column="clip_id", value=64),
            gxe.ExpectColumnUniqueValueCountToBeBetween(column="label", min_value=2),
            gxe.ExpectColumnUniqueValueCountToBeBetween(column="patient", min_value=int(cohort["label"].nunique())),
        ],
        "clips": [
            # A clip that could not be read has no numbers, and what is not there breaks no limit.
            *(gxe.ExpectColumnValuesToNotBeNull(column=rule.column) for rule in table),
            *(
                gxe.ExpectColumnValuesToBeBetween(column=rule.column, min_value=rule.low, max_value=rule.high)
                for rule in table
            ),
        ],
    }


def validate(cohort: pd.DataFrame, clips: pd.DataFrame, table: Sequence[Rule], docs: Path) -> dict[str, Any]:
    """State the rules to Great Expectations and write its Data Docs.

    Args:
        cohort: the cohort table.
        clips: `clip_statistics`, a row a clip, with the path in a column `path`.
        table: the rules.
        docs: the folder for the HTML pages; made if missing.

    Returns:
        For each suite ("cohort", "clips"): whether it held, and each expectation with what was found.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.absolute())}
    site = {
        "class_name": "SiteBuilder",
        "store_backend": store,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    for name in list(context.get_site_names()):
        context.delete_data_docs_site(name)
    context.add_data_docs_site("data_docs", site)
    source = context.data_sources.add_pandas("lus")
    definitions = []
    for name, expectations in _suites(cohort, table).items():
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        definitions.append(
            (
                context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite)),
                name,
            )
        )
    frames = {"cohort": cohort, "clips": clips}
    results = {name: one.run(batch_parameters={"dataframe": frames[name]}) for one, name in definitions}
    context.build_data_docs()
    return {
        name: {
            "success": bool(result.success),
            "expectations": [
                {
                    "expectation": one.expectation_config.type,
                    "arguments": {k: v for k, v in one.expectation_config.kwargs.items() if k != "batch_id"},
                    "success": bool(one.success),
                    "unexpected": int(one.result.get("unexpected_count", 0)),
                }
                for one in result.results
            ],
        }
        for name, result in results.items()
    }
