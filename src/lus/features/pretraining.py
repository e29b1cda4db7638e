"""Training a CNN on single LUS frames, so that its features are of lungs and not of photographs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lus.clips.frameset import FrameSet
from lus.common import workers
from lus.common.arrays import FloatArray, Frames, IntArray
from lus.common.errors import BadInput
from lus.common.params import Pretrain
from lus.features import backbones

if TYPE_CHECKING:
    import keras

TURN, SHIFT = 10.0, 0.05
"""Degrees, and share of a side, by which a frame is turned and moved at most while it is trained on."""
DENSE, DROPOUT = 64, 0.5
"""The layers between features and probabilities, which are thrown away after the training; these, and the turned and
mirrored frames, are those of POCOVID-Net (Born et al., Applied Sciences 2021, 11, 672)."""
MOMENTUM = 0.9
"""Of the batch-norm statistics: with Keras's 0.99 they would lag hundreds of steps behind, more than there are here."""


@dataclass(frozen=True)
class LabelledFrames:
    """Single frames of clips, read when they are needed.

    Attributes:
        read: gives the frame of a number: (size, size, 3) uint8.
        targets: (n,) numbers of labels.
    """

    read: Callable[[int], Frames]
    targets: IntArray


def label_frames(sampled: FrameSet, rows: IntArray, targets: IntArray) -> LabelledFrames:
    """The single frames of some clips.

    Args:
        sampled: the frames of all clips.
        rows: of the clips.
        targets: (clips,) numbers of the labels of all clips.
    """
    length = max(sampled.lengths)
    ids, counts = sampled.clips["clip_id"].to_numpy(), sampled.clips["frames"].to_numpy()

    def read(number: int) -> Frames:
        row = rows[number // length]
        return sampled.frame(str(ids[row]), int(counts[row]), length, number % length)

    return LabelledFrames(read, np.repeat(targets[rows], length))


@dataclass(frozen=True)
class Epoch:
    """How well the frames that are not trained on are told apart after an epoch; the loss is in nats."""

    loss: float
    accuracy: float


def train(
    backbone: keras.Model,
    labels: int,
    training: LabelledFrames,
    validation: LabelledFrames,
    params: Pretrain,
    progress: workers.Progress | None = None,
) -> list[Epoch]:
    """Train a backbone's CNN in place; it has the weights of its best epoch afterwards.

    Args:
        backbone: from `backbones.build`.
        labels: how many there are.
        training: frames to train on.
        validation: frames of other patients, by which the best epoch is chosen.
        params: how it is trained.
        progress: called after each epoch with (epochs done, epochs at most).

    Returns:
        What each epoch reached on the frames kept out.

    Raises:
        BadInput: no epoch has a finite loss.
    """
    import keras

    keras.utils.set_random_seed(params.seed)
    net = _classifier(backbone, labels, params)
    weights = _label_weights(training.targets, labels)
    ended = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: progress(epoch + 1, params.epochs) if progress else None
    )
    stop = keras.callbacks.EarlyStopping(patience=params.patience, restore_best_weights=True)
    fitted = net.fit(
        batches(training, params.batch, weights, np.random.default_rng(params.seed)),
        steps_per_epoch=math.ceil(len(training.targets) / params.batch),
        validation_data=batches(validation, params.batch, np.ones_like(weights)),
        validation_steps=math.ceil(len(validation.targets) / params.batch),
        epochs=params.epochs,
        callbacks=[stop, ended],
        shuffle=False,  # the batches are shuffled as they are made
        verbose=0,
    )
    backbones.get_cnn(backbone).trainable = False
    if not np.isfinite(fitted.history["val_loss"]).any():
        raise BadInput(
            f"the training of {backbone.name} diverged: no epoch has a finite loss; lower pretrain.learning_rate "
            f"({params.learning_rate}) in params.yaml"
        )
    found = zip(fitted.history["val_loss"], fitted.history["val_accuracy"], strict=True)
    return [Epoch(float(loss), float(accuracy)) for loss, accuracy in found]


def _label_weights(targets: IntArray, labels: int) -> FloatArray:
    """Of a frame of each label, (labels,): one with few frames counts as much as one with many."""
    counts = np.bincount(targets, minlength=labels).clip(min=1)
    return (len(targets) / (labels * counts)).astype(np.float32)


def _classifier(backbone: keras.Model, labels: int, params: Pretrain) -> keras.Model:
    """Probabilities of single frames; of the CNN's layers the last `params.layers` learn."""
    import keras

    cnn = backbones.get_cnn(backbone)
    cnn.trainable = True
    kept = 0 if params.layers is None else max(len(cnn.layers) - params.layers, 0)
    for number, layer in enumerate(cnn.layers):
        layer.trainable = number >= kept
        if layer.trainable and isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    hidden = keras.layers.Dense(DENSE)(backbone.output)
    hidden = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=MOMENTUM)(hidden))
    probabilities = keras.layers.Dense(labels, activation="softmax")(keras.layers.Dropout(DROPOUT)(hidden))
    net = keras.Model(backbone.input, probabilities, name="frame_classifier")
    optimiser = keras.optimizers.Adam(params.learning_rate, global_clipnorm=1.0)
    net.compile(optimizer=optimiser, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


def batches(
    source: LabelledFrames, batch: int, weights: FloatArray, rng: np.random.Generator | None = None
) -> Iterator[tuple[Frames, IntArray, FloatArray]]:
    """Batches of frames, targets and weights without end, in passes over all frames; a pass's last may be smaller.

    Args:
        source: the frames.
        batch: frames at once.
        weights: (labels,) of a frame of each label.
        rng: shuffles every pass and changes every frame a little; without one they come as they are.
    """
    while True:
        order = np.arange(len(source.targets)) if rng is None else rng.permutation(len(source.targets))
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            frames = [source.read(int(number)) for number in chosen]
            targets = source.targets[chosen]
            yield np.stack(frames if rng is None else augment(frames, rng)), targets, weights[targets]


def augment(frames: Sequence[Frames], rng: np.random.Generator) -> list[Frames]:
    """Mirror each frame or not, turn it and move it a little: (size, size, 3) uint8 each."""
    import cv2

    changed = []
    for frame in frames:
        size = frame.shape[0]
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(-TURN, TURN), 1.0)
        turn[:, 2] += rng.uniform(-SHIFT, SHIFT, 2) * size
        seen = frame[:, ::-1] if rng.random() < 0.5 else frame
        changed.append(np.asarray(cv2.warpAffine(np.ascontiguousarray(seen), turn, (size, size)), np.uint8))
    return changed
