"""Tags and feature names that an estimator copies from the one inside it."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.utils import get_tags

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.uncertainty import NoveltyGuard

OUTER = (EDNNCommittee, ShiftAveraged, NoveltyGuard)


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", [EDNNRegressor(), Ridge()], ids=["regressor", "ridge"])
def test_tags_are_those_of_the_estimator(outer, inner):
    tags, expected = get_tags(outer(inner)), get_tags(inner)
    assert tags.input_tags == expected.input_tags
    assert tags.target_tags == expected.target_tags
    assert tags.regressor_tags == expected.regressor_tags
    assert tags.estimator_type == "regressor"
    if outer is not NoveltyGuard:
        assert get_tags(outer()).input_tags.three_d_array


@pytest.mark.parametrize("outer", [EDNNCommittee, ShiftAveraged])
def test_feature_names_are_those_of_the_last_fit(outer):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    wide, square = rng.normal(size=(12, 6)), rng.normal(size=(12, 4, 4))
    model = outer(EDNNRegressor(Ridge(), GridTiling(2, 0)))
    table = pd.DataFrame(wide, columns=list("abcdef"))
    assert model.fit(table, wide.sum(axis=1)).feature_names_in_.tolist() == list("abcdef")
    assert model.fit(wide, wide.sum(axis=1)).n_features_in_ == 6
    assert not hasattr(model, "feature_names_in_")
    assert not hasattr(model.fit(square, square.sum(axis=(1, 2))), "n_features_in_")
