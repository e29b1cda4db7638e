"""What would let a classifier look right without having learnt anything.

Near duplicates: clips that show nearly the same pictures, filed under different patients or labels. Shortcuts:
properties of the files that give the label away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.arrays import Frames, IntArray

Bits = NDArray[np.uint8]
Words = NDArray[np.uint64]

HASH = 24
"""Bits a side of a frame's hash. At 16 two simulated patients under one device came as near as a copy does
(0.15), since they share the sector's outline; 32 costs nearly twice the space and parts no better."""
VIEWS = 10
"""Views of a frame that are hashed: the whole, its middle, and without each edge, or each two edges that meet."""
CUT = 0.025
"""Share of a side that a view leaves out at an edge; without such views a copy cropped by 3 % is as far as 0.42."""
BLANK = 3.0
"""Standard deviation of the grey levels, 0 to 255, under which a frame shows nothing; fades and black frames have
0 to 1, the darkest picture among 119 public clips 11.6."""
SEEN = 5
"""A clip with fewer frames that show something is compared with none."""
NEAR = 0.2
"""The distance up to which two clips are near duplicates."""
COARSE, SCREEN = 8, 16
"""Pairs whose hashes differ by more than SCREEN of their COARSE x COARSE lowest frequencies are passed over."""

PROPERTIES = ("container", "size", "rate", "frames", "source", "probe", "licence")
"""The properties of files that `shortcuts` looks at."""
LEVEL, MARGIN = 0.01, 0.1
"""A property is telling when p is below LEVEL / properties (Bonferroni) and it beats chance by MARGIN."""
BATCH = 250
"""Permutations at once: 500 clips then take some tens of megabytes."""


def fingerprint(frames: Frames) -> Bits:
    """Perceptual hashes of a clip's frames, by the signs of their low frequencies (`imagehash.phash`).

    Args:
        frames: (n, size, size, 3) uint8 RGB, 20 or more, evenly spaced over the clip.

    Returns:
        (m, VIEWS, HASH * HASH / 8) uint8, packed bits: m frames of the n, for blank ones say nothing.
    """
    import imagehash
    from PIL import Image

    size = frames.shape[1]
    near, far = round(CUT * size), size - round(CUT * size)
    # The lower frequencies are all that is hashed: a smaller picture has them too and is cut and scaled sooner.
    views = [(0, 0, size, size), (near, near, far, far)]
    views += [(near, 0, size, size), (0, 0, far, size), (0, near, size, size), (0, 0, size, far)]
    views += [(near, near, size, size), (0, near, far, size), (near, 0, size, far), (0, 0, far, far)]
    hashes = np.zeros((0, VIEWS, HASH * HASH), bool)
    pictures = [Image.fromarray(frame).convert("L") for frame in frames]
    shown = [picture for picture in pictures if np.std(picture) >= BLANK]
    if shown:
        hashes = np.array([[imagehash.phash(one.crop(view), HASH, 2).hash.ravel() for view in views] for one in shown])
    return np.packbits(hashes, axis=-1)


def near_duplicates(clips: pd.DataFrame, fingerprints: Sequence[Bits], threshold: float = NEAR) -> pd.DataFrame:
    """Pairs of clips that show nearly the same pictures under different patients or labels.

    The distance of two frames is the share of their hashes' bits that differ. The distance of two clips is the one
    within which a quarter of the one's frames have a frame of the other: whichever clip and whichever view of
    either, as it is or mirrored, gives the smaller one.

    Args:
        clips: a cohort table.
        fingerprints: of its clips, in the order of the rows.
        threshold: the largest distance that is reported.

    Returns:
        One row a pair, the nearest first: path, patient, label, other_path, other_patient, other_label, distance.

    Raises:
        ValueError: there are not as many fingerprints as clips.
    """
    if len(fingerprints) != len(clips):
        raise ValueError(f"{len(fingerprints)} fingerprints of {len(clips)} clips")
    rows = np.array([row for row, one in enumerate(fingerprints) if len(one) >= SEEN], int)
    hashes = [np.ascontiguousarray(fingerprints[row]).view(np.uint64) for row in rows]
    kept = clips.iloc[rows]
    patients, labels = kept["patient"].to_numpy(), kept["label"].to_numpy()
    apart = np.triu((patients[:, None] != patients) | (labels[:, None] != labels))
    distances = np.full(apart.shape, np.inf)
    for mirror in (False, True):
        for one, other in np.argwhere(apart & (_screened(hashes, mirror) <= SCREEN)):
            distance = _distance(hashes[one] ^ _mirroring(HASH) if mirror else hashes[one], hashes[other])
            distances[one, other] = min(distances[one, other], distance)
    ones, others = np.nonzero(distances <= threshold)
    columns = ["path", "patient", "label"]
    left, right = (kept[columns].iloc[side].reset_index(drop=True) for side in (ones, others))
    pairs = pd.concat([left, right.add_prefix("other_")], axis=1).assign(distance=distances[ones, others])
    return pairs.sort_values(["distance", "path", "other_path"], ignore_index=True)


