"""Labels of another cohort in terms of a classifier's: several of its labels may stand for one of the cohort's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lus.common.arrays import FloatArray
from lus.common.errors import BadInput


@dataclass(frozen=True)
class LabelMap:
    """What a classifier's probabilities say of a cohort's labels.

    Attributes:
        names: the labels that are told apart: the cohort's, and those of the classifier that the cohort has not.
        members: of each name the numbers of the classifier's labels that stand for it.
    """

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]

    def merge(self, probabilities: FloatArray) -> FloatArray:
        """Sum the probabilities of the labels that stand for one: (n, classifier's labels) -> (n, names)."""
        return np.stack([probabilities[:, list(own)].sum(axis=1) for own in self.members], axis=1)

    def describe(self, labels: Sequence[str]) -> dict[str, list[str]]:
        """Each name with the classifier's labels that stand for it."""
        return {name: [labels[one] for one in own] for name, own in zip(self.names, self.members, strict=True)}


def parse_options(options: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Read options such as `covid-negative=healthy,pneumonia`.

    Raises:
        BadInput: one has another form, or names a label twice.
    """
    found: dict[str, tuple[str, ...]] = {}
    for option in options:
        name, equals, rest = (part.strip() for part in option.partition("="))
        stands_for = tuple(one.strip() for one in rest.split(",") if one.strip())
        if not (name and equals and stands_for):
            raise BadInput(f"--map {option}: COHORT-LABEL=LABEL or COHORT-LABEL=LABEL,LABEL is expected; write it so")
        if name in found:
            raise BadInput(f"--map {option}: {name} was mapped already; name each label of the cohort once")
        found[name] = stands_for
    return found


def make_label_map(labels: Sequence[str], cohort_labels: Sequence[str], given: Mapping[str, Sequence[str]]) -> LabelMap:
    """Map a cohort's labels to a classifier's.

    Args:
        labels: of the classifier, in the order of its probabilities.
        cohort_labels: of the cohort's clips.
        given: label of the cohort -> labels of the classifier; a label that stands in neither means itself.

    Raises:
        BadInput: a label is not known, or one of the classifier stands for two of the cohort.
    """
    strange = sorted(given.keys() - set(cohort_labels))
    if strange:
        raise BadInput(
            f"--map names {', '.join(strange)}, and the clips have the labels {', '.join(sorted(cohort_labels))}; name "
            "one of these"
        )
    owner: dict[str, str] = {}
    for name in sorted(cohort_labels):
        for label in given.get(name, (name,)):
            if label not in labels:
                said = f"the label {name} of the clips" if label == name else f"{label}, which --map names for {name},"
                raise BadInput(
                    f"{said} is none of the classifier's, which knows {', '.join(labels)}; say what it stands for with "
                    f"--map {name}=LABEL, or leave its clips out with --leave-out {name}"
                )
            if label in owner:
                raise BadInput(
                    f"{label} stands for both {owner[label]} and {name}; each label of the classifier may stand for "
                    "one label of the cohort: change --map"
                )
            owner[label] = name
    shared = sorted(set(given) & (set(labels) - owner.keys()))
    if shared:
        raise BadInput(
            f"the label {shared[0]} of the clips stands for {', '.join(given[shared[0]])} by --map, and the classifier "
            f"has a label {shared[0]} of its own; name it in --map too, or give the clips' label another name"
        )
    names = sorted({owner.get(label, label) for label in labels})
    members = [tuple(n for n, label in enumerate(labels) if owner.get(label, label) == name) for name in names]
    return LabelMap(tuple(names), tuple(members))
