"""Near-duplicates: clips that show nearly the same pictures, filed under different patients or labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lus.common.arrays import Frames

Bits = NDArray[np.uint8]
Words = NDArray[np.uint64]
Counts = NDArray[np.uint16]

HASH = 24
"""Bits a side of a frame's hash. At 16 two phantom patients under one device, whose sector has one outline, come as
near as copies do (0.15); 32 takes nearly twice the space and tells no more apart."""
CUT = 0.025
"""Share of a side that is left out at an edge; without cut views a copy cropped by 3 % is as far away as 0.42."""
VIEWS = ("", "lurd", "l", "u", "r", "d", "lu", "ur", "rd", "dl")
"""At which edges (left, up, right, down) each view of a frame is cut; the first is the whole frame."""
BLANK = 3.0
"""Standard deviation of the grey levels, 0 to 255, below which a frame shows nothing: the one black frame of the
public clips has 0.1, the darkest picture 11.6."""
SPREAD = 20
"""Frames of a clip that are hashed, evenly spaced, or all where it has fewer: so many that copies which were cut
differently meet, whatever the length of the sequences that are learnt from."""
MIN_FRAMES = 5
"""A clip with fewer frames that show something is compared with none."""
MAX_DISTANCE = 0.19
"""The distance up to which two clips are near duplicates.

Measured on 119 public clips and 240 of two phantoms: a copy (other codec, half the size, 50 to 70 % of the time,
brighter, darker, more contrast, gamma 0.6, 2 or 3 % cropped, mirrored, every second frame) is at most 0.170 from its
original, and 0.184 where five of these meet. Different patients are 0.226 apart or more, and 0.212 in the phantoms,
but for two pairs of public clips that plainly show one place of one body, 0.118 and 0.146 apart.
"""
COARSE, SCREEN = 8, 15
"""Clips whose hashes differ by more than SCREEN of their COARSE x COARSE lowest frequencies are not looked at more
closely; those copies differ by 14 or less."""


def hash_frames(frames: Frames) -> Bits:
    """Perceptual hashes of a clip's frames: the signs of their lowest frequencies (`imagehash.phash`).

    Args:
        frames: (n, size, size, 3) uint8 RGB, evenly spaced over the clip, `SPREAD` or all of them.

    Returns:
        (m, views, HASH * HASH / 8) uint8, packed bits; m of the n frames, for blank ones say nothing.
    """
    import imagehash
    from PIL import Image

    size, cut = frames.shape[1], CUT * frames.shape[1]
    edges = [[cut * (edge in view) for edge in "lurd"] for view in VIEWS]
    boxes = [(left, up, size - right, size - down) for left, up, right, down in edges]
    hashes = []
    for frame in frames:
        grey = Image.fromarray(frame).convert("L")
        if np.asarray(grey).std() >= BLANK:
            # To the size that phash takes with a factor of 2; with a gap of 1.5 in a third of the time.
            small = [grey.resize((2 * HASH, 2 * HASH), Image.Resampling.LANCZOS, box, 1.5) for box in boxes]
            hashes.append([imagehash.phash(view, HASH, 2).hash.ravel() for view in small])
    return np.packbits(np.array(hashes, bool).reshape(-1, len(VIEWS), HASH * HASH), axis=-1)


def find_near_duplicates(
    clips: pd.DataFrame, fingerprints: Sequence[Bits], threshold: float = MAX_DISTANCE
) -> pd.DataFrame:
    """Pairs of clips that show nearly the same pictures under different patients or labels.

    The distance of two frames is the share of their hashes' bits that differ. The distance of two clips is the one
    within which a quarter of the frames of one have a frame of the other: of whichever clip and in whichever view
    of one of them, mirrored or not, makes it the smallest.

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
        raise ValueError(f"{len(fingerprints)} fingerprints were given for {len(clips)} clips")
    rows = [row for row, one in enumerate(fingerprints) if len(one) >= MIN_FRAMES]
    kept = clips.iloc[rows][["path", "patient", "label"]]
    words = [np.ascontiguousarray(fingerprints[row]).view(np.uint64) for row in rows]
    # numpy adds up along the first axis twice as fast as along the last.
    hashes = [np.ascontiguousarray(np.moveaxis(one, -1, 0)) for one in words]
    patients, labels = kept["patient"].to_numpy(str), kept["label"].to_numpy(str)
    apart = np.triu((patients[:, None] != patients) | (labels[:, None] != labels))
    distances = np.full(apart.shape, np.inf)
    for mirror in (False, True) if rows else ():
        for one, other in np.argwhere(apart & (_screen(hashes, mirror) <= SCREEN)):
            distance = _distance(_mirror(hashes[one], HASH) if mirror else hashes[one], hashes[other])
            distances[one, other] = min(distances[one, other], distance)
    ones, others = np.nonzero(distances <= threshold)
    left, right = (kept.iloc[side].reset_index(drop=True) for side in (ones, others))
    pairs = pd.concat([left, right.add_prefix("other_")], axis=1).assign(distance=distances[ones, others])
    return pairs.sort_values(["distance", "path", "other_path"], ignore_index=True)