def _mirroring(side: int) -> Words:
    """What turns hashes of `side` x `side` bits into those of mirrored frames: the odd waves across change sign."""
    return np.packbits(np.arange(side * side) % 2).view(np.uint64)


def _quarter(distances: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """The distance within which a quarter of the frames, the first axis, have theirs."""
    place = math.ceil(len(distances) / 4) - 1
    return np.partition(distances, place, axis=0)[place]


def _screened(hashes: Sequence[Words], mirror: bool) -> NDArray[np.unsignedinteger]:
    """Bits of the whole frames' lowest frequencies by which each two clips differ: (clips, clips), quick to get."""
    if not hashes:
        return np.zeros((0, 0), np.uint8)
    frames = np.concatenate([one[:, 0] for one in hashes])
    bits = np.unpackbits(frames.view(np.uint8), axis=1).reshape(-1, HASH, HASH)[:, :COARSE, :COARSE]
    words = np.packbits(bits.reshape(len(bits), -1), axis=1).view(np.uint64)[:, 0]
    starts = np.cumsum([0, *map(len, hashes)])
    turn = _mirroring(COARSE) if mirror else np.uint64(0)
    found = np.stack(
        [
            _quarter(np.minimum.reduceat(np.bitwise_count((own ^ turn)[:, None] ^ words), starts[:-1], axis=1))
            for own in np.split(words, starts[1:-1])
        ]
    )
    return np.minimum(found, found.T)


def _distance(one: Words, other: Words) -> float:
    """Of two clips' hashes (frames, VIEWS, words); the whole frames of either are held against each view."""
    nearest = HASH * HASH
    for left, right in ((one[:, :1], other), (one, other[:, :1])):
        differ = np.bitwise_count(left[:, None] ^ right).sum(axis=-1, dtype=np.uint16)
        nearest = min(nearest, _quarter(differ.min(axis=1)).min(), _quarter(differ.min(axis=0)).min())
    return float(nearest) / (HASH * HASH)


def shortcuts(clips: pd.DataFrame, seed: int, permutations: int = 2000) -> pd.DataFrame:
    """How well each property of the files, alone, tells the label of a patient not seen before.

    A clip's label is guessed from the clips of other patients that share its value: the label with the largest
    share of them, all labels taken to be equally frequent. Equal shares share the guess, and so do all labels for
    a value that nobody else has. The p-value is the share of permutations, the true order among them, that do as
    well; they exchange the patients' labels, for the clips of one patient are not independent (Phipson and Smyth,
    Statistical Applications in Genetics and Molecular Biology 9, 2010: why the true order counts).

    Args:
        clips: a cohort table.
        seed: of the permutations.
        permutations: how many; below LEVEL / properties no p comes with fewer than 700.

    Returns:
        One row a property, the strongest first: property; strength, the mean of the labels' recalls; chance; p;
        telling; values, the values that point to one label almost only (3 clips, 2 patients, 90 % or more).
    """
    # The permutations are drawn for patients and clips by their place, which must not be that of the row.
    clips = clips.sort_values(["patient", "path"], ignore_index=True)
    labels, truth = np.unique(clips["label"].to_numpy(str), return_inverse=True)
    patients = np.unique(clips["patient"].to_numpy(str), return_inverse=True)[1]
    drawn = np.concatenate([truth[None], _permuted(truth, patients, permutations, seed)])
    chance = 1 / len(labels)
    rows = []
    for name, values in _properties(clips).items():
        found, codes = np.unique(values.to_numpy(str), return_inverse=True)
        batches = np.array_split(drawn, math.ceil(len(drawn) / BATCH)) if len(found) > 1 else []
        strengths = np.concatenate([_strengths(codes, patients, one, len(labels)) for one in batches] or [[chance]])
        # Sums of the same recalls may differ in the last digit.
        p = float((strengths >= strengths[0] - 1e-9).mean())
        telling = p < LEVEL / len(PROPERTIES) and strengths[0] >= chance + MARGIN
        rows.append((name, float(strengths[0]), chance, p, bool(telling), _one_sided(values, clips)))
    table = pd.DataFrame(rows, columns=["property", "strength", "chance", "p", "telling", "values"])
    return table.sort_values("strength", ascending=False, kind="stable", ignore_index=True)


def _properties(clips: pd.DataFrame) -> pd.DataFrame:
    """The values of the `PROPERTIES` as text: (clips, properties). Frames count by quarters of the cohort."""
    frames = clips["frames"]
    quarters = pd.Series(np.searchsorted(np.quantile(frames, (0.25, 0.5, 0.75)), frames), index=clips.index)
    bounds = frames.groupby(quarters)
    texts = {
        "container": clips["path"].map(lambda path: PurePath(path).suffix.lower().removeprefix(".")),
        "size": clips["width"].astype(str) + "x" + clips["height"].astype(str),
        "rate": clips["fps"].round().astype(int).astype(str),
        "frames": bounds.transform("min").astype(str) + "-" + bounds.transform("max").astype(str),
    }
    return pd.DataFrame({name: texts.get(name, clips.get(name)) for name in PROPERTIES})


def _permuted(truth: IntArray, patients: IntArray, count: int, seed: int) -> IntArray:
    """Labels after patients, in ascending order, have exchanged theirs at random: (count, clips).

    Where one has more clips than the other, labels are repeated or left out evenly.
    """
    firsts, sizes = np.unique(patients, return_index=True, return_counts=True)[1:]
    givers = np.random.default_rng(seed).permuted(np.tile(np.arange(len(sizes)), (count, 1)), axis=1)[:, patients]
    ranks = np.arange(len(patients)) - firsts[patients]
    return truth[firsts[givers] + ranks * sizes[givers] // sizes[patients]]


def _strengths(values: IntArray, patients: IntArray, labels: IntArray, count: int) -> NDArray[np.float64]:
    """The balanced accuracy of guessing by a property, for each row of labels.

    Args:
        values: (clips,) numbers of the property's values.
        patients: (clips,) numbers of the patients, in ascending order.
        labels: (draws, clips) numbers of labels.
        count: labels there are.
    """
    order = np.lexsort((patients, values))
    cells, starts = np.unique(np.stack([values, patients])[:, order], axis=1, return_index=True)
    is_label = labels[..., None] == np.arange(count)
    in_cell = np.add.reduceat(is_label[:, order], starts, axis=1, dtype=np.int32)
    in_value = np.add.reduceat(in_cell, np.unique(cells[0], return_index=True)[1], axis=1)
    of_patient = np.add.reduceat(is_label, np.unique(patients, return_index=True)[1], axis=1, dtype=np.int32)
    total = in_cell.sum(axis=1, keepdims=True)
    # Clips of a value and a patient, in_cell, are guessed alike: by the clips of the value that others have.
    others = total - of_patient[:, cells[1]]
    shares = (in_value[:, cells[0]] - in_cell) / np.maximum(others, 1)
    guessed = shares == shares.max(axis=-1, keepdims=True)
    right = (in_cell * (guessed / guessed.sum(axis=-1, keepdims=True))).sum(axis=1)
    present = total[:, 0] > 0
    return np.asarray((right / np.maximum(total[:, 0], 1)).sum(axis=1) / present.sum(axis=1), np.float64)


def _one_sided(values: pd.Series, clips: pd.DataFrame) -> str:
    """The values that point to one label almost only, as in "mpeg: healthy 24 of 24", the most frequent first."""
    texts = []
    for value, group in clips.groupby(values):
        label, most = next(iter(group["label"].value_counts().items()))
        if len(group) >= 3 and group["patient"].nunique() >= 2 and most >= 0.9 * len(group):
            texts.append((-len(group), f"{value}: {label} {most} of {len(group)}"))
    return "; ".join(text for _, text in sorted(texts))
