"""Densities on grids as fields, all with the same voxel."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.stored import stored
from ..exceptions import TilingError
from ..structures._densities import Density


@stored("DensityFields")
class DensityFields(TransformerMixin, BaseEstimator):
    """Turn densities on grids into fields, and reject those with another voxel.

    A tile is a number of points. Its size in Å, and the unit of sums over points, follow from the
    voxel, which is therefore part of a model. Densities of all sizes and shapes of cells are
    accepted as long as their voxels are equal up to rotations.

    Parameters
    ----------
    spin : bool, default=False
        Whether fields have two channels, density and spin density, in the last axis; pass
        ``channel_axis=-1`` to the tiling. False leaves the spin density out.
    rtol : float, default=1e-3
        Largest relative difference of the edges of voxels, and of the cosines of their angles.

    Attributes
    ----------
    voxel_ : ndarray of shape (3, 3), in Å
        Edges of the voxel of the first density of the fit.
    unit_ : str
        Unit of the values.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.encoders import DensityFields
    >>> from sk_ednn.structures import Density
    >>> small = Density(np.ones((4, 4, 4)), 0.5 * np.eye(3))
    >>> fields = DensityFields().fit([small])
    >>> fields.transform([small, small]).shape
    (2, 4, 4, 4)
    >>> fields.transform([Density(np.ones((4, 4, 5)), 0.4 * np.eye(3))])
    Traceback (most recent call last):
    ...
    sk_ednn.exceptions.TilingError: X[0] has voxels with edges of 0.4, 0.4, 0.4 Å (volume 0.064 Å³);
    the model has edges of 0.5, 0.5, 0.5 Å (volume 0.125 Å³). Compute it on a grid of that spacing,
    or call density.resampled(shape).
    """

    def __init__(self, spin=False, *, rtol=1e-3):
        self.spin = spin
        self.rtol = rtol

    def fit(self, X, y=None):
        """Store the voxel and the unit.

        Parameters
        ----------
        X : list of Density
        y : None
            Ignored.

        Returns
        -------
        self
        """
        if not isinstance(self.spin, (bool, np.bool_)) or not self.rtol >= 0:
            raise ValueError(
                f"spin must be a boolean and rtol at least 0; got {self.spin!r}, {self.rtol!r}."
            )
        densities = self._densities(X)
        self._check(densities, densities[0].voxel, densities[0].unit)
        self.voxel_, self.unit_ = densities[0].voxel.copy(), str(densities[0].unit)
        return self

    def transform(self, X):
        """Return the values as fields.

        Parameters
        ----------
        X : list of Density
            Densities of any numbers of points.

        Returns
        -------
        ndarray of shape (n_samples, n_a, n_b, n_c[, 2]), or list of such without the sample axis \
                where the numbers of points differ

        Raises
        ------
        TilingError
            If a density has another voxel or unit than those of the fit, or no spin density where
            one is needed.
        """
        check_is_fitted(self)
        densities = self._densities(X)
        self._check(densities, self.voxel_, self.unit_)
        fields = [
            np.stack([density.values, density.spin], axis=-1) if self.spin else density.values
            for density in densities
        ]
        return np.stack(fields) if len({field.shape for field in fields}) == 1 else fields

    def _densities(self, X) -> list[Density]:
        X = [X] if isinstance(X, Density) else X
        if isinstance(X, np.ndarray) and X.dtype != object:
            raise TilingError(
                f"Expected a list of Density, got an array of shape {X.shape}, whose voxel is "
                "unknown: pass sk_ednn.structures.Density(values, voxel) for each."
            )
        X = list(X)
        for k, density in enumerate(X):
            if not isinstance(density, Density):
                raise TilingError(
                    f"Expected a list of Density, got {type(density).__name__} at X[{k}]. "
                    "read_densities reads files; Density(values, voxel) takes arrays."
                )
        if not X:
            raise ValueError("Found array with 0 sample(s): expected at least one density.")
        return X

    def _check(self, densities, voxel, unit):
        for k, density in enumerate(densities):
            if not _is_equal(density.voxel, voxel, self.rtol):
                raise TilingError(
                    f"X[{k}] has voxels with {_described(density.voxel)}; the model has "
                    f"{_described(voxel)}. Compute it on a grid of that spacing, or call "
                    "density.resampled(shape)."
                )
            if density.unit != unit:
                raise TilingError(
                    f"X[{k}] has values in {density.unit}, the model in {unit}: pass the unit to "
                    "read_densities."
                )
            if self.spin and density.spin is None:
                raise TilingError(f"X[{k}] has no spin density; set spin=False without one.")

    def _try_stored(self):
        """Raise if parameters that were read from a file are invalid."""
        if not isinstance(self.unit_, str):
            raise TypeError(f"its densities have the unit {self.unit_!r}")
        values = np.zeros((2, 2, 2))
        self.transform([Density(values, self.voxel_, self.unit_, values)])

    def __sklearn_tags__(self):
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _is_equal(voxel, other, rtol) -> bool:
    """Compare two voxels up to rotations and reflections."""
    (lengths, cosines), (others, other_cosines) = map(_shape, (voxel, other))
    return np.allclose(lengths, others, rtol=rtol, atol=0) and np.allclose(
        cosines, other_cosines, rtol=0, atol=rtol
    )


def _shape(voxel):
    lengths = np.linalg.norm(voxel, axis=1)
    return lengths, (voxel @ voxel.T / np.outer(lengths, lengths))[np.triu_indices(3, 1)]


def _described(voxel) -> str:
    lengths, cosines = _shape(voxel)
    edges = ", ".join(f"{length:.4g}" for length in lengths)
    oblique = np.abs(cosines).max() > 1e-6
    angles = ", ".join(f"{angle:.4g}" for angle in np.degrees(np.arccos(cosines[::-1])))
    angles = f", angles of {angles}°" if oblique else ""
    return f"edges of {edges} Å{angles} (volume {abs(np.linalg.det(voxel)):.4g} Å³)"
