"""Columns of 2-D data and of bags, which models compare with those of the fit."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import validate_data

from ..exceptions import TilingError


def check_columns(estimator, X, systems, *, reset) -> None:
    """Compare the columns of 2-D data and bags with those of the fit.

    Parameters
    ----------
    estimator : EDNNRegressor
    X : array-like
        As users pass it.
    systems : Systems
        The same, checked.
    reset : bool
        Whether to keep the columns instead, as ``n_features_in_`` and ``feature_names_in_``.

    Raises
    ------
    ValueError
        If 2-D `X` has another width.
    TilingError
        If bags have other columns.
    """
    # scikit-learn requires 2-D X to keep its width; other fields may change their size.
    if systems.fixed_width:
        if reset or hasattr(estimator, "n_features_in_"):
            rows = systems.stacks[0].values if X is systems else X
            validate_data(estimator, rows, reset=reset, skip_check_array=True)
        return
    names = getattr(systems, "feature_names", ())
    if reset:
        for name in ("n_features_in_", "feature_names_in_"):
            vars(estimator).pop(name, None)
        if names:
            estimator.feature_names_in_ = np.array(names, dtype=object)
    elif names and hasattr(estimator, "feature_names_in_"):
        fitted = tuple(estimator.feature_names_in_)
        if names != fitted:
            raise TilingError(
                f"The model was fitted to bags with the columns {', '.join(fitted)}, in this "
                f"order, but these have {', '.join(names)}."
            )
