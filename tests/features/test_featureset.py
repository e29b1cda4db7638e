from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lus.clips import cohort
from lus.common.errors import BadInput
from lus.common.params import Folds
from lus.features import featureset
from lus.features.featureset import Info
from lus.splits import folds
from tests.feature_files import write_features

INFO = Info("xception", 4, 8, 71, 71, "random", "0" * 64)


def _clips(count: int) -> pd.DataFrame:
    return pd.DataFrame({column: ["007"] * count for column in cohort.COLUMNS})


@given(backbone=st.from_regex(r"[a-z][a-z0-9-]*[a-z0-9]", fullmatch=True), length=st.integers(1, 999))
def test_a_name_says_backbone_and_length(backbone: str, length: int) -> None:
    assert featureset.parse_name(featureset.format_name(backbone, length)) == (backbone, length)


@pytest.mark.parametrize("name", ["xception", "xception-", "-20", "xception-0", "xception-x", ""])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="names no feature set"):
        featureset.parse_name(name)


def test_where_known_weights_came_from_is_kept_and_nothing_of_others(tmp_path: Path) -> None:
    features = np.zeros((1, 4, 8), np.float32)
    for name, came_from, lineage in (("a", "", {}), ("b", "wheel x 1", {"weights_from": "wheel x 1"})):
        (tmp_path / name).mkdir()
        write_features(tmp_path / name, features, _clips(1), replace(INFO, weights_from=came_from))
        assert featureset.read(tmp_path / name).info.lineage == lineage
        assert ("weights_from" in (tmp_path / name / featureset.INFO_FILE).read_text()) == bool(came_from)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    features = np.arange(3 * 4 * 8, dtype=np.float32).reshape(3, 4, 8)
    write_features(tmp_path, features, _clips(3), INFO)
    again = featureset.read(tmp_path)
    assert (again.features == features).all()
    assert again.info == INFO
    assert again.name == "xception-4"
    assert again.clips["patient"].tolist() == ["007"] * 3


def test_features_and_clips_that_differ_in_number_are_refused(tmp_path: Path) -> None:
    write_features(tmp_path, np.zeros((3, 4, 8), np.float32), _clips(2), INFO)
    with pytest.raises(BadInput, match="holds 3 features for 2 clips"):
        featureset.read(tmp_path)


def test_a_pickle_in_the_place_of_features_is_not_opened(tmp_path: Path) -> None:
    write_features(tmp_path, np.zeros((3, 4, 8), np.float32), _clips(3), INFO)
    np.save(tmp_path / featureset.FEATURES_FILE, np.array([{"code": "x"}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        featureset.read(tmp_path)


def test_a_half_written_set_is_not_read(tmp_path: Path) -> None:
    write_features(tmp_path, np.zeros((3, 4, 8), np.float32), _clips(3), INFO)
    (tmp_path / featureset.INFO_FILE).unlink()
    with pytest.raises(BadInput, match=r"has no info\.json"):
        featureset.read(tmp_path)


def _patients(count: int) -> pd.DataFrame:
    clips = _clips(count)
    clips["label"] = ["ab"[number % 2] for number in range(count)]
    clips["patient"] = [f"p{number}" for number in range(count)]
    return clips


def test_one_backbone_for_all_is_chosen_by_every_inner_fold(tmp_path: Path) -> None:
    cut = Folds(seed=1, outer=3, inner=2)
    features = np.ones((12, 4, 8), np.float32)
    write_features(tmp_path, features, _patients(12), INFO)
    data = featureset.read(tmp_path)
    assert [len(part.inner) for part in data.parts(cut)] == [2, 2, 2, 2]
    assert (data.for_part("fold-1") == features).all()


def test_a_backbone_for_each_part_is_chosen_only_by_clips_that_it_has_not_seen(tmp_path: Path) -> None:
    cut = Folds(seed=1, outer=3, inner=2)
    features = np.ones((12, 4, 8), np.float32)
    write_features(
        tmp_path,
        features,
        _patients(12),
        replace(INFO, folds=cut.model_dump(), parts=("fold-0", "fold-1", "fold-2", "all")),
    )
    for number in range(3):
        np.save(tmp_path / featureset.features_file(f"fold-{number}"), features * (number + 1))
    data = featureset.read(tmp_path)
    parts, plain = data.parts(cut), folds.plan(data.clips, cut)
    assert [len(part.inner) for part in parts] == [1, 1, 1, 1]
    assert parts[1].inner[0].test.tolist() == plain[1].inner[0].test.tolist()
    assert (data.for_part("fold-1") == features * 2).all()
    assert (data.for_part("all") == features).all()
    with pytest.raises(BadInput, match="were trained for the folds"):
        data.parts(Folds(seed=2, outer=3, inner=2))
    (tmp_path / featureset.features_file("fold-2")).unlink()
    with pytest.raises(BadInput, match=r"has no features-fold-2\.npy; `dvc repro features` makes it"):
        featureset.read(tmp_path)
