"""A version's metadata: what must be known of a classifier to use it, as it is stored with it and read years later."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from pydantic import ValidationError

from lus.common.errors import BadInput
from lus.common.params import Limits

METADATA_FILE = "classifier.json"
SCHEMA = 2
"""Of what `to_json` gives; metadata without a number are of schema 1. A limit that is added, taken away or gets another
meaning, and any other field, makes a new schema."""
_ANY = 2**53
"""More than any clip has of anything."""
NEUTRAL_LIMITS: dict[str, tuple[int, float]] = {
    "min_side": (1, 1),
    "max_pixels": (1, _ANY),
    "max_frames": (1, _ANY),
    "max_clip_pixels": (1, _ANY),
    "max_seconds": (1, 86_400 * 7),
    "max_fps": (1, _ANY),
    "min_brightness": (1, 0),
    "max_brightness": (1, 1),
    "min_contrast": (1, 0),
    "min_sharpness": (1, 0),
    "max_saturation": (1, 1),
    "max_colour": (1, 1),
    "max_blank_share": (1, 1),
    "max_still_share": (1, 1),
    "min_coverage": (1, 0),
    "min_extent": (1, 0),
    "max_cuts": (1, _ANY),
    "max_flashes": (1, _ANY),
    "report_text": (1, 1),
    "report_colour": (1, 1),
}
"""Each limit: the schema since which it is stored, and the value at which it refuses nothing.

A version of an older schema was registered when there was no such check, and goes on without it."""


@dataclass(frozen=True)
class ModelMetadata:
    """What must be known of a classifier to use it and to say where it comes from.

    A field that a later schema adds has a default, with which versions of the schemas before are read.

    Attributes:
        labels: in the order of the probabilities.
        length, size: frames it takes, and their pixels a side.
        limits: of a usable clip, as they were when the classifier was made.
        feature_set: backbone and length, as in `xception-20`.
        lineage: git commit, hashes of cohort and parameters and the like; text only.
        name, version: in the registry; empty before it is registered.
    """

    labels: tuple[str, ...]
    length: int
    size: int
    limits: Limits
    feature_set: str
    lineage: dict[str, str]
    name: str = ""
    version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        own = {"schema": SCHEMA, "limits": self.limits.model_dump(), "labels": list(self.labels)}
        return asdict(self) | own

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ModelMetadata:
        """The inverse of `to_json`, also of that of earlier code.

        Raises:
            BadInput: they are of a later schema than this code knows, or are not what their schema says.
        """
        whose = f"version {values.get('version')} of {values.get('name')}"
        schema = values.get("schema", 1)
        if schema not in range(1, SCHEMA + 1):
            raise BadInput(
                f"{whose} has metadata of schema {schema}, this lus knows schemas up to {SCHEMA}; "
                "update lus to that which registered the version, or use another version"
            )
        given = {name: value for name, value in values.items() if name != "schema"}
        required = {field.name for field in fields(cls) if field.default is MISSING}
        wrong = sorted((given.keys() - {field.name for field in fields(cls)}) | (required - given.keys()))
        if wrong:
            raise _not_of_its_schema(whose, schema, "fields", wrong)
        neutral = {name: value for name, (since, value) in NEUTRAL_LIMITS.items() if since > schema}
        try:
            limits = Limits(**(neutral | given["limits"]))
        except ValidationError as error:
            names = [str(fault["loc"][0]) for fault in error.errors() if fault["loc"]]
            raise _not_of_its_schema(whose, schema, "limits", names) from None
        return cls(**(given | {"limits": limits, "labels": tuple(given["labels"])}))


def _not_of_its_schema(whose: str, schema: int, kind: str, names: list[str]) -> BadInput:
    return BadInput(
        f"{whose} was registered with other {kind} than schema {schema} of its metadata has ({', '.join(names)}); "
        "`lus register --anew` registers another, or check out the code of its commit"
    )
