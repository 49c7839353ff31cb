"""Reciprocal space: filters of the whole field, as channels that every tile sees."""

from __future__ import annotations

from numbers import Real

import numpy as np
from scipy import fft

from .._utils.stored import stored
from ..exceptions import TilingError
from ._whole_field import AbstractWholeFieldEncoder

# Relative distance from the edge of a band within which a wave lies on it.
_ON_EDGE = 1e-9


@stored("ReciprocalContext")
class ReciprocalContext(AbstractWholeFieldEncoder):
    """Add channels of the field filtered in reciprocal space, for interactions of any range.

    The Fourier transform ρ_k of the whole periodic field is multiplied by functions of the wave
    number and transformed back::

        v(r)  =  Σ_k f(k) ρ_k exp(i k r)        f(k) = k^-p, or 1 within a band and 0 elsewhere

    With f = k^-2 this is the solution of Poisson's equation, and a model of ρ and v at one site
    contains the energy of charges at all distances. If a periodic field is repeated, ρ_k of the old
    waves is the same and that of the new ones is zero, so that v is repeated, too: a sum over tiles
    of ρ and v stays *exactly extensive*. The wave of k = 0 is left out; `IntensiveContext` has it.

    It is followed by an `EDNNRegressor` whose tiling has ``channel_axis=-1``.

    Parameters
    ----------
    filters : tuple of float or pair of float, default=(2.0,)
        A number p for k^-p; a pair for the waves with low < k <= high, in radians per unit of
        `spacing`.
    spacing : float or tuple of float with one per axis, default=1.0
        Distance of neighbouring sites along each axis of the grid, whose axes are orthogonal.
    extensive : bool, default=True
        With False, each channel contains the power ``Σ_k f(k) |ρ_k|²`` of the whole field at all
        sites, a structure factor, as in networks with a branch for the Fourier transform of a whole
        image. Such a number grows with the field, and totals of larger fields would be wrong, so
        fields with other shapes than those of the fit raise an error.
    channel_axis : int or None, default=None
        Axis of one field that contains channels; None if there is none.

    Attributes
    ----------
    n_channels_ : int
        Channels of the fields of the fit.
    field_shapes_ : list of tuple of int
        With ``extensive=False``, the shapes of the fields of the fit.

    See Also
    --------
    IntensiveContext : Averages of the whole field.
    sk_ednn.tiling.multiscale : Averages over blocks, additive and of a finite range.

    Notes
    -----
    Extensive means that n copies have n times the total. It does not mean that the total of a
    system with two different halves is the sum of their totals, since charges of one half act on
    the other.

    In larger fields, a band contains more waves, few of which may occur in the fit. Waves longer
    than all fields of the fit are extrapolated: k^-p does so by its formula.

    Local updates (`LocalUpdates`, `Metropolis`) cannot be used behind this transformer: one site
    changes all of v.

    References
    ----------
    P. P. Ewald, Ann. Phys. 1921, 369, 253, for sums over charges in reciprocal space.

    Examples
    --------
    The Hartree energy of densities in a box, and of boxes eight times as large:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_densities
    >>> from sk_ednn.encoders import ReciprocalContext
    >>> small = make_densities(60, (8, 8, 8), random_state=0)
    >>> large = make_densities(4, (16, 16, 16), random_state=1)
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-9))
    >>> model = make_pipeline(
    ...     ReciprocalContext((2,), spacing=0.4),
    ...     EDNNRegressor(pairs, GridTiling(focus=1, context=0, channel_axis=-1)),
    ... )
    >>> model = model.fit(small.fields, small.hartree)
    >>> error = np.abs(model.predict(large.fields) / large.hartree - 1)
    >>> bool(error.max() < 1e-4)
    True
    """

    def __init__(self, filters=(2.0,), *, spacing=1.0, extensive=True, channel_axis=None):
        self.filters = filters
        self.spacing = spacing
        self.extensive = extensive
        self.channel_axis = channel_axis

    def _check(self, fields):
        if not isinstance(self.filters, (tuple, list)) or not len(self.filters):
            raise ValueError(f"filters must be a tuple of at least one, got {self.filters!r}.")
        for each in self.filters:
            if not _is_power(each) and not _is_band(each):
                raise ValueError(
                    "Each filter must be a number p >= 0, for k^-p, or a band (low, high) with 0 "
                    f"<= low < high; got {each!r}."
                )
        if not isinstance(self.extensive, (bool, np.bool_)):
            raise ValueError(f"extensive must be True or False, got {self.extensive!r}.")
        self._spacings(fields.ndim - (self.channel_axis is not None))
        self.field_shapes_ = []
        if not self.extensive:
            shapes = {tuple(stack.values.shape[1:]) for stack in fields.stacks}
            self.field_shapes_ = sorted(shapes)

    def _example_shape(self):
        return super()._example_shape() if self.extensive else tuple(self.field_shapes_[0])

    def _check_size(self, shape):
        if not self.extensive and tuple(shape) not in self.field_shapes_:
            raise TilingError(
                "ReciprocalContext(extensive=False) describes whole fields by numbers that grow "
                f"with them, so that fields of shape {tuple(shape)} cannot be predicted by a model "
                f"of fields of shape {self.field_shapes_[0]}. Set extensive=True."
            )

    @property
    def _n_added(self):
        return len(self.filters)

    def _added(self, last):
        axes = tuple(range(1, last.ndim - 1))
        waves = fft.rfftn(last, axes=axes)
        channels = []
        for factors in self._factors(last.shape[1:-1]):
            filtered = fft.irfftn(waves * factors[..., None], s=last.shape[1:-1], axes=axes)
            if not self.extensive:
                # By Parseval's theorem, N times the sum over sites is that over waves.
                n_sites = np.prod(last.shape[1:-1])
                filtered = n_sites * (last * filtered).sum(axis=axes, keepdims=True)
            channels.append(filtered)
        return channels

    def _added_lazily(self, last):
        whole = last.rechunk({0: 1, **{axis: -1 for axis in range(1, last.ndim)}})
        joined = whole.map_blocks(self._joined, dtype=np.float64, chunks=self._chunks(whole))
        n_channels = last.shape[-1]
        return [
            joined[..., k * n_channels : (k + 1) * n_channels] for k in range(len(self.filters))
        ]

    def _joined(self, chunk):
        if chunk.size == 0:  # dask's probe
            return np.zeros((*chunk.shape[:-1], chunk.shape[-1] * self._n_added))
        parts = [np.broadcast_to(part, chunk.shape) for part in self._added(chunk)]
        return np.concatenate(parts, axis=-1)

    def _chunks(self, array):
        return (*array.chunks[:-1], (array.shape[-1] * self._n_added,))

    def _pulled_added(self, last, gradients):
        axes = tuple(range(last.ndim - 1))
        shape = last.shape[:-1]
        out = np.zeros(last.shape)
        for factors, gradient in zip(self._factors(shape), gradients, strict=True):
            if not self.extensive:
                gradient = 2 * np.prod(shape) * gradient.sum(axis=axes) * last
            # A real filter that is even in k is symmetric: it is its own adjoint.
            waves = fft.rfftn(gradient, axes=axes) * factors[..., None]
            out += fft.irfftn(waves, s=shape, axes=axes)
        return out

    def _factors(self, grid) -> list[np.ndarray]:
        """Return f(k) of each filter, of the shape that `scipy.fft.rfftn` returns."""
        spacings = self._spacings(len(grid))
        along = [
            2 * np.pi * (fft.rfftfreq if axis == len(grid) - 1 else fft.fftfreq)(n, step)
            for axis, (n, step) in enumerate(zip(grid, spacings, strict=True))
        ]
        squares = sum(np.square(part) for part in np.meshgrid(*along, indexing="ij", sparse=True))
        k = np.sqrt(squares)
        nonzero = k > 0
        factors = []
        for each in self.filters:
            if _is_power(each):
                values = np.zeros(k.shape)
                values[nonzero] = k[nonzero] ** -float(each)
            else:
                # Waves on an edge must not change sides with the round-off of k.
                low, high = (edge * (1 + _ON_EDGE) for edge in each)
                values = (nonzero & (k > low) & (k <= high)).astype(np.float64)
            factors.append(values)
        return factors

    def _spacings(self, n_axes) -> tuple[float, ...]:
        spacing = self.spacing
        values = tuple(spacing) if np.iterable(spacing) else (spacing,) * n_axes
        if len(values) != n_axes or not all(_is_number(step) and step > 0 for step in values):
            raise ValueError(
                f"spacing must be a positive number, or one for each of {n_axes} axes; got "
                f"{spacing!r}."
            )
        return tuple(float(step) for step in values)


def _is_number(value) -> bool:
    return (
        isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(float(value)))
    )


def _is_power(value) -> bool:
    return _is_number(value) and value >= 0


def _is_band(value) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and _is_number(value[0])
        and isinstance(value[1], Real)
        and 0 <= value[0] < value[1]
    )
