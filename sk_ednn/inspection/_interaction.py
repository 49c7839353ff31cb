"""How far sites act on each other in the total: a range that no choice of contributions changes."""

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
    """Measure how strongly two sites act on each other in the predicted total, by their distance.

    For two sites i and j, values are drawn from elsewhere in the data, and the total is predicted
    with both, either and none of them changed::

        change of both  -  change of i alone  -  change of j alone

    This vanishes where the total is a sum of a part without i and a part without j. It is a
    property of totals alone: unlike the contributions, they leave no freedom (see `null_space`).

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
    X : what the estimator predicts
        Small fields do: each pair takes four predictions of one.
    max_distance : int, default=None
        None for two more than the farthest sites of a window are apart, as far as the fields allow
        (half of a periodic axis).
    n_pairs : int, default=50
        Pairs for each axis and distance.
    term : str, default=None
        Whose window says how far to look, where the estimator has several terms. All of them are
        predicted.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    result : Bunch
        distances : ndarray of int of shape (n_distances,)
            From 1, in sites, along an axis.
        strength : ndarray of shape (n_axes, n_distances)
            Mean absolute interaction, in units of y; NaN where an axis is too short. Exactly zero,
            but for rounding, beyond a window.
        std_error : ndarray of shape (n_axes, n_distances)
            Of that mean.
        window : tuple of int
            Sites of a tile along each axis.

    Raises
    ------
    TilingError
        Where the fields are too small for any pair.

    Examples
    --------
    Only nearest neighbours interact. A model that looks two sites far has found that out:

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
            # Half of a periodic axis: beyond, the two are nearer the other way round.
            least = 2 * d if periodic else d + 1
            fit = [x for x in samples if x.shape[axis] >= least]
            if fit:
                pairs = [_changed(fit, axes, axis, d, rng) for _ in range(n_pairs)]
                totals = predict_list(fitted.regressor, [x for four in pairs for x in four])
                neither, first, second, both = totals.reshape(n_pairs, 4, -1).swapaxes(0, 1)
                found = np.abs(both - first - second + neither).mean(axis=-1)
                strength[number, d - 1] = found.mean()
                std_error[number, d - 1] = found.std() / np.sqrt(max(n_pairs - 1, 1))
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
    for each in axes:
        first[each] = rng.randint(field.shape[each])
    second = list(first)
    if first[axis] + distance >= field.shape[axis]:
        # The other way round the ring, or back from the end of an axis.
        first[axis] = rng.randint(field.shape[axis] - distance)
    second[axis] = first[axis] + distance
    fields = [field.copy() for _ in range(4)]
    for place, changed in ((tuple(first), fields[1]), (tuple(second), fields[2])):
        value = _other_value(samples, axes, field[place], rng)
        changed[place] = value
        fields[3][place] = value
    return fields


def _other_value(samples, axes, value, rng):
    """Return what some site holds, another value if a few trials find one."""
    for _ in range(20):
        field = samples[rng.randint(len(samples))]
        place = [slice(None)] * field.ndim
        for each in axes:
            place[each] = rng.randint(field.shape[each])
        drawn = field[tuple(place)]
        if np.any(drawn != value):
            break
    return drawn
