from __future__ import annotations

import numpy as np
import pandas as pd

from lus.metrics.strata import tabulate_strata


def test_each_property_that_varies_is_cut_and_small_strata_are_marked() -> None:
    clips = pd.DataFrame(
        {
            "source": ["a"] * 24 + ["b"] * 4,
            "probe": "convex",
            "width": 640,
            "height": 480,
            "label": ["sick", "well"] * 14,
        }
    )
    targets = np.arange(28) % 2
    given = np.eye(2, dtype=np.float32)[targets]
    given[24:] = given[24:, ::-1]  # wrong wherever the source is b
    groups = np.array([f"p{one // 2}" for one in range(28)], object)
    found = tabulate_strata(clips, targets, given, groups, ["sick", "well"], 0.95)
    rows = {(one.by, one.stratum): one for one in found.itertuples()}
    assert {by for by, _ in rows} == {"source", "label"}
    assert (rows["source", "a"].accuracy, rows["source", "b"].accuracy) == (1.0, 0.0)
    assert (rows["source", "b"].clips, rows["source", "b"].patients) == (4, 2)
    assert (rows["source", "a"].small, rows["source", "b"].small) == (False, True)
    assert rows["label", "sick"].accuracy == 24 / 28
    table = found.set_index(["by", "stratum"])
    of_a = table.loc[("source", "a")]
    assert (of_a["sensitivity.sick"], table.loc[("source", "b"), "sensitivity.well"]) == (1.0, 0.0)
    assert 0 < of_a["sensitivity.sick.low"] < 1  # all right is not certain
    # By label they would say the accuracy again.
    assert table.loc["label", [name for name in found if name.startswith("sensitivity")]].isna().all(axis=None)
