"""What an estimator around another has from it."""

from __future__ import annotations

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
