"""What is reached without a CNN's sequence: guessing, and classifiers of single frames.

Each answers probabilities (n_test, labels) for the clips of `test`, from those of `train` alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lus.common.arrays import FloatArray, IntArray

STRENGTH = 0.01
"""Inverse of the penalty on the weights of the linear classifiers: they have more inputs than there are clips."""
ITERATIONS = 1000


def majority(targets: IntArray, train: IntArray, test: IntArray, labels: int) -> FloatArray:
    """Each label is as probable as it is frequent in the training clips: the most frequent is the answer.

    Args:
        targets: (n,) numbers of labels.
        train, test: row numbers.
        labels: how many there are.

    Returns:
        (n_test, labels).
    """
    shares = np.bincount(targets[train], minlength=labels) / len(train)
    return np.tile(shares, (len(test), 1)).astype(np.float32)


def by_property(values: pd.Series, targets: IntArray, train: IntArray, test: IntArray, labels: int) -> FloatArray:
    """Guess by a property of the file alone, as its source or container (`shortcuts.get_containers`).

    A label is as probable as it is among the training clips of the same value and one more clip that has the labels
    of all of them: a value that no training clip has says nothing.

    Args:
        values: (n,) of the property.
        targets: (n,) numbers of labels.
        train, test: row numbers; a patient whose clips stand in both gives the answer away.
        labels: how many there are.

    Returns:
        (n_test, labels).
    """
    codes, found = pd.factorize(values.astype(str))
    shares = np.bincount(targets[train], minlength=labels) / len(train)
    counts = np.zeros((len(found), labels))
    np.add.at(counts, (codes[train], targets[train]), 1)
    probabilities = (counts + shares) / (counts.sum(axis=1, keepdims=True) + 1)
    return np.asarray(probabilities[codes[test]], np.float32)


def averaged_features(
    features: FloatArray, targets: IntArray, train: IntArray, test: IntArray, labels: int
) -> FloatArray:
    """A linear classifier of a clip's mean features.

    Args:
        features: (n, length, dim).
        targets: (n,) numbers of labels.
        train, test: row numbers.
        labels: how many there are.

    Returns:
        (n_test, labels).
    """
    means = features.mean(axis=1)
    return _linear(means[train], targets[train], means[test], labels)


def frame_wise(
    features: FloatArray, targets: IntArray, train: IntArray, test: IntArray, labels: int
) -> tuple[FloatArray, FloatArray]:
    """A linear classifier of single frames; the frames of a clip then vote, or their probabilities are averaged.

    Args:
        features: (n, length, dim).
        targets: (n,) numbers of labels.
        train, test: row numbers.
        labels: how many there are.

    Returns:
        The share of the frames that vote for each label, and the mean probabilities: both (n_test, labels).
    """
    length, dim = features.shape[1:]
    of_frames = np.repeat(targets[train], length)
    flat = _linear(features[train].reshape(-1, dim), of_frames, features[test].reshape(-1, dim), labels)
    frames = flat.reshape(len(test), length, labels)
    votes = np.eye(labels, dtype=np.float32)[frames.argmax(axis=-1)]
    return votes.mean(axis=1), frames.mean(axis=1)


def shuffled(features: FloatArray, seed: int) -> FloatArray:
    """The same features (n, length, dim) with the frames of each clip in an order of its own, drawn at random."""
    order = np.random.default_rng(seed).random(features.shape[:2]).argsort(axis=1)
    return np.take_along_axis(features, order[..., None], axis=1)


def _linear(train: FloatArray, targets: IntArray, test: FloatArray, labels: int) -> FloatArray:
    """Multinomial logistic regression on standardised inputs: (n_test, labels)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probabilities = np.zeros((len(test), labels), np.float32)
    present = np.unique(targets)
    if len(present) == 1:
        probabilities[:, present] = 1
        return probabilities
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=ITERATIONS))
    probabilities[:, present] = model.fit(train, targets).predict_proba(test)
    return probabilities
