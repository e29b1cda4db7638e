"""The classifier as it is registered: its head trained on all clips, joined to its backbone; and what it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lus.common import hashing
from lus.common.params import Limits
from lus.features import backbones, featureset, weights
from lus.features.featureset import FeatureSet
from lus.heads import model, train_step, training
from lus.heads.model import HeadParams
from lus.inference import keras_model, metadata
from lus.splits import folds

if TYPE_CHECKING:
    import keras

CODE = (
    __name__,
    backbones.__name__,
    weights.__name__,
    model.__name__,
    keras_model.__name__,
    train_step.__name__,
    training.__name__,
)
"""Modules that train and join a classifier. What they are given is hashed as it is given, not by the code behind it."""
INPUTS = ("evaluation_sha256", "clips_sha256", "features_sha256", "backbone_sha256", "environment_sha256")
"""Of a version's lineage, what it depends on: its commit, machine and times are left out."""


def train(data: FeatureSet, choice: Mapping[str, Any], seed: int) -> keras.Model:
    """A classifier, its head trained on all clips of the cohort with the chosen parameters.

    Args:
        data: the chosen feature set, with the backbone's weights in its folder.
        choice: `choice.json` of an evaluation.
        seed: of the training.

    Returns:
        As `keras_model.assemble` does.
    """
    trained = training.train(
        HeadParams.from_dict(choice["head"]),
        data.for_part(folds.ALL),
        folds.targets(data.clips),
        len(choice["labels"]),
        epochs=choice["epochs"],
        seed=seed,
    )
    info = data.info
    backbone = backbones.build(info.backbone, info.size, data.folder / featureset.WEIGHTS_FILE, seen=info.seen)
    return keras_model.assemble(backbone, trained.model(info.length, choice["temperature"]), info.length)


def digest(data: FeatureSet, lineage: Mapping[str, str], limits: Limits, seed: int) -> str:
    """What tells a classifier of `train`, with its figures, from all others: 64 hexadecimal digits.

    Args:
        data: the chosen feature set.
        lineage: of the version, with the hashes that `INPUTS` names; that of the packages' lock may be missing.
        limits: of a usable clip, which are registered with it.
        seed: of the training.
    """
    content = {
        "inputs": {name: lineage.get(name) for name in INPUTS},
        "targets": folds.targets(data.clips).tolist(),
        "backbone": [data.info.backbone, data.info.length, data.info.size, data.info.seen],
        "limits": limits.model_dump(),
        "seed": seed,
        "schema": metadata.SCHEMA,
        "code": hashing.hash_modules(*CODE),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
