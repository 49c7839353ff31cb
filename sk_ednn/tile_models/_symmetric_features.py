"""Features of tiles that are equal for a tile and its images under a point group."""

from __future__ import annotations

from math import prod
from numbers import Integral

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.steps import as_arrays, dense
from .._utils.stored import stored
from ..exceptions import TileModelError
from ._gradients import _pulled_through_monomials
from ._point_groups import checked_symmetries, site_permutations

# Products of tiles at a time: there may be many more than features.
_PRODUCTS = 1 << 22


@stored("SymmetricFeatures", derived=("_orbits",))
class SymmetricFeatures(TransformerMixin, BaseEstimator):
    """Average the features of a tile over its rotations and reflections.

    If the energy of a lattice does not depend on its orientation, a linear model of these features
    has the same property exactly, and fewer unknowns, so that fewer labels suffice. No rotated
    copies of samples are made, none of which could thus be held out while another is trained on.

    Parameters
    ----------
    transformer : transformer, default=None
        Of tiles, without y. None for ``PolynomialFeatures(2)``. Products of
        `PolynomialFeatures` that the group maps to each other become one feature, at no cost.
        Features of other transformers are computed for each operation of the group.
    symmetries : sequence of {"reflect", "rotate", "flip", "reverse"}, default=("reflect", "rotate")
        "reflect" along every axis of the grid; "rotate" by multiples of 90 degrees, for windows
        and focus of equal lengths along all axes; "flip" changes the sign of all values, for spins
        without an external field; "reverse" reverses the order of the channels of each site, which
        is the change of sign of spins such as -1, 0 and 1 with a channel for each value.
        "reflect" and "rotate" are 2 operations in one dimension, 8 in
        two (the point group 4mm) and 48 in three (m-3m).
    window : tuple of int, default=None
        Shape of the window, without channels. None for that of the tiling, which `EDNNRegressor`
        passes before it fits the tile model.
    n_channels : int, default=1
        Number of channels of a site, the last axis of a tile. Used only if `window` is set.

    Attributes
    ----------
    transformer_ : fitted transformer
    window_ : tuple of int
    n_channels_ : int
    n_features_in_ : int
        ``prod(window_) * n_channels_``

    See Also
    --------
    sk_ednn.solvers.GradientSolver : ``symmetries=("reflect", "rotate")`` augments the training of
        networks.
    sk_ednn.ShiftAveraged : Averages over shifts of the tiles.

    Notes
    -----
    **Channels are not turned.** They are numbers of a site: spins, labels, or vectors in a space of
    their own, as spins of Heisenberg's model. For vectors in the space of the lattice, such as
    dipoles or displacements, energies are invariant only if the vectors turn with the lattice, and
    these features are wrong.

    Products that the group maps to each other are added up and divided by the square root of their
    number. A ridge of these features is that of the products themselves, fitted to all images of
    each sample with equal weights, as augmentation by copies would do it: there, the coefficients
    of such products are equal, and so are they here, with the same penalty. With other transformers
    each feature is the mean over the group, which gives the same ridge with as many features as
    before.

    "flip" refers to the values that the transformer gets. A scaler before it that subtracts a mean
    moves the zero.

    Examples
    --------
    The 55 products of up to two of nine spins are fifteen features in the square lattice:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.tile_models import SymmetricFeatures
    >>> X, y = make_ising(24, (8, 8), sampling="flat", random_state=0, return_X_y=True)
    >>> pairs = make_pipeline(SymmetricFeatures(), Ridge(1e-6))
    >>> model = EDNNRegressor(pairs, GridTiling(focus=1, context=1)).fit(X[:12], y[:12])
    >>> len(model.tile_model_.estimator[-1].coef_)
    15
    >>> bool(np.abs(model.predict(X[12:]) - y[12:]).max() < 0.01)
    True
    >>> turned = np.rot90(X, axes=(1, 2))
    >>> bool(np.abs(model.predict(turned) - model.predict(X)).max() < 1e-10)
    True
    """

    _parameter_constraints = {
        "transformer": [HasMethods(["fit", "transform"]), None],
        "symmetries": ["array-like", str],
        "window": [tuple, None],
        "n_channels": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, transformer=None, symmetries=("reflect", "rotate"), *, window=None, n_channels=1
    ):
        self.transformer = transformer
        self.symmetries = symmetries
        self.window = window
        self.n_channels = n_channels

    def check_tiles(self, window, n_channels, focus=None):
        """Take the shape of the tiles that `fit` gets.

        Parameters
        ----------
        window : tuple of int
            Shape of a tile without channels.
        n_channels : int
        focus : tuple of int, default=None
            Shape of the focus.

        Raises
        ------
        TileModelError
            If the window or the focus cannot be rotated, or the window is not that of the
            parameter `window`.
        """
        self._validate_params()
        window, n_channels = tuple(int(length) for length in window), int(n_channels)
        if self.window is not None and (tuple(self.window), self.n_channels) != (
            window, n_channels,
        ):  # fmt: skip
            raise TileModelError(
                f"SymmetricFeatures expects a window of {tuple(self.window)} with "
                f"{self.n_channels} channel(s), the tiling has {window} with {n_channels}. Leave "
                "out window."
            )
        shapes = (window, window if focus is None else tuple(focus))
        if "rotate" in checked_symmetries(self.symmetries) and any(
            len(set(shape)) > 1 for shape in shapes
        ):
            raise TileModelError(
                f"Tiles with focus {shapes[1]} and window {window} change their shape when they "
                "are rotated. Leave out 'rotate', or make them equally long along all axes."
            )
        self._given = window, n_channels

    def fit(self, X, y=None):
        """Fit the transformer to tiles.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_sites * n_channels)
        y : None
            Ignored.

        Returns
        -------
        self
        """
        if self.window is not None:
            self.check_tiles(self.window, self.n_channels)
        if not hasattr(self, "_given"):
            raise TileModelError(
                "SymmetricFeatures does not know the shape of the window. Set window=..., or use "
                "it in the tile model of an EDNNRegressor with a GridTiling, after no steps but "
                "scalers."
            )
        X = validate_data(self, X)
        window, n_channels = self._given
        if X.shape[1] != prod(window) * n_channels:
            raise TileModelError(
                f"Tiles of {X.shape[1]} features do not have a window of {window} with "
                f"{n_channels} channel(s)."
            )
        transformer = PolynomialFeatures(2) if self.transformer is None else self.transformer
        self.symmetries_ = checked_symmetries(self.symmetries)
        self.window_, self.n_channels_ = window, n_channels
        transformer = clone(transformer)
        if type(transformer) is PolynomialFeatures:
            transformer.set_params(order="F")  # in which products are added up without a copy
        with as_arrays():
            self.transformer_ = transformer.fit(X)
        self._orbits = None
        return self

    def transform(self, X):
        """Return features of tiles.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_sites * n_channels)

        Returns
        -------
        ndarray of shape (n_tiles, n_features)
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        with as_arrays():
            if self.is_polynomial:
                return self._polynomials(X)
            return (
                sum(
                    dense(self.transformer_.transform(sign * X[:, columns]))
                    for columns, sign in self._operations()
                )
                / self._n_operations()
            )

    def _polynomials(self, rows):
        orbits, products = self._of_orbits(), self.transformer_
        out = np.empty((len(rows), orbits.shape[1]))
        step = max(1, _PRODUCTS // max(1, products.n_output_features_))
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            out[some] = dense(products.transform(rows[some])) @ orbits
        return out

    @property
    def is_polynomial(self) -> bool:
        """Whether features are sums of products of the tile's numbers."""
        return type(self.transformer_) is PolynomialFeatures

    @property
    def degree(self) -> int | None:
        """Largest degree of the features as polynomials of the tile; None for others."""
        if not self.is_polynomial:
            return None
        degree = self.transformer_.degree
        return max(degree) if isinstance(degree, tuple) else degree

    def pull(self, X, gradient):
        """Pull gradients back from the output of `transform` to the tiles `X`.

        This is the vector-Jacobian product described in `sk_ednn.tile_models._gradients`.
        """
        if self.is_polynomial:
            of_products = gradient @ self._of_orbits().T
            return _pulled_through_monomials(self.transformer_.powers_, X, of_products)
        from ._gradients import _pulled

        out = np.zeros(X.shape)
        for columns, sign in self._operations():
            out[:, columns] += sign * _pulled(self.transformer_, sign * X[:, columns], gradient)
        return out / self._n_operations()

    def _operations(self):
        """Yield the columns that each operation moves to each place, and a sign."""
        channels = np.arange(self.n_channels_)
        orders = [channels, channels[::-1]] if "reverse" in self.symmetries_ else [channels]
        for sites in site_permutations(self.symmetries_, self.window_):
            for order in orders:
                columns = (sites[:, None] * self.n_channels_ + order).ravel()
                yield columns, 1
                if "flip" in self.symmetries_:
                    yield columns, -1

    def _n_operations(self) -> int:
        n_sites = len(site_permutations(self.symmetries_, self.window_))
        return n_sites * 2 ** sum(name in self.symmetries_ for name in ("flip", "reverse"))

    def _of_orbits(self) -> csr_array:
        """Return the matrix (n_products, n_orbits) that adds up products of one orbit."""
        if getattr(self, "_orbits", None) is None:
            powers = self.transformer_.powers_
            orbits = _orbits_of(
                powers, [columns for columns, sign in self._operations() if sign > 0]
            )
            if "flip" in self.symmetries_:  # odd products cancel
                orbits[powers.sum(axis=1) % 2 == 1] = -1
            kept = np.flatnonzero(orbits >= 0)
            _, columns, lengths = np.unique(orbits[kept], return_inverse=True, return_counts=True)
            weights = 1 / np.sqrt(lengths[columns])
            self._orbits = csr_array((weights, (kept, columns)), shape=(len(powers), len(lengths)))
        return self._orbits

    def _try_stored(self):
        """Raise if an object that was read from a file cannot transform."""
        width = prod(self.window_) * self.n_channels_
        if width != self.n_features_in_:
            raise ValueError(f"its window of {width} numbers is not one of {self.n_features_in_}")
        self.symmetries_ = checked_symmetries(self.symmetries_)
        if "rotate" in self.symmetries_ and len(set(self.window_)) > 1:
            raise ValueError(f"its window of {self.window_} cannot be rotated")
        self.transform(np.zeros((1, width)))


