"""Angles: cosines and sines of their multiples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from .._utils.pair_functions import PairFunctions
from .._utils.stacklevel import outside_package
from .._utils.stored import stored
from ..exceptions import NoveltyWarning
from ..fields._fields import check_fields
from ..fields._in_memory import as_array
from ._base import AbstractFieldEncoder

# Degrees taken for radians go over 57 periods, radians taken for degrees over 1/57 of one. Phases
# that were unwrapped go over some.
_MANY_PERIODS = 10
_PART_OF_A_PERIOD = 1 / 50

# Bounds the memory that a file can ask for.
_MOST_HARMONICS = 64
# Angles at which couplings are measured.
_FEWEST_ANGLES = 8


@stored("AngleFields")
class AngleFields(AbstractFieldEncoder):
    """Replace each angle θ of a field by channels: cos θ and sin θ, cos 2θ and sin 2θ, and so on.

    For directions in a plane: spins of an XY model, phases, orientations. As numbers, the largest
    and the smallest angle are as far apart as possible, although they are neighbours. It is
    followed by an `EDNNRegressor` whose tiling has ``channel_axis=-1``.

    Parameters
    ----------
    period : float, default=2 * pi
        Period of the angles: 360 for degrees; pi or 180 for axes without a direction, such as those
        of rods.
    harmonics : int, default=1
        Number of multiples of each angle, each of which adds two channels. Pairs of channels are
        enough for energies with terms up to ``cos(harmonics * (a - b))``, such as 2 for a nematic
        term beside that of an XY model, and of single sites, ``cos(harmonics * a)``, such as 6 for
        an anisotropy of six axes. At most 64.

    Warns
    -----
    NoveltyWarning
        If the angles in memory cover more than 10 periods, or less than a fiftieth of one: degrees
        may have been taken for radians, or radians for degrees.

    See Also
    --------
    OneHotFields : For labels.

    Examples
    --------
    Energies of XY spins are linear in products of two of these channels:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.encoders import AngleFields
    >>> angles = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(400, 6, 6))
    >>> energy = -sum(np.cos(angles - np.roll(angles, 1, axis)).sum((1, 2)) for axis in (1, 2))
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
    >>> raw = EDNNRegressor(pairs, GridTiling(1, 1)).fit(angles[:300], energy[:300])
    >>> tiling = GridTiling(1, 1, channel_axis=-1)
    >>> model = make_pipeline(AngleFields(), EDNNRegressor(pairs, tiling))
    >>> model = model.fit(angles[:300], energy[:300])
    >>> unseen = angles[300:], energy[300:]
    >>> raw.score(*unseen) < 0.5 < 0.999 < model.score(*unseen)
    True

    A term with twice the angle needs a second harmonic:

    >>> nematic = sum(np.cos(2 * (angles - np.roll(angles, 1, a))).sum((1, 2)) for a in (1, 2))
    >>> errors = []
    >>> for harmonics in (1, 2):
    ...     twice = make_pipeline(AngleFields(harmonics=harmonics), EDNNRegressor(pairs, tiling))
    ...     twice = twice.fit(angles[:300], (energy - nematic)[:300])
    ...     errors.append(abs(twice.predict(angles[300:]) - (energy - nematic)[300:]).mean())
    >>> bool(errors[1] < 0.1 * errors[0])
    True

    How the energy changes with each angle:

    >>> channels = model[0].transform(angles[:1])
    >>> torque = model[0].pull(angles[:1], model[1].predict_gradient(channels))
    >>> torque.shape
    (1, 6, 6)
    """

    _parameter_constraints = {
        "period": [Interval(Real, 0, None, closed="neither")],
        "harmonics": [Interval(Integral, 1, _MOST_HARMONICS, closed="both")],
    }

    def __init__(self, period=2 * np.pi, harmonics=1):
        self.period = period
        self.harmonics = harmonics

    def transform(self, X):
        """Return fields with channels of cosines and sines.

        Parameters
        ----------
        X : array-like of shape (n_samples, *grid), or list of such fields
            Angles, in the unit of the period; dask arrays and sources too.

        Returns
        -------
        ndarray, dask array or source of shape (n_samples, *grid, 2 * harmonics), or list of such \
                without the sample axis
            The cosine and the sine of the angle, then those of twice the angle, and so on.
        """
        channels = super().transform(X)
        self._warn_of_unit(check_fields(X, caller=self))
        return channels

    def pull(self, X, gradients):
        """Return gradients by angles from gradients by channels.

        Parameters
        ----------
        X : array-like of shape (n_samples, *grid), or list of such fields
            The angles, in memory.
        gradients : array-like of shape (n_samples, *grid, 2 * harmonics), or list of such
            From `EDNNRegressor.predict_gradient`.

        Returns
        -------
        ndarray of shape (n_samples, *grid), float64, or list of such fields
            In units of the totals per unit of the angles.
        """
        by_angles = self.angle_gradients(X, [None] * len(X))
        if len(gradients) != len(by_angles):
            raise ValueError(
                f"Expected {len(by_angles)} gradients, one per field, got {len(gradients)}."
            )
        pulled = [
            each.pull(np.moveaxis(as_array(gradient, f"gradients[{k}]", np.float64), -1, 0))
            for k, (each, gradient) in enumerate(zip(by_angles, gradients, strict=True))
        ]
        return pulled if check_fields(X).ragged else np.stack(pulled)

    def angle_gradients(self, X, gradients):
        """Return gradient objects for `EDNNRegressor.fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, *grid), or list of such fields
            In memory.
        gradients : sequence of array-like of shape grid
            Gradient of each total with respect to its angles.

        Returns
        -------
        list of AngleGradient
        """
        check_is_fitted(self)
        channels = self.transform(X)
        if len(gradients) != len(channels):
            raise ValueError(
                f"Expected a gradient for each of {len(channels)} fields, got {len(gradients)}."
            )
        result = []
        for k, (field, values) in enumerate(zip(channels, gradients, strict=True)):
            if not isinstance(field, np.ndarray):
                raise TypeError(
                    f"Gradients need fields in memory, but X[{k}] is lazy. Load it first."
                )
            field = np.asarray(field, dtype=np.float64)
            shape = field.shape[:-1]
            if values is None:
                values = np.full(shape, np.nan)
            else:
                values = np.array(as_array(values, f"gradients[{k}]"), dtype=float)
            if values.shape != shape:
                raise ValueError(
                    f"The derivative with respect to the angles of field {k} must have their "
                    f"shape, {shape}; got {values.shape}."
                )
            turned = np.empty((field.shape[-1], *shape))
            multiples = (2 * np.pi / self.period) * np.arange(1, self.harmonics + 1)
            turned[0::2] = np.moveaxis(-field[..., 1::2] * multiples, -1, 0)
            turned[1::2] = np.moveaxis(field[..., 0::2] * multiples, -1, 0)
            result.append(AngleGradient(values, turned))
        return result

    def _learn(self, fields):
        self._validate_params()

    def _pair_basis(self):
        # Four angles for each turn of the highest harmonic: cosines of differences are distinct.
        n_angles = max(_FEWEST_ANGLES, 4 * self.harmonics)
        angles = np.arange(n_angles) * (self.period / n_angles)
        turn, pairs, sites = 2 * np.pi / self.period, {}, {}
        for k in range(1, self.harmonics + 1):
            times = f"{k} " if k > 1 else ""
            for name, wave in (("cos", np.cos), ("sin", np.sin)):
                pairs[f"{name} of {times}difference"] = lambda a, b, k=k, wave=wave: wave(
                    k * turn * (b - a)
                )
                sites[f"{name} of {times}angle"] = lambda a, k=k, wave=wave: wave(k * turn * a)
        return angles, [PairFunctions(pairs, sites)]

    def _warn_of_unit(self, fields):
        """Warn of angles that are spread as those in another unit are."""
        values = [stack.values for stack in fields.stacks if isinstance(stack.values, np.ndarray)]
        values = [each for each in values if each.size]
        if not values:
            return
        least = min(float(each.min()) for each in values)
        largest = max(float(each.max()) for each in values)
        n_periods = (largest - least) / self.period
        if 0 < n_periods < _PART_OF_A_PERIOD or n_periods > _MANY_PERIODS:
            warnings.warn(
                f"The angles are from {least:.4g} to {largest:.4g}, which is {n_periods:.2g} "
                f"periods of {self.period:.4g}. Check their unit: the period is 2 pi for radians, "
                "360 for degrees.",
                NoveltyWarning,
                stacklevel=outside_package(),
            )

    def _channels(self, values, place=None):
        # In turns, so that large angles lose no more digits than they have.
        dtype = self._dtype_of(values.dtype)
        turns = 2 * np.pi * np.remainder(values.astype(np.float64) / self.period, 1.0)
        out = np.empty((*turns.shape, self._n_channels), dtype=dtype)
        for k in range(self.harmonics):
            out[..., 2 * k] = np.cos((k + 1) * turns)
            out[..., 2 * k + 1] = np.sin((k + 1) * turns)
        return out

    @property
    def _n_channels(self):
        return 2 * self.harmonics

    def _dtype_of(self, dtype):
        return np.dtype(np.float32 if dtype in (np.float32, np.float16) else np.float64)

    def _described(self):
        harmonics = "" if self.harmonics == 1 else f" with {self.harmonics} harmonics"
        return f"angles of period {self.period!r}{harmonics}"

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_grid_ndim")


@dataclass(frozen=True, eq=False)
class AngleGradient:
    """Gradients of totals with respect to the angles of their fields.

    Made by `AngleFields.angle_gradients`.

    Attributes
    ----------
    values : ndarray of shape (*grid)
        Known values of the derivative.
    turned : ndarray of shape (n_channels, *grid)
        Derivatives of the channels with respect to the angles.
    """

    values: np.ndarray
    turned: np.ndarray

    def pull(self, gradient):
        """Return the gradient by the angles.

        Parameters
        ----------
        gradient : ndarray or Tensor of shape (n_channels, *grid)
            Gradient by the channels.

        Returns
        -------
        ndarray or Tensor of shape (*grid)
        """
        turned = (
            self.turned if isinstance(gradient, np.ndarray) else gradient.new_tensor(self.turned)
        )
        return (gradient * turned).sum(0)

    def push(self, direction):
        """Return how the channels change as the angles do, the adjoint of `pull`.

        Parameters
        ----------
        direction : ndarray of shape (*grid)

        Returns
        -------
        ndarray of shape (n_channels, *grid)
        """
        return self.turned * direction
