"""What is kept for the next run is kept under a name that knows all the code that made it."""

from __future__ import annotations

import pytest

from lus.features import compute, openvino, pretrain_parts, quantization
from lus.registry import result_identity
from lus.search import identity
from tests.imports import code_behind, dotted, file_of

WITHOUT_EFFECT = {
    "common.arrays": "names of types",
    "clips.contents": "how what is refused is worded",
    "clips.cohort": "the table of clips, of which each is named by its content",
    "common.errors": "how what is refused is worded",
    "splits.folds": "classes of row numbers, which the names hold themselves",
    "common.hashing": "the names themselves",
    "features.imagenet": "where known weights come from; the names hold the digest of the weights",
    "common.params": "classes of values, which the names hold themselves",
    "phantom": "frames that random weights and 8 bits are fitted to; the names hold the digests of weights and frames",
    "common.workers": "where work is done",
    "common.quiet": "fewer notices on the terminal",
    "features.featureset": "the features, whose digest the names hold",
    "search.close_runs": "runs in MLflow",
    "search.identity": "the names themselves",
    "search.mlflow_runs": "runs in MLflow",
    "search.mlflow_trial": "runs in MLflow",
    "search.optimize": "who runs a trial; its number, by which it is seeded, is the next one whoever does",
    "search.run_search": "processes and their threads",
    "search.storage": "where trials are kept",
    "splits.protocols": "the parts of a cohort, whose rows the names hold",
    "tracking.client": "runs in MLflow",
    "tracking.processes": "whose a trial is",
    "tracking.runs": "runs in MLflow",
}
"""Modules that no trial, feature or trained weight depends on, though what makes them imports them; and why not."""
KEPT = {
    "studies": (identity.IDENTITY, ("search.run_search", "search.optimize", "search.storage")),
    "features": (
        [module.__name__ for module in (*compute.CODE, openvino, quantization)],
        ("features.backbones", "clips.frameset", "features.openvino", "features.quantization"),
    ),
    "weights": ([module.__name__ for module in pretrain_parts.CODE], ("features.pretraining", "clips.frameset")),
}
"""What is kept for the next run, by a name that holds the code of these modules; and where that code is entered."""


def _modules_behind(entered: tuple[str, ...], without: frozenset[str]) -> set[str]:
    """These modules and all that they import, but for what only those without effect import."""
    return {dotted(path) for path in code_behind(*map(file_of, entered), without=without)}


@pytest.mark.parametrize("kept", KEPT)
def test_what_is_kept_is_named_for_all_the_code_that_makes_it(kept: str) -> None:
    hashed, entered = KEPT[kept]
    made_by = _modules_behind(entered, frozenset(WITHOUT_EFFECT)) - WITHOUT_EFFECT.keys()
    assert {f"lus.{name}" for name in made_by} == set(hashed)


def test_every_module_without_effect_on_what_is_kept_would_be_missed() -> None:
    met = {name for _, entered in KEPT.values() for name in _modules_behind(entered, frozenset(WITHOUT_EFFECT))}
    assert WITHOUT_EFFECT.keys() <= met


def test_a_versions_digest_knows_all_the_code_that_trains_and_joins_a_classifier() -> None:
    # What these make is hashed itself. The phantom has a part in random weights alone: here the CNN's are of a file.
    given = {"features.featureset", "splits.folds", "inference.metadata", "phantom", "features.imagenet"}
    given |= {"common.hashing"}
    # What is served is made of a version that exists.
    given |= {"inference.compiled", "features.openvino", "features.quantization", "heads.numpy_head"}
    behind = _modules_behind(("registry.refit",), frozenset(given))
    code = {name.removeprefix("lus.") for name in result_identity.CODE}
    # The kinds of arrays and the wording of errors change no weight.
    assert behind == code | given | {"common.arrays", "common.errors"}


def test_an_imports_digest_knows_all_the_code_that_reads_a_head_and_joins_it() -> None:
    given = {"phantom", "features.imagenet", "inference.metadata", "inference.compiled", "features.openvino"}
    given |= {"heads.numpy_head", "common.hashing", "features.quantization"}
    behind = _modules_behind(("heads.legacy", "inference.keras_model"), frozenset(given))
    code = {name.removeprefix("lus.") for name in result_identity.IMPORT_CODE}
    assert behind == code | given | {"common.arrays", "common.errors"}
