from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lus.heads.model import LINEAR, PUBLISHED, HeadParams, build_head, feature_moments, get_published

SMALL = HeadParams(units=8, dropout=0.2, dense=(8,), learning_rate=0.01, batch=8)


def _trainable(params: HeadParams, length: int, dim: int, labels: int) -> int:
    model = build_head(params, length, dim, labels, np.zeros(dim, np.float32), np.ones(dim, np.float32))
    assert model.output_shape == (None, labels)
    return sum(int(np.prod(weights.shape)) for weights in model.trainable_variables)


def test_the_published_head_has_the_published_number_of_parameters() -> None:
    assert (PUBLISHED.units, PUBLISHED.dropout, PUBLISHED.dense) == (512, 0.4, (1024, 1024))
    assert _trainable(PUBLISHED, 20, 2048, 3) == 6_822_915


@pytest.mark.parametrize(
    ("params", "dim", "published"),
    [
        (HeadParams(units=1024, dense=(64, 256)), 4032, 20_796_483),  # NASNetLarge-LSTM
        (HeadParams(units=32, dense=(1024, 1024)), 1024, 1_221_763),  # DenseNet121-LSTM
    ],
)
def test_other_published_heads_have_their_number_of_parameters(params: HeadParams, dim: int, published: int) -> None:
    assert _trainable(params, 20, dim, 3) == published


def test_a_feature_that_never_changes_comes_out_as_zero() -> None:
    mean, variance = feature_moments(np.full((3, 4, 2), 7, np.float32))
    assert mean.tolist() == [7, 7]
    assert (variance > 0).all()


def test_parameters_survive_json() -> None:
    assert HeadParams.from_dict(SMALL.to_dict()) == SMALL
    assert HeadParams.from_dict(LINEAR.to_dict()) == LINEAR
    before = {name: value for name, value in SMALL.to_dict().items() if name not in ("kind", "pooling", "l2")}
    assert HeadParams.from_dict(before) == SMALL


def test_a_head_is_named_by_its_layers_and_says_what_plays_a_part_in_it() -> None:
    assert str(PUBLISHED) == "LSTM 512, dense 1024 1024"
    assert str(replace(SMALL, inputs="changes")) == "LSTM 8 of changes, dense 8"
    assert str(LINEAR) == "mean of frames, linear"
    assert str(replace(LINEAR, pooling="attention", inputs="both", dense=(64,))) == (
        "attention of frames and changes, dense 64"
    )
    assert PUBLISHED.to_dict().keys() - PUBLISHED.used().keys() == {"pooling"}
    assert LINEAR.to_dict().keys() - LINEAR.used().keys() == {"units"}


def test_a_linear_head_has_the_parameters_of_a_linear_classifier() -> None:
    assert _trainable(LINEAR, 20, 2048, 3) == 2048 * 3 + 3
    assert _trainable(replace(LINEAR, pooling="attention"), 20, 2048, 3) == 2048 * 3 + 3 + 2048


@pytest.mark.parametrize(
    ("feature_set", "dim", "parameters"),
    [
        ("xception-20", 2048, 6_822_915),
        ("nasnetlarge-20", 4032, 20_796_483),
        ("densenet121-20", 1024, 1_221_763),
        ("pocovidnet-5", 512, 837_251),
        ("pocovidnet-10", 512, 2_232_451),
        ("pocovidnet-20", 512, 986_371),
    ],
)
def test_the_published_heads_have_the_published_number_of_parameters(
    feature_set: str, dim: int, parameters: int
) -> None:
    length = int(feature_set.rpartition("-")[2])
    assert _trainable(get_published(feature_set), length, dim, 3) == parameters


def test_where_no_head_is_published_the_winning_one_stands_in() -> None:
    assert get_published("mobilenetv2-10") == PUBLISHED
