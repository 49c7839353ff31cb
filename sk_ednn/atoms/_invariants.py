"""Features of tiles that are invariant to rotation and reflection."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import eigh
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from .._parallel.workers import pools
from .._utils.scratch import Scratch
from .._utils.stored import stored
from ..fields._in_memory import as_array
from ._focus_sums import FocusSums
from ._modes import LocalModes
from ._power_spectrum import spectrum_size


@stored("LocalInvariants")
class LocalInvariants(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Describe two-dimensional tiles by rotation-invariant neighbourhoods of their pixels.

    A linear model of these features is a sum of two- to five-body interactions between pixels and
    their neighbourhoods. At every pixel r of the focus, the field ρ_c of channel c around it is
    expanded in Laguerre–Gauss modes ψ_nm, which are circular harmonics::

        A_cnm(r) = ∫ ρ_c(r + r') ψ_nm(r' / scale) dr' / scale²,        m + 2n <= degree

    A rotation of the neighbourhood by an angle α multiplies A_cnm by exp(imα), and a reflection
    conjugates it. Hence the power spectrum of the neighbourhood is invariant::

        p(r) = (A_cn0;  Re A_cnm A*_c'n'm)

    Let u be the leading principal components of p, over pixels weighted by the absolute density.
    The features of a tile are density-weighted sums over its focus::

        Σ_r ρ_a(r) p_i(r)        and        Σ_r ρ_a(r) u_i(r) u_j(r),  i <= j

    for each channel a. These sums over pixels are extensive: their sum over the tiles of a field
    equals the features of the field as one tile.

    Parameters
    ----------
    focus : int or pair of int, in pixels
        Focus of the `GridTiling`, for both axes or for each.

    context : int or pair of int, in pixels
        Context of the same tiling. The modes extend to about ``scale * sqrt(2 * degree + 1)``;
        a much shorter context truncates them.

    spacing : float or pair of float, in Å
        Distance of neighbouring pixels, as in `GaussianRasterizer`. Any other unit is possible if
        `scale` has the same.

    n_channels : int or None, default=1
        Channels of the fields. None determines it from the width of `X`; a wrong `focus` or
        `context` is then an error only if the number is not an integer.

    scale : float, default=0.8, in Å
        Width of the modes: the lowest one is a Gaussian of this standard deviation.

    degree : int, default=8
        Highest degree of the modes. There are (degree + 1) (degree + 2) / 2 modes per channel.

    n_components : int, default=64
        Number of principal components; the features contain all their products, about half the
        square of this number per channel. 0 for none.

    whitening : float between 0 and 1, default=0.5
        Each component is divided by its standard deviation, relative to that of the first, to
        this power: 0 keeps the variances, 1 makes them equal.

    quadratic_weight : float, default=0.3
        Total variance of the products relative to that of the invariants. With a value below 1 a
        ridge penalises products more than invariants.

    subsample : int or None, default=800
        Number of tiles used in `fit`, chosen at random if there are more. None uses all.

    n_jobs : int or None, default=None
        Number of threads. ``None`` means 1 unless in a `joblib.parallel_config`. Results do not
        depend on it, to the last bit.

    random_state : int, RandomState or None, default=None
        Random numbers for the subsample.

    Attributes
    ----------
    n_channels_ : int

    mean_ : ndarray of shape (n_invariants,), float64
        Mean of the invariants, over pixels weighted by the density.

    explained_variance_ : ndarray of shape (n_components,), float64
        Variance of each component, over the same pixels.

    components_ : ndarray of shape (n_components, n_invariants), float64
        Components after whitening: ``u = components_ @ (p - mean_)``.

    n_components_ : int
        At most the rank of the invariants.

    scale_ : ndarray of shape (n_features_out,), float64
        Factors of the sums. They bring the variance of each sum of invariants to 1 divided by
        their number. Sums of products have one factor, for a mean variance of `quadratic_weight`
        divided by their number.

    n_features_in_ : int

    See Also
    --------
    GaussianRasterizer : Draw structures as fields.

    Notes
    -----
    `X` contains tiles as `EDNNRegressor` passes them to a tile model for ``GridTiling(focus,
    context, channel_axis=-1)``, or without channels: rows of ``window_x * window_y * n_channels``
    numbers in C order, with ``window = focus + 2 * context``.

    For square pixels, invariance to rotations by 90° and reflections is exact. Invariance to other
    rotations, and to shifts by fractions of a pixel, is as exact as the pixels resolve the modes
    and the field. Features are computed in float32 for float32 `X`, otherwise in float64. The
    features of a tile do not depend on the other tiles of `X`.

    References
    ----------
    A. P. Bartók, R. Kondor, G. Csányi, "On representing chemical environments", Phys. Rev. B 2013,
    87, 184115: rotation-invariant power spectra of a density around a point.

    Examples
    --------
    Tiles of 24 × 24 pixels, rotated by 90° and reflected:

    >>> import numpy as np
    >>> from sk_ednn.atoms import LocalInvariants
    >>> tiles = np.random.default_rng(0).random((20, 24, 24))
    >>> turned = np.rot90(tiles, axes=(1, 2))
    >>> mirrored = tiles[:, ::-1]
    >>> invariants = LocalInvariants(focus=8, context=8, spacing=0.4)
    >>> features = invariants.fit_transform(tiles.reshape(20, -1))
    >>> features.shape
    (20, 1890)
    >>> np.allclose(invariants.transform(turned.reshape(20, -1)), features, rtol=1e-10)
    True
    >>> np.allclose(invariants.transform(mirrored.reshape(20, -1)), features, rtol=1e-10)
    True
    """

    # Memory of a block of tiles: it fits into a cache, and arithmetic takes longer than calls.
    _block_bytes = 3 * 2**22

    _parameter_constraints = {
        "focus": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "context": [Interval(Integral, 0, None, closed="left"), "array-like"],
        "spacing": [Interval(Real, 0, None, closed="neither"), "array-like"],
        "n_channels": [Interval(Integral, 1, None, closed="left"), None],
        "scale": [Interval(Real, 0, None, closed="neither")],
        "degree": [Interval(Integral, 0, None, closed="left")],
        "n_components": [Interval(Integral, 0, None, closed="left")],
        "whitening": [Interval(Real, 0, 1, closed="both")],
        "quadratic_weight": [Interval(Real, 0, None, closed="left")],
        "subsample": [Interval(Integral, 1, None, closed="left"), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        focus,
        context,
        spacing,
        *,
        n_channels=1,
        scale=0.8,
        degree=8,
        n_components=64,
        whitening=0.5,
        quadratic_weight=0.3,
        subsample=800,
        n_jobs=None,
        random_state=None,
    ):
        self.focus = focus
        self.context = context
        self.spacing = spacing
        self.n_channels = n_channels
        self.scale = scale
        self.degree = degree
        self.n_components = n_components
        self.whitening = whitening
        self.quadratic_weight = quadratic_weight
        self.subsample = subsample
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Fit the principal components of the invariants and the scale of the features.

        Parameters
        ----------
        X : array-like of shape (n_tiles, window_x * window_y * n_channels)
            Tiles, flat in C order.

        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter is invalid, or the width of `X` does not agree with the focus, the
            context and the number of channels.
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        focus = _pair(self, "focus", Integral, 1)
        context = _pair(self, "context", Integral, 0)
        self._window = tuple(f + 2 * c for f, c in zip(focus, context, strict=True))
        self.n_channels_ = self._count_channels(focus, context)
        self._modes = LocalModes(
            focus, context, _pair(self, "spacing", Real, 0), self.scale, self.degree
        )
        self._focus = tuple(slice(c, c + f) for f, c in zip(focus, context, strict=True))
        n_vectors = self._sums.n_vectors
        per_pixel = spectrum_size(n_vectors) + self.n_components + sum(n_vectors) * 4
        self._numbers_per_tile = focus[0] * focus[1] * per_pixel
        if self.subsample is not None and self.subsample < len(X):
            random = check_random_state(self.random_state)
            X = X[np.sort(random.permutation(len(X))[: self.subsample])]
        self._fit_components(X)
        self._fit_scale(X)
        return self

    def transform(self, X):
        """Return the features of tiles.

        Parameters
        ----------
        X : array-like of shape (n_tiles, window_x * window_y * n_channels)

        Returns
        -------
        ndarray of shape (n_tiles, n_features_out)
            The sums of invariants for each channel, then those of products of components.

        Raises
        ------
        ValueError
            If the width of `X` differs from that in `fit`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        features = np.empty((len(X), len(self.scale_)), dtype=X.dtype)
        scale = self.scale_.astype(X.dtype)

        def write(rows):
            np.multiply(self._sums.sums(X[rows]), scale, out=features[rows])

        self._map(write, X)
        return features

    def check_tiles(self, window, n_channels, focus=None) -> None:
        """Check that this transformer suits a tiling; `EDNNRegressor.fit` calls it.

        Parameters
        ----------
        window : tuple of int
            Sites of a tile along each axis.
        n_channels : int
        focus : tuple of int, default=None
            Sites of the focus along each axis. None if it is not known.

        Raises
        ------
        ValueError
            If fields are not two-dimensional, or `focus` and `context` differ from the tiling's.
        """
        if len(window) != 2:
            raise ValueError(
                "LocalInvariants describes two-dimensional fields, but these tiles have "
                f"{len(window)} dimension(s), {' × '.join(map(str, window))} sites. Draw "
                "structures in a plane (GaussianRasterizer(plane='xy')), or use other features, "
                "such as PolynomialFeatures, or a network."
            )
        ours, context = _pair(self, "focus", Integral, 1), _pair(self, "context", Integral, 0)
        if focus is not None and tuple(ours) != tuple(focus):
            raise ValueError(
                f"LocalInvariants(focus={self.focus}) sums over other pixels than the focus of the "
                f"tiling, {focus[0]} × {focus[1]}, so pixels would count several times or not at "
                "all. Use the focus and context of the tiling."
            )
        wanted = tuple(f + 2 * c for f, c in zip(ours, context, strict=True))
        if wanted != tuple(window):
            raise ValueError(
                f"LocalInvariants(focus={self.focus}, context={self.context}) expects tiles of "
                f"{wanted[0]} × {wanted[1]} pixels, but the tiling cuts tiles of {window[0]} × "
                f"{window[1]}. Use the focus and context of the tiling."
            )
        if self.n_channels not in (None, n_channels):
            raise ValueError(
                f"LocalInvariants expects n_channels={self.n_channels}, but the fields have "
                f"{n_channels}. Use n_channels={n_channels}."
            )

    def pull(self, X, gradient):
        """Return gradients by tiles from gradients by features.

        `EDNNRegressor.predict_gradient` uses it for models behind this transformer, so that they
        have forces.

        Parameters
        ----------
        X : array-like of shape (n_tiles, window_x * window_y * n_channels)
        gradient : array-like of shape (n_tiles, n_features_out)

        Returns
        -------
        ndarray of shape (n_tiles, window_x * window_y * n_channels), float64
            Computed in float32 for float32 `X`, else in float64.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        gradient, out = as_array(gradient, "gradient", np.float64), np.empty(X.shape)
        # The gradient of a linear model is one row for all tiles, broadcast.
        is_shared = len(gradient) and gradient.strides[0] == 0
        sums, scratch = self._sums, Scratch()
        shared = sums.weights(gradient[:1] * self.scale_, X.dtype) if is_shared else None

        def write(rows):
            weights = shared or sums.weights(gradient[rows] * self.scale_, X.dtype)
            out[rows] = sums.pull(X[rows], weights, scratch)

        self._map(write, X)
        return out

    def push(self, X, direction):
        """Return directional derivatives of the features, the adjoint of `pull`.

        Models behind this transformer use it to learn gradients, such as forces; see
        `sk_ednn.solvers.LinearSolver`.

        Parameters
        ----------
        X : array-like of shape (n_tiles, window_x * window_y * n_channels)
        direction : array-like of the shape of `X`

        Returns
        -------
        ndarray of shape (n_tiles, n_features_out)
            ``<push(X, d), gradient> == <d, pull(X, gradient)>``. In float32 for float32 `X`,
            otherwise in float64.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        direction = as_array(direction, "direction", X.dtype)
        features = np.empty((len(X), len(self.scale_)), dtype=X.dtype)
        scale = self.scale_.astype(X.dtype)

        def write(rows):
            np.multiply(self._sums.push(X[rows], direction[rows]), scale, out=features[rows])

        self._map(write, X)
        return features

    # --- fit --------------------------------------------------------------------------------

    def _count_channels(self, focus, context):
        pixels = self._window[0] * self._window[1]
        n_channels, left = divmod(self.n_features_in_, pixels)
        if left == 0 and self.n_channels in (None, n_channels):
            return n_channels
        wanted = "a whole number of" if self.n_channels is None else self.n_channels
        if left == 0:
            fits = f" It would fit n_channels={n_channels}."
        else:
            fits = ""
        raise ValueError(
            f"Each row of X must be a flat tile of focus + 2 * context = {self._window[0]} × "
            f"{self._window[1]} pixels and {wanted} channel(s), for focus={focus}, "
            f"context={context} and n_channels={self.n_channels}; X has {self.n_features_in_} "
            f"features.{fits} Use the focus and context of the tiling."
        )

    def _fit_components(self, X):
        def moments(rows):
            density, invariants = self._sums.invariants(X[rows])
            weights = np.abs(density).sum(axis=1)[:, None]
            weighted = invariants * weights
            return (
                weights.sum(dtype=np.float64),
                weighted.sum(axis=(0, 2), dtype=np.float64),
                np.matmul(weighted, invariants.transpose(0, 2, 1)).sum(axis=0, dtype=np.float64),
            )

        # In the order of the blocks, so that sums do not depend on the order of threads.
        weight, first, second = (sum(parts) for parts in zip(*self._map(moments, X), strict=True))
        weight = weight or 1.0  # fields of zeros: all moments are 0
        self.mean_ = first / weight
        covariance = second / weight - np.outer(self.mean_, self.mean_)
        values, vectors = eigh(covariance)
        values, vectors = values[::-1], vectors[:, ::-1]
        rounding = np.finfo(X.dtype).eps * np.trace(second) / weight
        n_components = min(self.n_components, int(np.sum(values > rounding)))
        values, vectors = values[:n_components], vectors[:, :n_components]
        # The sign of eigenvectors is arbitrary: their largest entry is made positive.
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(n_components)])
        unit = np.sqrt(values[:1] * (values / values[:1]) ** self.whitening)
        self.components_ = (vectors / unit).T
        self.explained_variance_ = values
        self.n_components_ = n_components

    def _fit_scale(self, X):
        def moments(rows):
            sums = self._sums.sums(X[rows]).astype(np.float64)
            return sums.sum(axis=0), np.square(sums).sum(axis=0)

        first, second = (sum(parts) for parts in zip(*self._map(moments, X), strict=True))
        variance = np.maximum(second / len(X) - np.square(first / len(X)), 0)
        n_linear = self.n_channels_ * len(self.mean_)
        linear, quadratic = variance[:n_linear], variance[n_linear:]
        # Features that hardly vary, such as those of a rare species, must not be magnified.
        linear = np.maximum(linear, 1e-8 * linear.max(initial=0))
        self.scale_ = np.concatenate(
            [
                _inverse_root(n_linear * linear),
                np.full(len(quadratic), np.sqrt(self.quadratic_weight))
                * _inverse_root(quadratic.sum()),
            ]
        )
        self._n_features_out = len(self.scale_)

    @property
    def _sums(self) -> FocusSums:
        """The sums over blocks of tiles, with the components once they are fitted."""
        learned = getattr(self, "mean_", None), getattr(self, "components_", None)
        return FocusSums(self._window, self._focus, self.n_channels_, self._modes, *learned)

    def _map(self, function, X):
        """Return the results of `function` for slices of `X`, in order."""
        size = max(1, self._block_bytes // (X.itemsize * self._numbers_per_tile))
        blocks = [slice(first, first + size) for first in range(0, len(X), size)]
        # Matrix products are small, so threads work on different blocks.
        with pools().limit(limits=1, user_api="blas"):
            if len(blocks) == 1:  # workers take longer to start than a few tiles
                return [function(blocks[0])]
            return Parallel(n_jobs=self.n_jobs, require="sharedmem")(
                delayed(function)(rows) for rows in blocks
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _pair(model, name, kind, least):
    """Return a parameter along x and y, given as one number or two."""
    value = getattr(model, name)
    pair = (value, value) if isinstance(value, Real) else tuple(value)
    exact = kind is Integral
    if len(pair) != 2 or not all(
        isinstance(v, kind) and (v >= least if exact else v > least) for v in pair
    ):
        what = f"integer of at least {least}" if exact else "positive number"
        raise ValueError(
            f"The {name!r} parameter of LocalInvariants must be one {what} or two of them, along x "
            f"and y; got {value!r}."
            + (" Three-dimensional fields are not supported." if len(pair) == 3 else "")
        )
    return tuple(int(v) if exact else float(v) for v in pair)


def _inverse_root(variance):
    """Return ``1 / sqrt(variance)``, and 1 for a variance of 0."""
    return 1 / np.sqrt(np.where(variance > 0, variance, 1.0))
