"""What a usable clip is: one table of rules, made from the limits in `params.yaml`.

The same table holds in the pipeline, where Great Expectations states it too (`expectations`), `lus check`, and the
service, where it runs alone: importing Great Expectations costs seconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lus.checks import measures
from lus.checks.measures import FrameMeasures
from lus.clips import decode, sampling
from lus.clips.decode import ClipInfo
from lus.clips.sampling import Sample
from lus.common.errors import Finding, Unusable
from lus.common.params import Limits

CAUSES = ("damaged_share", "frames", "blank_share", "still_share", "saturation", "colour", "extent", "flashes", "cuts")
"""Rules in the order in which they explain others: a still picture changes nowhere, a blank one is dark. What is not
among them comes last."""
MOST_DAMAGED = 0.1
"""Share of a clip's frames. What follows a damaged frame may be drawn upon it."""


@dataclass(frozen=True)
class Rule:
    """A number measured on a clip must lie between two limits (None: no limit on that side).

    A clip that breaks a rule is not usable; where `reports` is set, it is only reported. The advice is for both
    sides, unless there is one of its own for a number that is too high.
    """

    column: str
    low: float | None
    high: float | None
    meaning: str
    advice: str
    advice_high: str = ""
    reports: bool = False

    def broken_by(self, value: float) -> bool:
        """Whether a number lies outside the limits; what is no number does."""
        inside = (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        return not inside or value != value  # noqa: PLR0124 - NaN alone differs from itself

    def expected(self, value: float) -> str:
        """The limit that a number breaks, in words."""
        if self.low is not None and not value >= self.low:
            return f"at least {_number(self.low)}"
        return f"at most {_number(self.high)}" if self.high is not None else "a number"

    def advice_for(self, value: float) -> str:
        """What to do about a number outside the limits."""
        too_high = self.high is not None and value > self.high
        return self.advice_high if too_high and self.advice_high else self.advice

    @property
    def between(self) -> str:
        """Both limits, in words."""
        low = "" if self.low is None else f"at least {_number(self.low)}"
        high = "" if self.high is None else f"at most {_number(self.high)}"
        return " and ".join(bound for bound in (low, high) if bound)


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def make_rules(limits: Limits, length: int) -> tuple[Rule, ...]:
    """The rules for clips from which `length` frames are taken."""
    ultrasound = "take the picture of a lung-ultrasound clip alone"
    gain = ("take a clip with more gain, or export it brighter", "take a clip with less gain, or export it darker")
    return (
        Rule("frames", length, limits.max_frames, "the number of frames", "record a longer clip", "cut the clip"),
        Rule("side", limits.min_side, None, "the shorter side in pixels", "export it at its full size"),
        Rule("pixels", None, limits.max_pixels, "the number of pixels of a frame", "make its frames smaller"),
        Rule(
            "clip_pixels", None, limits.max_clip_pixels, "the number of pixels of all frames together", "cut the clip"
        ),
        Rule("fps", None, limits.max_fps, "the declared number of frames a second", "convert it"),
        Rule("brightness", limits.min_brightness, limits.max_brightness, "the mean brightness (0 to 1)", *gain),
        Rule("contrast", limits.min_contrast, None, "the contrast (0 to 1)", gain[0]),
        Rule("sharpness", limits.min_sharpness, None, "the sharpness", "export it at its full quality"),
        Rule("saturation", None, limits.max_saturation, "the colour saturation (0 to 1)", ultrasound),
        Rule(
            "colour", None, limits.max_colour, "the share of coloured pixels beyond one tint for each grey", ultrasound
        ),
        Rule("blank_share", None, limits.max_blank_share, "the share of blank frames", "cut them off"),
        Rule(
            "still_share",
            None,
            limits.max_still_share,
            "the share of identical neighbouring frames",
            "export the clip, not a still image",
        ),
        Rule("coverage", limits.min_coverage, None, "the share of the picture that ever changes", ultrasound),
        Rule("extent", limits.min_extent, None, "the share of the picture within its borders", "cut the borders off"),
        Rule("cuts", None, limits.max_cuts, "the number of cuts", "send each part as a clip of its own"),
        Rule("flashes", None, limits.max_flashes, "the number of flashes", "cut the foreign frames out"),
        Rule("overlay_text", None, limits.report_text, "the share of burnt-in letters", "cut them off", reports=True),
        Rule(
            "overlay_colour", None, limits.report_colour, "the share of vivid colour", "export without it", reports=True
        ),
        Rule(
            "interlaced",
            None,
            0,
            "the number of interlaced frames (one field of each is shown)",
            "export it without interlacing",
            reports=True,
        ),
        Rule("trimmed", None, 0, "the number of blank frames trimmed from the ends", "export it without", reports=True),
        Rule("damaged", None, 0, "the number of damaged frames", "fetch or export it again", reports=True),
        Rule("damaged_share", None, MOST_DAMAGED, "the share of damaged frames", "fetch or export it again"),
    )


def find_blank(frames: FrameMeasures, limits: Limits) -> NDArray[np.bool_]:
    """Frames that show nothing: (length,) bool."""
    outside = (frames["brightness"] < limits.min_brightness) | (frames["brightness"] > limits.max_brightness)
    return np.asarray(outside & (frames["contrast"] < limits.min_contrast))


def find_broken(values: Mapping[str, float], table: Sequence[Rule], *, reports: bool = False) -> list[Finding]:
    """The rules that a clip breaks, the likeliest cause first.

    A rule whose number is not among the values is not looked at.

    Args:
        values: `measures.measure_clip`, or a part of it.
        table: the rules.
        reports: whether to look at the rules that only report, or else at those that refuse.
    """
    broken = [
        Finding(rule.column, _number(value), rule.expected(value), rule.advice_for(value), rule.meaning)
        for rule in table
        if rule.reports == reports and (value := values.get(rule.column)) is not None and rule.broken_by(value)
    ]
    return sorted(broken, key=lambda one: CAUSES.index(one.check) if one.check in CAUSES else len(CAUSES))


@dataclass(frozen=True)
class ExaminedClip:
    """A clip that could be decoded, with all that was measured on it.

    Attributes:
        sample: what is kept of it.
        frames: a number a frame for each name.
        values: a number for each name.
        findings: why it is not usable; none where it is.
        reported: what should be known of it and does not make it unusable.
        seconds: spent on decoding and on checks.
    """

    sample: Sample
    frames: FrameMeasures
    values: dict[str, float]
    findings: list[Finding]
    reported: list[Finding]
    seconds: dict[str, float]


def examine_clip(
    path: Path, lengths: Sequence[int], size: int, limits: Limits, info: ClipInfo | None = None, spread: int = 0
) -> ExaminedClip:
    """Decode a clip, measure it and hold it to the rules.

    Args:
        path: the clip.
        lengths: frames of a sequence, in one or more lengths.
        size: pixels a side of the frames kept.
        limits: of a usable clip.
        info: what `decode.inspect` said, where it has been asked before.
        spread: evenly spaced frames that are wanted beside those of the lengths; they are not measured.

    Raises:
        Unusable: the clip cannot be decoded, or is too short or too large to be looked at.
    """
    started = time.perf_counter()
    table = make_rules(limits, max(lengths))
    info = info or decode.inspect(path, limits)
    early = find_broken(measures.measure_shape(info), table)
    if early:
        raise Unusable(path.name, early)
    sample = sampling.sample(path, lengths, size, limits, info, spread)
    decoded = time.perf_counter()
    frames = measures.measure_frames(sample.frames)
    values = measures.measure_clip(sample, frames, find_blank(frames, limits))
    broken, reported = find_broken(values, table), find_broken(values, table, reports=True)
    if broken:
        # Where frames are missing a clip jumps.
        broken = [one for one in reported if one.check == "damaged"] + broken
    seconds = {"decode": decoded - started, "check": time.perf_counter() - decoded}
    return ExaminedClip(sample, frames, values, broken, reported, seconds)
