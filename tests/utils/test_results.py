"""Results are Bunches that print in few lines, whatever they contain."""

import pickle

import numpy as np
import pytest

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn._utils.results import Result
from sk_ednn.inspection import couplings, interaction_profile, locality_profile
from sk_ednn.uncertainty import novelty


@pytest.mark.parametrize(
    "value",
    [
        None, "word", 3, 2.5, True, (1, 2), [], {}, {"a": np.arange(100.0), "b": 1e-12},
        np.zeros(0), np.zeros((40, 3)), np.full(50, np.nan), np.array(["a"] * 60), np.ones((2, 3)),
        Result(inner=np.ones(3), none=None),
    ],
)  # fmt: skip
def test_each_entry_is_one_line(value):
    result = Result(first=value, second=1.0)
    assert len(repr(result).splitlines()) == 2
    assert repr(result) == str(result)
    assert max(map(len, repr(result).splitlines())) < 400
    again = pickle.loads(pickle.dumps(result))
    assert repr(again) == repr(result) and again.second == 1.0


def test_measures_print_all_of_their_entries():
    X = np.random.default_rng(0).choice([-1, 1], size=(60, 6, 6))
    model = EDNNRegressor(tiling=GridTiling(1, 1)).fit(X, X.sum(axis=(1, 2)))
    for measure in (couplings, interaction_profile, locality_profile):
        result = measure(model, X, random_state=0)
        lines = repr(result).splitlines()
        assert [line.partition(":")[0] for line in lines] == list(result)
    lines = repr(novelty(model, X[:40], X[40:], random_state=0)).splitlines()
    assert lines[0].startswith("share: [") and "0.01 is the mean" in lines[-1]
