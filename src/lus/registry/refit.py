"""The chosen head trained on all clips, and joined to its backbone: the classifier that is registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lus.features import backbones, featureset
from lus.features.featureset import FeatureSet
from lus.heads import training
from lus.heads.model import HeadParams
from lus.inference import keras_model
from lus.splits import folds

if TYPE_CHECKING:
    import keras


def train_on_all_clips(data: FeatureSet, choice: Mapping[str, Any], seed: int) -> keras.Model:
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
    weights, info = data.folder / featureset.WEIGHTS_FILE, data.info
    backbone = backbones.build(info.backbone, info.size, weights, seen=info.seen)
    return keras_model.assemble(backbone, trained.model(info.length, choice["temperature"]), info.length)
