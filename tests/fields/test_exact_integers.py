"""Integers that double precision rounds are refused, whatever numpy makes of what they are in."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.fields._exact_integers import require_doubles_among_floats
from sk_ednn.metrics import extensive_errors

LARGE = 2**53 + 1
X = np.arange(24.0).reshape(6, 4) % 5
MIXED = [0.5, 1, 2, LARGE, 4, 5]


def model():
    return EDNNRegressor(Ridge(), GridTiling(1))


USES = {
    "totals": lambda values: model().fit(X, values),
    "rows of totals": lambda values: model().fit(X, [[value, 1] for value in values]),
    "weights": lambda values: model().fit(X, X.sum(axis=1), sample_weight=values),
    "groups": lambda values: model().fit(X, X.sum(axis=1), groups=values),
    "fields": lambda values: model().fit([[value, 1, 2, 3] for value in values], X.sum(axis=1)),
    "gradients": lambda values: model().fit(
        X, X.sum(axis=1), gradient=[[value, 1, 2, 3] for value in values]
    ),
    "scores": lambda values: model().fit(X, X.sum(axis=1)).score(X, values),
    "errors": lambda values: extensive_errors(values, np.ones(6), np.full(6, 4)),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("integer", [int, np.int64, np.uint64])
def test_integers_beside_floats_in_lists(use, integer):
    with pytest.raises(ValueError, match="integer of 54 bits at"):
        USES[use]([*MIXED[:3], integer(LARGE), *MIXED[4:]])
    if use != "groups":
        USES[use]([*MIXED[:3], integer(LARGE - 1), *MIXED[4:]])  # a double


@pytest.mark.parametrize(
    "table",
    [
        lambda pd: pd.DataFrame({"a": [LARGE, *range(5)], "b": [0.5] * 6}),
        lambda pd: pd.DataFrame({"a": pd.array([LARGE, *range(5)], "Int64"), "b": [0.5] * 6}),
        lambda pd: pd.Series([LARGE, *range(5)], dtype="Int64"),
        lambda pd: pd.Series([LARGE, 0.5, *range(4)], dtype=object),
    ],
)
def test_tables_whose_columns_scikit_learn_makes_floats_of(table):
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"beyond 2\*\*53|integer of 54 bits"):
        model().fit(X, table(pd))


def test_fields_of_objects():
    fields = [np.array([LARGE, 0.5, 1], dtype=object)] * 3
    with pytest.raises(ValueError, match=r"X\[0\] contains an integer of 54 bits at \[0\]"):
        model().fit(fields, np.ones(3))


@given(st.lists(st.one_of(st.integers(), st.floats(allow_nan=False)), min_size=1))
@settings(deadline=None)
def test_a_list_is_refused_exactly_if_a_number_would_change(values):
    def kept(value):
        try:
            return Fraction(value) == Fraction(float(value))
        except OverflowError:  # an infinity, or more than any double
            return isinstance(value, float)

    if np.asarray(values).dtype.kind != "f" or all(map(kept, values)):
        require_doubles_among_floats(values, "y")
    else:
        with pytest.raises(ValueError, match="double precision rounds or cannot contain"):
            require_doubles_among_floats(values, "y")
