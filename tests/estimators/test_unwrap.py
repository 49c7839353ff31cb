"""What an estimator around another has from it: its tags, and the columns it was fitted to."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.estimators._unwrap import regressors_of
from sk_ednn.uncertainty import NoveltyGuard

OUTER = (EDNNCommittee, ShiftAveraged, NoveltyGuard)


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", [EDNNRegressor(), Ridge()], ids=["regressor", "ridge"])
def test_tags_are_those_of_the_estimator(outer, inner):
    tags, known = get_tags(outer(inner)), get_tags(inner)
    assert tags.input_tags == known.input_tags
    assert tags.target_tags == known.target_tags
    assert tags.regressor_tags == known.regressor_tags
    assert tags.estimator_type == "regressor"
    if outer is not NoveltyGuard:
        assert get_tags(outer()).input_tags.three_d_array


@pytest.mark.parametrize("outer", [EDNNCommittee, ShiftAveraged])
def test_columns_are_those_of_the_last_fit(outer):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    wide, square = rng.normal(size=(12, 6)), rng.normal(size=(12, 4, 4))
    model = outer(EDNNRegressor(Ridge(), GridTiling(2, 0)))
    table = pd.DataFrame(wide, columns=list("abcdef"))
    assert model.fit(table, wide.sum(axis=1)).feature_names_in_.tolist() == list("abcdef")
    assert model.fit(wide, wide.sum(axis=1)).n_features_in_ == 6
    assert not hasattr(model, "feature_names_in_")
    assert not hasattr(model.fit(square, square.sum(axis=(1, 2))), "n_features_in_")


def test_regressors_are_found_at_any_depth():
    X = np.random.default_rng(0).normal(size=(12, 4, 4))
    y = X.sum(axis=(1, 2))
    single = EDNNRegressor(Ridge(), GridTiling(2, 0))
    committee = EDNNCommittee(ShiftAveraged(single, 2), n_members=3, random_state=0).fit(X, y)
    search = GridSearchCV(committee, {"estimator__n_shifts": [2]}, cv=2).fit(X, y)
    for model in (committee, FrozenEstimator(committee), search, FrozenEstimator(search)):
        members = getattr(model, "best_estimator_", model).estimators_
        assert regressors_of(model) == [member.estimator_ for member in members]
    assert regressors_of(single) == [single]
    for unfitted in (EDNNCommittee(single), ShiftAveraged(single)):
        with pytest.raises(NotFittedError):
            regressors_of(unfitted)
    with pytest.raises(TypeError, match="got Ridge"):
        regressors_of(FrozenEstimator(Ridge().fit(X[:, 0], y)))
