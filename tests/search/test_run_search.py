from __future__ import annotations

from lus.heads.model import LSTM, POOL
from lus.search import run_search
from tests.small_runs import ALL


def test_the_linear_head_is_tried_with_each_of_the_inputs_before_any_is_drawn() -> None:
    published, *linear = run_search._first_heads("xception-20", ALL.search)
    assert (published.kind, published.inputs) == (LSTM, "frames")
    assert [(head.kind, head.dense, head.inputs) for head in linear] == [
        (POOL, (), inputs) for inputs in ALL.search.inputs
    ]
    of_changes = ALL.search.model_copy(update={"inputs": ("changes",), "heads": (LSTM,)})
    assert [head.inputs for head in run_search._first_heads("xception-20", of_changes)] == ["changes"]