def _orbits_of(powers, operations) -> np.ndarray:
    """Return the number of the orbit of each product.

    Parameters
    ----------
    powers : ndarray of int of shape (n_products, n_columns)
        Exponents, as in `PolynomialFeatures`.
    operations : sequence of ndarray of int of shape (n_columns,)
        A group of permutations.

    Returns
    -------
    ndarray of int of shape (n_products,)
        The first product of its orbit.
    """
    n_columns = powers.shape[1]
    # Products as sorted lists of the columns of their factors, padded at the end.
    factors = np.full((len(powers), max(1, int(powers.sum(axis=1).max(initial=0)))), n_columns)
    for row, exponents in zip(factors, powers, strict=True):
        columns = np.repeat(np.arange(n_columns), exponents)
        row[: len(columns)] = columns
    base = n_columns + 1
    if factors.shape[1] * np.log2(base) >= 63:
        raise TileModelError(
            f"Products of {factors.shape[1]} of {n_columns} numbers are too many for "
            "SymmetricFeatures. Use a lower degree or a smaller context."
        )
    weights = base ** np.arange(factors.shape[1] - 1, -1, -1)
    codes = factors @ weights
    order = np.argsort(codes)
    first = np.arange(len(powers))
    for columns in operations:
        # The image of column columns[k] is k.
        image = np.empty(base, dtype=np.intp)
        image[columns], image[-1] = np.arange(n_columns), n_columns
        moved = np.sort(image[factors], axis=1) @ weights
        first = np.minimum(first, order[np.searchsorted(codes, moved, sorter=order)])
    return first
