from __future__ import annotations

import numpy as np
import pytest

from lus.common.errors import BadInput
from lus.evaluation.label_map import make_label_map, parse_options

LABELS = ("covid-19", "healthy", "pneumonia")


def test_probabilities_of_labels_that_stand_for_one_are_summed() -> None:
    given = parse_options(["positive=covid-19", "negative = healthy, pneumonia"])
    found = make_label_map(LABELS, ["negative", "positive"], given)
    assert found.names == ("negative", "positive")
    merged = found.merge(np.array([[0.4, 0.35, 0.25]], np.float32))
    assert merged[0] == pytest.approx([0.6, 0.4])
    assert found.describe(LABELS) == {"negative": ["healthy", "pneumonia"], "positive": ["covid-19"]}


def test_labels_of_the_same_name_need_no_map_and_the_others_of_the_model_stay() -> None:
    found = make_label_map(LABELS, ["covid-19", "healthy"], {})
    assert found.names == ("covid-19", "healthy", "pneumonia")
    assert found.merge(np.array([[0.2, 0.3, 0.5]], np.float32)).argmax() == 2


def test_what_cannot_be_mapped_says_what_to_write() -> None:
    with pytest.raises(BadInput, match=r"label tb of the clips .* --map tb=LABEL, or .* --leave-out tb"):
        make_label_map(LABELS, ["tb", "healthy"], {})
    with pytest.raises(BadInput, match=r"flu, which --map names for tb, is none .* covid-19, healthy, pneumonia"):
        make_label_map(LABELS, ["tb"], {"tb": ["flu"]})
    with pytest.raises(BadInput, match="--map names tb, and the clips have the labels healthy"):
        make_label_map(LABELS, ["healthy"], {"tb": ["pneumonia"]})
    with pytest.raises(BadInput, match="healthy stands for both healthy and other"):
        make_label_map(LABELS, ["healthy", "other"], {"other": ["healthy"]})
    with pytest.raises(BadInput, match="has a label pneumonia of its own; name it in --map too"):
        make_label_map(LABELS, ["covid-19", "pneumonia"], {"pneumonia": ["healthy"]})


@pytest.mark.parametrize("option", ["", "a", "a=", "=b", "a=,"])
def test_an_option_of_another_form_is_refused(option: str) -> None:
    with pytest.raises(BadInput, match="COHORT-LABEL=LABEL"):
        parse_options([option])


def test_a_label_that_is_mapped_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="a was mapped already"):
        parse_options(["a=b", "a=c"])
