"""A study's name: it holds all that the study's results depend on.

So a search that was ended goes on where it stopped, a larger budget adds trials, other machines join in, and whatever
is changed begins a study of its own.
"""

from __future__ import annotations

import hashlib

from lus.common import hashing
from lus.common.params import Search
from lus.features.featureset import FeatureSet
from lus.heads.model import HeadParams
from lus.search.objective import StudyData
from lus.splits.folds import Part

NO_RESULT = ("trials", "seconds", "workers")
"""Parameters of the search that its trials do not depend on."""
IDENTITY = (
    *(f"lus.heads.{name}" for name in ("model", "train_step", "training")),
    *(f"lus.search.{name}" for name in ("objective", "pruner", "sampler", "space", "trials")),
)
"""The modules that propose, train and score heads."""
_LIBRARIES = ("keras", "optuna", "numpy", "tensorflow-cpu", "tensorflow")
"""That trials are proposed and heads trained by; TensorFlow comes as one of two distributions."""


def study_name(data: FeatureSet, part: Part, given: StudyData, params: Search, first: tuple[HeadParams, ...]) -> str:
    """A study's name: feature set, part, and a digest of what its trials depend on.

    That is the features, labels and patients of the part's own clips, its inner folds, the search space, seed and first
    heads, and the code and libraries that propose, train and score. The part's test clips are not in it.

    Args:
        data, part, params: what is searched, and how.
        given: to the trials.
        first: the heads that are tried first.
    """
    from importlib.metadata import distributions

    digest = hashlib.sha256(given.features[part.train].tobytes())
    own = data.clips.iloc[part.train][["clip_id", "label", "patient"]]
    libraries = [sorted({one.version for one in distributions(name=name)}) for name in _LIBRARIES]
    content = (
        given.features.shape[1:],
        given.targets[part.train].tolist(),
        given.labels,
        [(inner.train.tolist(), inner.test.tolist()) for inner in given.inner],
        own.to_csv(index=False),
        sorted(params.model_dump(exclude=set(NO_RESULT)).items()),
        first,
        hashing.hash_modules(*IDENTITY),
        libraries,
    )
    digest.update(repr(content).encode())
    return f"{data.name}/{part.name}/{digest.hexdigest()[:16]}"
