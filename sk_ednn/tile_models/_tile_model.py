"""Tile models that are scikit-learn regressors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.steps import as_arrays, as_floats, front_and_last, transformed
from .._utils.stored import stored
from ._base import AbstractTileModel, checked_outputs, flat
from ._degree import polynomial_degree
from ._gradients import prediction_gradient
from ._polynomials import polynomial_outputs, products_of
from ._resolution import rounded


@stored("TileModel")
@dataclass(frozen=True, eq=False)
class TileModel(AbstractTileModel):
    """A fitted regressor, or a Pipeline that ends in one, applied to tiles as rows of features.

    Attributes
    ----------
    estimator, tile_shape, n_outputs, has_channels, scale, baseline
        See `AbstractTileModel`.
    resolution : ndarray of shape tile_shape or None, default=None
        Steps to which tiles are rounded before the estimator sees them; see `_resolution`.
    """

    resolution: Any = None

    @property
    def degree(self) -> int | None:
        """Degree of contributions as polynomials of the values of a tile, None if unknown."""
        return None if self.resolution is not None else polynomial_degree(self.estimator)

    def _outputs(self, tiles) -> np.ndarray:
        return outputs_of_rows(self, rounded(tiles, self.resolution))

    def _input_gradients(self, tiles) -> np.ndarray:
        return gradients_of_rows(self, tiles)


def outputs_of_rows(tile_model, tiles) -> np.ndarray:
    """Return the predictions of a tile model's regressor, shape (n_tiles, n_outputs)."""
    front, last = front_and_last(tile_model.estimator)
    with as_arrays():
        outputs = None
        if front and products_of(front[-1]) is not None:
            rows = transformed(front[:-1], flat(tiles)) if front[1:] else as_floats(flat(tiles))
            outputs = polynomial_outputs(front[-1], last, rows)
        if outputs is None or not np.isfinite(outputs).all():
            outputs = last.predict(transformed(front, flat(tiles)))
    return checked_outputs(outputs, len(tiles), tile_model.n_outputs, tile_model.estimator)


def gradients_of_rows(tile_model, tiles) -> np.ndarray:
    """Return the gradient of the first output with respect to each tile, in units of y."""
    gradients = prediction_gradient(tile_model.estimator, flat(tiles))
    return gradients.reshape(np.shape(tiles)) * float(np.ravel(tile_model.scale)[0])
