"""Interactions between sites in the total, independent of how it is split into contributions."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from .._utils.results import Result
from ..exceptions import TilingError
from ._grids import grid_axes, grid_term, predict_list

_validated = validate_params(
    {
        "max_distance": [Interval(Integral, 1, None, closed="left"), None],
        "n_pairs": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)


@_validated
def interaction_profile(
    estimator, X, *, max_distance=None, n_pairs=50, term=None, random_state=None
):
    """Measure the interaction between two sites in the predicted total, by their distance.

    For two sites i and j, new values are drawn from the data. The total is predicted with both,
    either and none of the sites changed::

        change of both  -  change of i alone  -  change of j alone

    The interaction vanishes if the total is a sum of a part without i and a part without j. It is
    a property of totals, which, unlike contributions, are unique (see `null_space`).

    Pairs are along the axes. Two sites that are diagonal to each other are none of them: see
    `interaction_map`.

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
    X : samples to predict
        Each pair takes four predictions of one field, so small fields are best.
    max_distance : int, default=None
        Largest distance. None for two more than the distance between the outermost sites of a
        window, or as far as the fields allow (half of a periodic axis).
    n_pairs : int, default=50
        Number of pairs for each axis and distance.
    term : str, default=None
        Term whose window determines `max_distance`, if the estimator has several. The predictions
        include all terms.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    result : Bunch
        distances : ndarray of int of shape (n_distances,)
            Distances along an axis in sites, from 1.
        strength : ndarray of shape (n_axes, n_distances)
            Mean absolute interaction, in units of y; NaN if an axis is too short. It is zero, up
            to round-off, beyond a window. All channels of a site are changed at once, to those of
            another site; with several outputs, it is the mean over them.
        std_error : ndarray of shape (n_axes, n_distances)
            Standard error of that mean, due to the choice of pairs and values. Errors of the model
            are not included.
        window : tuple of int
            Number of sites of a tile along each axis.

    Raises
    ------
    TilingError
        If the fields are too small for any pair, or no fields on a grid.

    See Also
    --------
    interaction_map : Of pairs in all directions.

    Examples
    --------
    Only nearest neighbours interact, as a model with a context of two sites has learned:

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.inspection import interaction_profile
    >>> X, y = make_ising(600, (8, 8), random_state=0, return_X_y=True)
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
    >>> model = EDNNRegressor(pairs, GridTiling(focus=1, context=2)).fit(X, y)
    >>> profile = interaction_profile(model, X, random_state=0)
    >>> print(*(f"{strength:.2f} J" for strength in profile.strength[0]))
    4.00 J 0.00 J 0.00 J 0.00 J
    """
    pairs = _Pairs(estimator, X, term, n_pairs, random_state, "interaction_profile")
    distances = np.arange(1, (pairs.farthest if max_distance is None else max_distance) + 1)
    strength = np.full((len(pairs.axes), len(distances)), np.nan)
    std_error = strength.copy()
    for number, direction in enumerate(np.eye(len(pairs.axes), dtype=int)):
        for d in distances:
            strength[number, d - 1], std_error[number, d - 1] = pairs.interaction(d * direction)
    pairs.require_some(strength)
    return Result(distances=distances, strength=strength, std_error=std_error, window=pairs.window)


@_validated
def interaction_map(estimator, X, *, max_distance=None, n_pairs=50, term=None, random_state=None):
    """Measure the interaction between two sites in the predicted total, by their displacement.

    As `interaction_profile` measures it along the axes, for pairs in all directions, such as the
    diagonal neighbours of a square lattice.

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
    X : samples to predict
        Each pair takes four predictions of one field, so small fields are best.
    max_distance : int, default=None
        Largest displacement along each axis. None for the distance between the outermost sites of
        a window, or as far as the fields allow (half of a periodic axis).
    n_pairs : int, default=50
        Number of pairs for each displacement. Displacements are ``(2 max_distance + 1)**n_axes``,
        and the opposite of each is the same pair.
    term, random_state
        As for `interaction_profile`.

    Returns
    -------
    result : Bunch
        strength : ndarray of shape (2 max_distance + 1,) * n_axes
            Mean absolute interaction, in units of y; ``strength[max_distance + dx, ...]`` is that
            of two sites with this displacement. NaN at its centre, and where the fields are too
            small.
        std_error : ndarray like `strength`
            Standard error of that mean, due to the choice of pairs and values.
        max_distance : int
            Largest displacement along each axis.
        window : tuple of int
            Number of sites of a tile along each axis.

    Raises
    ------
    TilingError
        If the fields are too small for any pair, or no fields on a grid.

    Examples
    --------
    Occupied sites attract the next one along an axis, and repel the diagonal one half as much:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.inspection import interaction_map
    >>> X = np.random.default_rng(0).integers(0, 2, size=(300, 8, 8))
    >>> y = sum(
    ...     weight * (X * np.roll(X, shift, (1, 2))).sum((1, 2))
    ...     for weight, shift in ((-1, (1, 0)), (-1, (0, 1)), (0.5, (1, 1)), (0.5, (1, -1)))
    ... )
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-6))
    >>> model = EDNNRegressor(pairs, GridTiling(focus=1, context=1)).fit(X, y)
    >>> print(interaction_map(model, X, max_distance=1, random_state=0).strength.round(3))
    [[0.5 1.  0.5]
     [1.  nan 1. ]
     [0.5 1.  0.5]]
    """
    pairs = _Pairs(estimator, X, term, n_pairs, random_state, "interaction_map")
    if max_distance is None:
        max_distance = max(1, min(pairs.farthest, max(pairs.window) - 1))
    shape = (2 * max_distance + 1,) * len(pairs.axes)
    strength, std_error = np.full(shape, np.nan), np.full(shape, np.nan)
    for place in np.ndindex(shape):
        displacement = np.array(place) - max_distance
        opposite = tuple(max_distance - displacement)
        if place > opposite:  # each pair once; the centre is no pair
            found = pairs.interaction(displacement)
            for each in (place, opposite):
                strength[each], std_error[each] = found
    pairs.require_some(strength)
    return Result(
        strength=strength, std_error=std_error, max_distance=max_distance, window=pairs.window
    )


class _Pairs:
    """Pairs of sites in samples, and their interaction in the predicted total."""

    def __init__(self, estimator, X, term, n_pairs, random_state, caller):
        self._rng, self._n, self._caller = check_random_state(random_state), n_pairs, caller
        self._fitted = grid_term(estimator, X, term, caller)
        self._samples = self._fitted.systems.unstacked()
        self.axes = grid_axes(self._fitted.tiling, self._samples[0].ndim)
        self.window = self._fitted.tile_model.tile_shape[: len(self.axes)]
        self._periodic = getattr(self._fitted.tiling, "boundary", "periodic") == "periodic"

    @property
    def farthest(self) -> int:
        """Two more than the distance of the outermost sites of a window, if the fields allow it."""
        longest = max(x.shape[axis] for x in self._samples for axis in self.axes)
        return max(1, min(max(self.window) + 1, longest // 2 if self._periodic else longest - 1))

    def interaction(self, displacement) -> tuple[float, float]:
        """Return the mean absolute interaction and its standard error, NaN without any pair."""
        # Beyond half of a periodic axis, two sites are closer across the boundary.
        far = np.abs(displacement)
        least = np.maximum(2 * far, 1) if self._periodic else far + 1
        fit = [x for x in self._samples if all(np.array(x.shape)[self.axes] >= least)]
        if not fit:
            return np.nan, np.nan
        fours = [_changed(fit, self.axes, displacement, self._rng) for _ in range(self._n)]
        totals = predict_list(self._fitted.regressor, [x for four in fours for x in four])
        neither, first, second, both = totals.reshape(self._n, 4, -1).swapaxes(0, 1)
        sizes = np.abs(both - first - second + neither).mean(axis=-1)
        return sizes.mean(), sizes.std() / np.sqrt(max(self._n - 1, 1))

    def require_some(self, strength) -> None:
        """Raise TilingError if the fields are too small for any pair."""
        if np.isnan(strength).all():
            raise TilingError(
                f"{self._caller} needs fields of at least 2 sites along some axis, got shapes "
                f"{sorted({x.shape for x in self._samples})}."
            )


def _changed(samples, axes, displacement, rng) -> list[np.ndarray]:
    """Return a field with neither, the first, the second and both of two sites changed."""
    field = samples[rng.randint(len(samples))]
    first = [slice(None)] * field.ndim
    second = list(first)
    for axis, step in zip(axes, displacement, strict=True):
        # Both sites must be within the axis.
        first[axis] = rng.randint(field.shape[axis] - abs(step)) + max(0, -step)
        second[axis] = first[axis] + step
    fields = [field.copy() for _ in range(4)]
    for site, changed in ((tuple(first), fields[1]), (tuple(second), fields[2])):
        value = _other_value(samples, axes, field[site], rng)
        changed[site] = value
        fields[3][site] = value
    return fields


def _other_value(samples, axes, value, rng):
    """Return the value of a random site, different from `value` if a few draws find one."""
    for _ in range(20):
        field = samples[rng.randint(len(samples))]
        site = [slice(None)] * field.ndim
        for axis in axes:
            site[axis] = rng.randint(field.shape[axis])
        drawn = field[tuple(site)]
        if np.any(drawn != value):
            break
    return drawn
