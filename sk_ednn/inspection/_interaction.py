"""Interactions between sites in the total, independent of how it is split into contributions."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from ..exceptions import TilingError
from ._grids import grid_axes, grid_term, predict_list


@validate_params(
    {
        "max_distance": [Interval(Integral, 1, None, closed="left"), None],
        "n_pairs": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def interaction_profile(
    estimator, X, *, max_distance=None, n_pairs=50, term=None, random_state=None
):
    """Measure the interaction between two sites in the predicted total, by their distance.

    For two sites i and j, new values are drawn from the data. The total is predicted with both,
    either and none of the sites changed::

        change of both  -  change of i alone  -  change of j alone

    The interaction vanishes if the total is a sum of a part without i and a part without j. It is
    a property of totals, which, unlike contributions, are unique (see `null_space`).

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
    rng = check_random_state(random_state)
    fitted = grid_term(estimator, X, term, "interaction_profile")
    samples = fitted.systems.unstacked()
    axes = grid_axes(fitted.tiling, samples[0].ndim)
    window = fitted.tile_model.tile_shape[: len(axes)]
    periodic = getattr(fitted.tiling, "boundary", "periodic") == "periodic"
    if max_distance is None:
        longest = max(x.shape[axis] for x in samples for axis in axes)
        max_distance = max(1, min(max(window) + 1, longest // 2 if periodic else longest - 1))
    distances = np.arange(1, max_distance + 1)
    strength = np.full((len(axes), len(distances)), np.nan)
    std_error = strength.copy()
    for number, axis in enumerate(axes):
        for d in distances:
            # Beyond half of a periodic axis, two sites are closer across the boundary.
            least = 2 * d if periodic else d + 1
            fit = [x for x in samples if x.shape[axis] >= least]
            if fit:
                pairs = [_changed(fit, axes, axis, d, rng) for _ in range(n_pairs)]
                totals = predict_list(fitted.regressor, [x for four in pairs for x in four])
                neither, first, second, both = totals.reshape(n_pairs, 4, -1).swapaxes(0, 1)
                interaction = np.abs(both - first - second + neither).mean(axis=-1)
                strength[number, d - 1] = interaction.mean()
                std_error[number, d - 1] = interaction.std() / np.sqrt(max(n_pairs - 1, 1))
    if np.isnan(strength).all():
        raise TilingError(
            "interaction_profile needs fields of at least 2 sites along some axis, got shapes "
            f"{sorted({x.shape for x in samples})}."
        )
    return Bunch(distances=distances, strength=strength, std_error=std_error, window=window)


def _changed(samples, axes, axis, distance, rng) -> list[np.ndarray]:
    """Return a field with neither, the first, the second and both of two sites changed."""
    field = samples[rng.randint(len(samples))]
    first = [slice(None)] * field.ndim
    for grid_axis in axes:
        first[grid_axis] = rng.randint(field.shape[grid_axis])
    second = list(first)
    if first[axis] + distance >= field.shape[axis]:
        # The second site must be within the axis.
        first[axis] = rng.randint(field.shape[axis] - distance)
    second[axis] = first[axis] + distance
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
