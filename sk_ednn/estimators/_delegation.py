"""Copy tags and feature names from an inner estimator to the one around it."""

from __future__ import annotations

from sklearn.utils import get_tags


def with_tags_of(tags, estimator):
    """Return scikit-learn's tags with the input, target and regressor tags of another estimator."""
    inner = get_tags(estimator)
    tags.input_tags = inner.input_tags
    tags.target_tags = inner.target_tags
    tags.regressor_tags = inner.regressor_tags
    return tags


def copy_feature_names(outer, estimator) -> None:
    """Copy `n_features_in_` and `feature_names_in_`; remove those of an earlier fit."""
    for name in ("n_features_in_", "feature_names_in_"):
        outer.__dict__.pop(name, None)
        if hasattr(estimator, name):
            setattr(outer, name, getattr(estimator, name))
