"""Sizes of systems, in sites or atoms, as a fitted estimator counts them."""

from __future__ import annotations

import numpy as np

from ._unwrap import _INNER, unwrap_search


def sizes_of(estimator, X) -> np.ndarray:
    """Return the number of atoms of structures, or of sites or rows of other systems.

    Parameters
    ----------
    estimator : fitted estimator
        Also a Pipeline, a committee, or another estimator around an `EDNNRegressor`. Around none,
        all systems have size 1.
    X : systems that it predicts

    Returns
    -------
    ndarray of shape (n_samples,)

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.estimators._sizes import sizes_of
    >>> fields = np.eye(8)
    >>> sizes_of(EDNNRegressor().fit(fields, np.ones(8)), fields[:3])
    array([8., 8., 8.])
    """
    if isinstance(X, (list, tuple)) and X and hasattr(X[0], "numbers"):
        return np.array([float(len(structure.numbers)) for structure in X])
    estimator = unwrap_search(estimator)
    if hasattr(estimator, "tile_model_"):
        tile_model, tiling = estimator.fitted_terms()[0]
        sizes = np.asarray(estimator.check_systems(X).sizes, dtype=float)
        has_channels = tiling.is_grid and tiling.channel_axis is not None
        return sizes / (tile_model.tile_shape[-1] if has_channels else 1)
    if hasattr(estimator, "steps"):
        front, last = estimator[:-1], estimator.steps[-1][1]
        return sizes_of(last, front.transform(X) if len(front) else X)
    inner = [getattr(estimator, name) for name in _INNER if hasattr(estimator, name)]
    inner += list(getattr(estimator, "estimators_", ()))[:1]
    return sizes_of(inner[0], X) if inner else np.ones(len(X))