def find_identical_files(clips: pd.DataFrame) -> pd.DataFrame:
    """Pairs of files with the same content under different patients or labels.

    Args:
        clips: clip_id, path, patient, label of all files, those among them that were left out as copies.

    Returns:
        As `find_near_duplicates`, with a distance of 0: the first file of each content with each further one.
    """
    columns = ["path", "patient", "label"]
    clips = clips.reset_index(drop=True)
    first = clips.groupby("clip_id", sort=False)[columns].transform("first")
    apart = (first["patient"] != clips["patient"]) | (first["label"] != clips["label"])
    left, right = (side.loc[apart, columns].reset_index(drop=True) for side in (first, clips))
    return pd.concat([left, right.add_prefix("other_")], axis=1).assign(distance=0.0)


def find_duplicates(files: pd.DataFrame, clips: pd.DataFrame, fingerprints: Sequence[Bits]) -> pd.DataFrame:
    """Pairs of clips under different patients or labels: identical files, then near-duplicates.

    Args:
        files: as for `find_identical_files`.
        clips, fingerprints: as for `find_near_duplicates`.
    """
    return pd.concat([find_identical_files(files), find_near_duplicates(clips, fingerprints)], ignore_index=True)


def group_patients(clips: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    """The patients of a cohort, those under one name that near-duplicate clips connect.

    Such patients show one scan, so that to train on one and to test another asks what was told.

    Args:
        clips: a cohort table.
        pairs: clips, of `find_duplicates`; their patients may have no clip in the table.

    Returns:
        (n,) the patient of each clip, or the names of those that belong together, joined by " + ".
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sides = [clips["patient"], pairs["patient"], pairs["other_patient"]]
    names, number = np.unique(np.concatenate([side.to_numpy(str) for side in sides]), return_inverse=True)
    own, ones, others = np.split(number, np.cumsum([len(side) for side in sides])[:-1])
    links = coo_array((np.ones(len(pairs)), (ones, others)), shape=(len(names), len(names)))
    group = connected_components(links, directed=False)[1]
    there = np.unique(own)
    return [" + ".join(names[there[group[there] == group[one]]]) for one in own]


def _mirror(words: Words, side: int) -> Words:
    """Hashes (words, ...) of `side` x `side` bits as those of mirrored frames: odd waves across change their sign."""
    odd = np.packbits(np.arange(side * side) % 2).view(np.uint64)
    return words ^ odd.reshape(-1, *[1] * (words.ndim - 1))


def _nearest_quarter(distances: Counts) -> Counts:
    """The distance within which a quarter of the frames, the first axis, have theirs."""
    place = math.ceil(len(distances) / 4) - 1
    return np.asarray(np.partition(distances, place, axis=0)[place], np.uint16)


def _screen(hashes: Sequence[Words], mirror: bool) -> Counts:
    """By how many bits each two clips differ in the lowest frequencies of whole frames: (clips, clips)."""
    whole = np.ascontiguousarray(np.concatenate([one[:, :, 0] for one in hashes], axis=1).T)
    bits = np.unpackbits(whole.view(np.uint8), axis=1).reshape(-1, HASH, HASH)[:, :COARSE, :COARSE]
    words = np.packbits(bits.reshape(len(bits), -1), axis=1).view(np.uint64).T
    starts = np.cumsum([0, *(one.shape[1] for one in hashes)])
    found = []
    for own in np.split(_mirror(words, COARSE) if mirror else words, starts[1:-1], axis=1):
        differ = np.bitwise_count(own.T ^ words)
        found.append(_nearest_quarter(np.minimum.reduceat(differ, starts[:-1], axis=1)))
    return np.minimum(found, np.transpose(found))


def _distance(one: Words, other: Words) -> float:
    """Of two clips, (words, frames, views); the whole frames of each are held against every view of the other."""
    nearest = HASH * HASH
    for left, right in ((one[:, :, :1], other), (one, other[:, :, :1])):
        differ = np.bitwise_count(left[:, :, None] ^ right[:, None]).sum(axis=0, dtype=np.uint16)
        nearest = min(nearest, _nearest_quarter(differ.min(axis=1)).min(), _nearest_quarter(differ.min(axis=0)).min())
    return float(nearest) / (HASH * HASH)
