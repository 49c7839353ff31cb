"""Axes, windows and predictions of fields on grids."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from .._utils.wording import with_article
from ..estimators._unwrap import FittedTerm, fitted_term
from ..exceptions import TilingError
from ..fields import _channels as channels


def grid_axes(tiling, ndim) -> list[int]:
    """Return the axes of a field with `ndim` axes, without its channel axis."""
    return channels.grid_axes(tiling.channel_axis, ndim)


def focus_mask(tiling, tile_shape, n_axes) -> np.ndarray:
    """Return a mask of the focus within a window, bool of shape (*window)."""
    mask = np.zeros(tile_shape[:n_axes], dtype=bool)
    mask[tiling.focus_sites(tile_shape)] = True
    return mask


def predict_list(model, samples) -> np.ndarray:
    """Predict fields as a list: scikit-learn would not let a 2-D array change its width."""
    return np.asarray(model.predict(list(samples)), dtype=float)


def grid_term(estimator, X, term, caller) -> FittedTerm:
    """Return one term of a fitted model of fields; see `fitted_term`.

    Raises
    ------
    TilingError
        If the model was fitted to other systems, such as bags or structures.
    """
    fitted = fitted_term(estimator, X, term)
    require_grid(fitted.tiling, caller)
    return fitted


def require_index(name, index, n) -> None:
    """Raise ValueError unless `index` is that of one of n items, counted from either end."""
    if not isinstance(index, Integral) or isinstance(index, bool) or not -n <= index < n:
        raise ValueError(f"{name} must be an integer from 0 to {n - 1}, got {index!r}.")


def require_grid(tiling, caller) -> None:
    """Raise TilingError unless tiles are on a grid."""
    if isinstance(tiling, type):
        raise TilingError(
            f"{caller} needs an instance, such as {tiling.__name__}(), got the class."
        )
    if not tiling.is_grid:
        raise TilingError(
            f"{caller} needs a model of fields on a grid, with a GridTiling; this one has "
            f"{with_article(type(tiling).__name__)}."
        )
