"""What an estimator around another has from it, and the regressors at the bottom."""

from __future__ import annotations

from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags


def with_tags_of(tags, estimator):
    """Return scikit-learn's tags with what those of another estimator say of X, y and scores."""
    inner = get_tags(estimator)
    tags.input_tags = inner.input_tags
    tags.target_tags = inner.target_tags
    tags.regressor_tags = inner.regressor_tags
    return tags


def keep_columns_of(outer, estimator) -> None:
    """Keep how many columns a fitted estimator saw, and their names, and none of an earlier fit."""
    for name in ("n_features_in_", "feature_names_in_"):
        outer.__dict__.pop(name, None)
        if hasattr(estimator, name):
            setattr(outer, name, getattr(estimator, name))


def regressors_of(estimator) -> list:
    """Return the regressors that a prediction is made of.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee or ShiftAveraged, or a search over one
        Fitted, but for an EDNNRegressor.

    Returns
    -------
    list of EDNNRegressor

    Raises
    ------
    NotFittedError, TypeError
    """
    while not hasattr(estimator, "_regressors"):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        else:
            raise TypeError(
                "ShiftAveraged is around a fitted EDNNRegressor, an EDNNCommittee or a search over "
                f"either, got {type(estimator).__name__}. In a Pipeline it takes the place of the "
                "last step: make_pipeline(transformer, ShiftAveraged(EDNNRegressor()))."
            )
    return estimator._regressors()


def regressors_within(estimator) -> list:
    """Return the regressors in any fitted estimator; none where there are none.

    Parameters
    ----------
    estimator : estimator
        Also a Pipeline, a search, a guard, or what transforms targets around any of them.

    Returns
    -------
    list of EDNNRegressor
    """
    if hasattr(estimator, "_regressors"):
        return estimator._regressors()
    if hasattr(estimator, "steps"):
        return regressors_within(estimator.steps[-1][1])
    for name in ("best_estimator_", "regressor_", "estimator_"):
        if hasattr(estimator, name):
            return regressors_within(getattr(estimator, name))
    if isinstance(estimator, FrozenEstimator):
        return regressors_within(estimator.estimator)
    members = getattr(estimator, "estimators_", ())
    return [one for member in members for one in regressors_within(member)]
