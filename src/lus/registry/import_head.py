"""A head from elsewhere on a backbone of this project: a version of the classifier without figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lus.common.errors import BadInput
from lus.common.params import Features, Params
from lus.common.progress import Steps, no_progress
from lus.features import backbones, featureset, imagenet
from lus.features.weights import IMAGENET, OWN, RANDOM, hash_weights
from lus.heads.legacy import Head
from lus.inference import keras_model
from lus.inference.metadata import ModelMetadata
from lus.registry import models, result_identity
from lus.registry.version_summary import WEIGHTS_TAG
from lus.tracking import client, processes, runs
from lus.tracking.lineage import collect_lineage

if TYPE_CHECKING:
    import keras
    from mlflow.entities.model_registry import ModelVersion

PROTOCOL = "unknown"
"""Of a version whose figures, if any, were made elsewhere."""


def labels_of(text: str | None, head: Head) -> tuple[str, ...]:
    """The labels that a user names, in the order of the head's probabilities, divided by commas.

    Raises:
        BadInput: none are named, or not as many as there are probabilities, or one is empty or named twice.
    """
    named = tuple(one.strip() for one in (text or "").split(",") if text)
    if len(named) != head.labels or len(set(named)) != len(named) or "" in named:
        raise BadInput(
            f"the head gives {head.labels} probabilities and --labels names {', '.join(named) or 'nothing'}; name "
            f"{head.labels} labels in the order it was trained with, which the file does not hold (of the published "
            "heads: covid-19,pneumonia,healthy)"
        )
    return named


def register(
    file: Path,
    head: Head,
    model: keras.Model,
    labels: tuple[str, ...],
    backbone: str,
    params: Params,
    steps: Steps = no_progress,
    anew: bool = False,
) -> tuple[ModelVersion, bool]:
    """Join a head and a backbone, and register them, where no version is of the same; no alias is moved.

    Args:
        file: that the head was read from; its name and hash are kept with the version.
        head: as read.
        model: the head, built.
        labels: in the order of its probabilities.
        backbone: whose features it was trained on; its weights are `features.weights`.
        params: of the project.
        steps: told what is under way.
        anew: register another version, also where there is one of the same head, backbone, labels, limits and code.

    Returns:
        The version, without figures, protocol `unknown`; and whether it is a new one.

    Raises:
        BadInput: backbone and head do not fit, or the backbone's weights cannot be had.
    """
    import mlflow

    from lus import phantom  # not part of a Bento

    client.connect()
    _refuse_misfit(head, backbone, params)
    steps(f"building {backbone} with {params.features.weights} weights")
    cnn = _backbone(head, backbone, params)
    name, size = featureset.format_name(backbone, head.length), params.frames.side
    backbone_digest = hash_weights(cnn)
    seen = backbones.resolve_input_size(backbone, size, params.features.seen)
    digest = result_identity.digest_imported(file, name, backbone_digest, labels, size, seen, params.limits)
    known = None if anew else models.find_version_by_result(params.register_.name, digest)
    if known is not None:
        return known, False
    assembled = keras_model.assemble(cnn, model, head.length)
    lineage = collect_lineage({"imported": file, "params": Path("params.yaml")}) | {
        "imported_from": file.name,
        "imported_keras": head.keras_version,
        WEIGHTS_TAG: params.features.weights,
        "backbone_digest": backbone_digest,
    }
    if came_from := imagenet.origin(backbone, params.features.weights):
        lineage["weights_from"] = came_from
    metadata = ModelMetadata(labels, head.length, size, params.limits, name, lineage)
    tags = {"kind": "import", "protocol": PROTOCOL, "owner": processes.owner()} | lineage
    with mlflow.start_run(run_name=f"import {file.name}", tags=runs.prefix_tags(tags)):
        version = models.register(
            params.register_.name,
            assembled,
            metadata,
            {"protocol": PROTOCOL, models.RESULT_TAG: digest} | lineage,
            phantom.draw_example_clips(head.length, size),
            challenger=False,
            steps=steps,
        )
    return version, True


def _refuse_misfit(head: Head, backbone: str, params: Params) -> None:
    known = backbones.get(backbone)
    if head.length > params.limits.max_frames:
        raise BadInput(
            f"the head takes {head.length} frames, a clip may have {params.limits.max_frames} (limits.max_frames)"
            "; import a head of shorter sequences"
        )
    if known.dim != head.dim:
        fitting = [one.name for one in backbones.BACKBONES.values() if one.dim == head.dim]
        which = f"{' or '.join(fitting)} fits" if fitting else "no backbone has as many"
        raise BadInput(
            f"the head takes {head.dim} features of a frame, {backbone} gives {known.dim}; {which}: name the one that "
            "the head was trained with as --backbone"
        )


def _backbone(head: Head, backbone: str, params: Params) -> keras.Model:
    section, size = params.features, params.frames.side
    weights = _weights(backbone, section)
    seen = backbones.resolve_input_size(backbone, size, section.seen)
    cnn = backbones.build(backbone, size, weights, seen=seen, seed=section.seed)
    if cnn.output_shape[-1] != head.dim:
        raise BadInput(
            f"the head takes {head.dim} features of a frame, {backbone} gives {cnn.output_shape[-1]} where it sees "
            f"{seen} pixels a side; set features.seen of params.yaml to null"
        )
    return cnn


def _weights(backbone: str, section: Features) -> str:
    if section.weights == OWN or (backbones.get(backbone).always_own and section.weights in (IMAGENET, RANDOM)):
        raise BadInput(
            f"features.weights is {section.weights}: a head needs the very weights of {backbone} that it was trained "
            "with, and those trained here are not; set it to "
            + ("a file in weights/" if backbones.get(backbone).always_own else "imagenet or a file in weights/")
        )
    return section.weights
