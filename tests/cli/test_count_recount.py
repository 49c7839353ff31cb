"""Pictures to count by hand first."""

import numpy as np
import pytest

from sk_ednn.cli._count_recount import recount_first


def row_of(name, total, half, **more):
    return {"name": name, "total": total, "low": total - half, "high": total + half,
            "spread": 0.0, "novelty": 0.5, "flag": "", "beyond": "", **more}  # fmt: skip


@pytest.mark.parametrize("shuffled", range(3))
def test_pictures_to_recount_are_the_flagged_ones_and_then_the_least_sure(shuffled):
    rows = [
        row_of("odd", 50.0, 5.0, flag="unlike", novelty=1.4),
        row_of("odder", 50.0, 5.0, flag="unlike", novelty=3.0, beyond="less"),
        row_of("full", 150.0, 10.0, flag="range", beyond="more"),
        row_of("split", 80.0, 8.0, spread=9.0),
        row_of("few", 10.0, 3.0),
        row_of("many", 100.0, 9.0),
    ]
    np.random.default_rng(shuffled).shuffle(rows)
    said = recount_first(rows)
    places = [said.index(f"{name} (") for name in ("odder", "odd", "full")]
    assert places == sorted(places) and "split" not in said
    assert "odder (unlike the pictures of the fit, emptier than all" in said
    said = recount_first([row for row in rows if not row["flag"]])
    places = [said.index(f"{name} (") for name in ("split", "few")]
    assert places == sorted(places) and "many" not in said
    assert "split (the averaged models differ)" in said and "few (interval ± 30 %)" in said


def test_nothing_is_to_be_recounted_first_without_a_reason():
    unknown = {"low": None, "high": None}
    assert recount_first([]) == ""
    assert recount_first([row_of("a", 5.0, 1.0)]) == ""
    assert recount_first([row_of(name, 5.0, 1.0, **unknown) for name in "ab"]) == ""
    said = recount_first([row_of(str(k), 5.0, 1.0, flag="range", beyond="more") for k in range(8)])
    assert "3 more that are flagged" in said
    both = row_of("two", np.array([5.0, 0.0]), np.array([1.0, 2.0]), spread=np.zeros(2))
    narrow = row_of("narrow", np.array([50.0, 40.0]), np.array([1.0, 2.0]), spread=np.zeros(2))
    assert recount_first([both, narrow, narrow]) == "recount first: two (interval ± 200 %)"
    assert recount_first([both, both]) == ""
