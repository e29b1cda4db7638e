from __future__ import annotations

from dataclasses import replace

from lus.common import params_file
from lus.registry.validation_gate import judge_validations
from lus.registry.validations import ValidatedVersion, Validation
from tests.conftest import ROOT
from tests.versions import predictions

PROMOTE = params_file.load_params(ROOT / "params.yaml").promote.model_copy(update={"validation": ("icu",)})


def _validated(wrong: int, low: float = 0.7, digest: str = "d", patients: int = 100) -> ValidatedVersion:
    """A version that is wrong on so many of the patients of the cohort `icu`."""
    accuracy = 1 - wrong / patients
    one = Validation("icu", digest, "{}", patients, patients, 0, True, 0, accuracy, low, 1.0, 0.5, "run", "2026-01-01")
    return ValidatedVersion(one, predictions(wrong, patients))


GOOD = _validated(5)


def _verdict(own: ValidatedVersion | None, champion: str | None = None, theirs: ValidatedVersion | None = None) -> str:
    """What is said where it does not pass; empty where it does."""
    (found,) = judge_validations(
        {} if own is None else {"icu": own}, champion, {} if theirs is None else {"icu": theirs}, PROMOTE
    )
    return "" if found.passed else found.found


def test_a_version_that_was_validated_on_each_named_cohort_passes() -> None:
    assert _verdict(GOOD) == ""
    assert _verdict(GOOD, "1", _validated(8)) == ""
    assert judge_validations({"icu": GOOD}, None, {}, PROMOTE.model_copy(update={"validation": ()})) == []


def test_what_was_not_validated_or_is_no_better_than_one_label_does_not() -> None:
    assert "not validated there; `lus validate VERSION FOLDER --name icu`" in _verdict(None)
    assert "not shown to be better than that" in _verdict(_validated(5, low=0.5))
    nowhere = replace(GOOD, validation=replace(GOOD.validation, low=None))
    assert "not shown to be better" in _verdict(nowhere)


def test_few_patients_and_unknown_training_clips_do_not() -> None:
    assert "at least 20 patients are needed" in _verdict(_validated(0, patients=19))
    unknown = replace(GOOD, validation=replace(GOOD.validation, training_known=False))
    assert "not known which clips the version was trained on" in _verdict(unknown)
    blind = replace(GOOD, validation=replace(GOOD.validation, not_compared=3, low=0.4))
    assert "copies of 3 training clips were not looked for" in _verdict(blind)


def test_a_champion_that_is_better_there_or_was_asked_other_clips_holds_it_up() -> None:
    assert "accuracy 0.700 against 0.950 of version 1" in _verdict(_validated(30), "1", GOOD)
    assert "`lus validate 1 FOLDER --name icu`" in _verdict(GOOD, "1", None)
    assert "validated on other clips" in _verdict(GOOD, "1", _validated(5, digest="e"))
    mapped = replace(GOOD, validation=replace(GOOD.validation, label_map='{"a": ["b"]}'))
    assert "validated on other clips or labels" in _verdict(GOOD, "1", mapped)
