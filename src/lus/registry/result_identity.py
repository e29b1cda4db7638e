"""What tells the result that a version stands for from all others, so that one result is registered once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lus.common import hashing
from lus.common.params import Limits
from lus.features import backbones, weights
from lus.features.featureset import FeatureSet
from lus.heads import keras2, legacy, model, train_step, training
from lus.inference import keras_model, metadata
from lus.registry import refit
from lus.splits import folds

CODE = (
    refit.__name__,
    backbones.__name__,
    weights.__name__,
    model.__name__,
    keras_model.__name__,
    train_step.__name__,
    training.__name__,
)
"""Modules that train and join a classifier. What they are given is hashed as it is given, not by the code behind it."""
IMPORT_CODE = (legacy.__name__, keras2.__name__, backbones.__name__, weights.__name__, keras_model.__name__)
"""Modules that read a head from elsewhere and join it to a backbone."""
INPUTS = ("evaluation_sha256", "clips_sha256", "features_sha256", "backbone_sha256", "environment_sha256")
"""Of a version's lineage, what it depends on: its commit, machine and times are left out."""


def digest_trained(data: FeatureSet, lineage: Mapping[str, str], limits: Limits, seed: int) -> str:
    """What tells a classifier of `refit`, with its figures, from all others: 64 hexadecimal digits.

    Args:
        data: the chosen feature set.
        lineage: of the version, with the hashes that `INPUTS` names; that of the packages' lock may be missing.
        limits: of a usable clip, which are registered with it.
        seed: of the training.
    """
    return _hash(
        {
            "inputs": {name: lineage.get(name) for name in INPUTS},
            "targets": folds.targets(data.clips).tolist(),
            "backbone": [data.info.backbone, data.info.length, data.info.size, data.info.seen],
            "limits": limits.model_dump(),
            "seed": seed,
            "schema": metadata.SCHEMA,
            "code": hashing.hash_modules(*CODE),
        }
    )


def digest_imported(
    file: Path, feature_set: str, backbone_digest: str, labels: tuple[str, ...], size: int, seen: int, limits: Limits
) -> str:
    """What tells a classifier with a head from elsewhere from all others: 64 hexadecimal digits.

    Args:
        file: that the head is read from.
        feature_set: backbone and length, as in `xception-20`.
        backbone_digest: of the built backbone, with the weights that it has.
        labels: in the order of the probabilities.
        size: pixels a side of the frames.
        seen: pixels a side at which the backbone sees them.
        limits: of a usable clip, which are registered with it.
    """
    return _hash(
        {
            "head": hashing.sha256(file),
            "backbone": [feature_set, backbone_digest, size, seen],
            "labels": list(labels),
            "limits": limits.model_dump(),
            "schema": metadata.SCHEMA,
            "code": hashing.hash_modules(*IMPORT_CODE),
        }
    )


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
