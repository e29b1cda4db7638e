"""The CNNs without their tops, with any weights: frames -> features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lus.common.arrays import FloatArray, Frames
from lus.common.errors import BadInput
from lus.features import imagenet
from lus.features.weights import IMAGENET, OWN, RANDOM, calibrate, load_file

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Backbone:
    """A CNN of `keras.applications` as this project uses it.

    Attributes:
        name: its name here.
        application: its name in `keras.applications`.
        size: pixels a side of the frames that its ImageNet weights were trained on.
        dim: features of a frame, at that size.
        scale, offset: preprocessing, pixel * scale + offset, as its ImageNet weights expect it; one number, or one
            for each channel.
        bgr: whether these weights expect blue, green, red.
        flatten: whether the features are the last layer's whole output, as in the paper, and not its average
            over the picture.
        always_own: whether its weights are always trained on the cohort's own frames.
    """

    name: str
    application: str
    size: int
    dim: int
    scale: float | tuple[float, float, float] = 1 / 127.5
    offset: float | tuple[float, float, float] = -1.0
    bgr: bool = False
    flatten: bool = False
    always_own: bool = False


# The three ways in which the weights in `keras.applications` expect pixels: -1 to 1 (above); less ImageNet's mean,
# over its standard deviation; less its mean alone, in the order of Caffe. EfficientNet scales inside the CNN:
# whatever is done before it is done twice.
_SCALED: dict[str, Any] = {
    "scale": (1 / 58.395, 1 / 57.12, 1 / 57.375),
    "offset": (-123.675 / 58.395, -116.28 / 57.12, -103.53 / 57.375),
}
_CAFFE: dict[str, Any] = {"scale": 1.0, "offset": (-103.939, -116.779, -123.68), "bgr": True}

BACKBONES = {
    one.name: one
    for one in (
        Backbone("xception", "Xception", 299, 2048),
        Backbone("vgg16", "VGG16", 224, 25088, **_CAFFE, flatten=True),
        Backbone("vgg19", "VGG19", 224, 25088, **_CAFFE, flatten=True),
        Backbone("resnet152v2", "ResNet152V2", 224, 2048),
        Backbone("inceptionresnetv2", "InceptionResNetV2", 299, 1536),
        Backbone("mobilenetv2", "MobileNetV2", 224, 1280),
        Backbone("densenet121", "DenseNet121", 224, 1024, **_SCALED),
        Backbone("densenet169", "DenseNet169", 224, 1664, **_SCALED),
        Backbone("densenet201", "DenseNet201", 224, 1920, **_SCALED),
        Backbone("nasnetmobile", "NASNetMobile", 224, 1056),
        Backbone("nasnetlarge", "NASNetLarge", 331, 4032),
        Backbone("efficientnetb0", "EfficientNetB0", 224, 1280, scale=1.0, offset=0.0),
        # POCOVID-Net (Born et al., Applied Sciences 2021, 11, 672) averages the upper left 4 x 4 of VGG16's 7 x 7;
        # here it is all of them. There the last three convolutions are trained: pretrain.layers is 5 (two poolings).
        Backbone("pocovidnet", "VGG16", 224, 512, **_CAFFE, always_own=True),
    )
}
"""The CNNs that Barros et al., Sensors 2021, 21, 5486, compare."""


def get(name: str) -> Backbone:
    """Look a backbone up.

    Raises:
        BadInput: there is none of that name.
    """
    try:
        return BACKBONES[name]
    except KeyError:
        raise BadInput(f"backbone {name!r} is not known; expected one of {', '.join(BACKBONES)}") from None


def resolve_weights(name: str, weights: str) -> str:
    """The weights that a backbone has where `features.weights` is this.

    Raises:
        BadInput: there is no backbone of that name.
    """
    return OWN if get(name).always_own else weights


def resolve_start(name: str, weights: str, start: str) -> str:
    """The weights that a backbone has before it is trained, where it is: `start`, of `pretrain.start`."""
    return start if resolve_weights(name, weights) == OWN else weights


def resolve_input_size(name: str, size: int, asked: int | None) -> int:
    """Pixels a side at which a backbone sees the frames.

    Args:
        name: of the backbone.
        size: pixels a side of the frames, as they are stored.
        asked: `features.seen`; None asks for the size that its ImageNet weights were trained on.

    Raises:
        BadInput: that is more than is stored. Enlarged frames cost more time and show nothing more, and the clip may
            well have had the pixels that were not stored.
    """
    seen = asked or get(name).size
    if seen > size:
        raise BadInput(
            f"{name} is to see {seen} x {seen} pixels, frames are stored with {size} x {size}; set frames.side to "
            f"{seen} or more, or features.seen to {size} or less, in params.yaml"
        )
    return seen


def build(
    name: str,
    size: int,
    weights: str | Path,
    *,
    seen: int | None = None,
    seed: int = 0,
) -> keras.Model:
    """A backbone with its weights.

    Args:
        name: of the backbone.
        size: pixels a side of a frame.
        weights: `imagenet`, from Keras or the package index; `random`; or the path of a weights file.
        seen: pixels a side at which the CNN sees them, scaled within the model; by default as they are.
        seed: of random weights. Their batch-norm statistics are those of `phantom.draw_examples`, so that they are the
            same for every cohort, and no cohort's test patients have a part in them.

    Returns:
        A model (n, size, size, 3) uint8 RGB -> (n, dim) float32.

    Raises:
        BadInput: the weights cannot be had or do not fit. One kind of weights never stands in for another.
    """
    import keras

    backbone, seen = get(name), seen or size
    inputs = keras.Input((size, size, 3), dtype="uint8", name="frames")
    sized = inputs if seen == size else keras.layers.Resizing(seen, seen, name="resize")(inputs)
    ordered = keras.ops.flip(sized, axis=-1) if backbone.bgr else sized
    scaled = keras.layers.Rescaling(backbone.scale, backbone.offset, name="preprocess")(ordered)
    if weights == RANDOM:
        keras.utils.set_random_seed(seed)
    cnn = _cnn(backbone, seen, weights)
    features = keras.layers.Flatten(name="features")(cnn(scaled)) if backbone.flatten else cnn(scaled)
    model = keras.Model(inputs, features, name=f"{backbone.name}_backbone")
    if weights == RANDOM:
        from lus import phantom  # not part of a Bento, which loads what has been built

        calibrate(model, cnn, phantom.draw_examples(size))
    cnn.trainable = False
    return model


def _cnn(backbone: Backbone, seen: int, weights: str | Path) -> keras.Model:
    """The CNN without its top, with its weights: (n, seen, seen, 3), preprocessed -> features."""
    import keras

    application = getattr(keras.applications, backbone.application)
    top = {"include_top": False, "input_shape": (seen, seen, 3), "name": backbone.name}
    top |= {"pooling": None if backbone.flatten else "avg"}
    try:
        cnn = (
            imagenet.load(application, backbone.name, top) if weights == IMAGENET else application(weights=None, **top)
        )
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{backbone.name} cannot see {seen} x {seen} pixels ({reason}); raise features.seen") from None
    if weights not in (IMAGENET, RANDOM):
        load_file(cnn, Path(weights), backbone.name)
    return cnn


def get_cnn(model: keras.Model) -> keras.Model:
    """The CNN inside a backbone that `build` made: what a weights file holds."""
    return model.get_layer(model.name.removesuffix("_backbone"))


def add_maps(model: keras.Model) -> keras.Model:
    """A backbone that shows what its last convolution gives: frames -> (maps (n, height, width, channels), features).

    Args:
        model: from `build`.
    """
    import keras

    cnn, scaled = get_cnn(model), model.get_layer("preprocess").output
    if not isinstance(cnn.layers[-1], keras.layers.GlobalAveragePooling2D):
        maps = cnn(scaled)
        return keras.Model(model.input, [maps, keras.layers.Flatten()(maps)])
    maps, features = keras.Model(cnn.input, [cnn.layers[-1].input, cnn.output])(scaled)
    return keras.Model(model.input, [maps, features])


def trace(model: keras.Model) -> Callable[[Frames], FloatArray]:
    """A backbone, or a classifier, as a function from uint8 frames to float32, for any number of frames or clips.

    Traced once: `predict` rebuilds its pipeline for every call, and an eager call keeps every activation.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)]
    function = tf.function(lambda frames: model(frames, training=False), input_signature=signature)
    return lambda frames: np.asarray(function(tf.constant(frames)), np.float32)


def compute_features(run: Callable[[Frames], FloatArray], clips: Iterable[Frames], batch: int) -> Iterator[FloatArray]:
    """Run a backbone over clips.

    Args:
        run: from `trace`, or the same on another engine.
        clips: (length, size, size, 3) uint8 each.
        batch: frames of one call; the last call of a clip may be smaller.

    Yields:
        (length, dim) float32 for each clip, in their order.
    """
    for frames in clips:
        yield np.concatenate([run(frames[start : start + batch]) for start in range(0, len(frames), batch)])
