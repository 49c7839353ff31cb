"""Whether predictions are extensive: copies, additivity, shifts, and errors against size."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch, check_consistent_length

from ..estimators._unwrap import terms_in, unwrap
from ..exceptions import TilingError
from ..fields._sources import as_array
from ._grids import grid_axes, predict_list


def size_transfer(y_true, y_pred, sizes):
    """Split the errors of systems of different sizes into a bias and a noise.

    An error that all tiles share adds up with their number, independent ones with its root::

        error  =  bias * N  +  noise * sqrt(N) * z          z: standard normal

    Both follow by maximum likelihood, which is least squares with weights 1 / N.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Totals.
    sizes : array-like of shape (n_samples,)
        N: the number of sites or atoms, or the area, of each system.

    Returns
    -------
    result : Bunch
        bias : float
            In units of y per unit of size.
        bias_std_error : float
            Standard error of `bias`.
        noise : float
            In units of y per root of the unit of size; unbiased in its square.
        crossover : float
            The size above which the bias is the larger part, ``(noise / bias)**2``; infinite
            where the bias is zero.
        sizes : ndarray of shape (n_sizes,)
            The sizes that occur.
        rmse : ndarray of shape (n_sizes,)
            Root mean square error at each of them.
        expected : ndarray of shape (n_sizes,)
            ``sqrt((bias * N)**2 + noise**2 * N)``: far from `rmse`, the two parts do not tell the
            whole story.
        exponent : float
            Of the size, in a fit of a power law to `rmse`: 1/2 for noise alone, 1 for bias alone;
            NaN with one size.

    Examples
    --------
    A bias and a noise, planted and found:

    >>> import numpy as np
    >>> from sk_ednn.inspection import size_transfer
    >>> rng = np.random.default_rng(0)
    >>> N = np.repeat([64, 256, 1024, 4096], 200)
    >>> error = 0.002 * N + 0.1 * np.sqrt(N) * rng.normal(size=len(N))
    >>> found = size_transfer(-2.0 * N, -2.0 * N + error, N)
    >>> print(f"{found.bias:.4f} ± {found.bias_std_error:.4f}, {found.noise:.2f}")
    0.0019 ± 0.0001, 0.10
    """
    y_true, y_pred = as_array(y_true, "y_true", float), as_array(y_pred, "y_pred", float)
    N = as_array(sizes, "sizes", float)
    check_consistent_length(y_true, y_pred, N)
    if y_true.ndim != 1 or y_pred.shape != y_true.shape or N.shape != y_true.shape:
        raise ValueError(
            "size_transfer expects three arrays of shape (n_samples,), got "
            f"{y_true.shape}, {y_pred.shape} and {N.shape}."
        )
    if len(N) < 2 or not (N > 0).all():
        raise ValueError(
            f"size_transfer needs at least two systems, of positive size; got {len(N)} with "
            f"sizes from {N.min(initial=np.inf)}."
        )
    errors = y_pred - y_true
    bias = errors.sum() / N.sum()
    noise = np.sqrt(np.sum((errors - bias * N) ** 2 / N) / (len(N) - 1))
    values = np.unique(N)
    rmse = np.array([np.sqrt(np.mean(errors[value == N] ** 2)) for value in values])
    exponent = np.nan
    if len(values) > 1 and (rmse > 0).all():
        exponent = np.polyfit(np.log(values), np.log(rmse), 1)[0]
    return Bunch(
        bias=float(bias),
        bias_std_error=float(noise / np.sqrt(N.sum())),
        noise=float(noise),
        crossover=float((noise / bias) ** 2) if bias else np.inf,
        sizes=values,
        rmse=rmse,
        expected=np.sqrt((bias * values) ** 2 + noise**2 * values),
        exponent=float(exponent),
    )


def extensivity_report(estimator, X, y=None, *, sizes=None):
    """Measure how far a fitted model's predictions are from extensive.

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
        Or an EDNNCommittee, or ShiftAveraged around one of these.
    X : what the estimator predicts
        Of several sizes, in a list, for the transfer between sizes.
    y : array-like of shape (n_samples,), default=None
        True totals; None to leave the transfer between sizes out.
    sizes : array-like of shape (n_samples,), default=None
        What the totals grow with. None for the number of sites.

    Returns
    -------
    report : Bunch
        copies : ndarray of shape (n_axes,)
            For each grid axis, by how much the total of a field doubled along it differs from twice
            the total: the largest, relative to the total's root mean square. Rounding errors only,
            where `boundary` is periodic; else the part of the surface.
        additivity : float
            By how much the contributions fail to add up to the total: the largest, relative alike.
        shifts : list of ndarray of shape (focus,)
            For each grid axis, the root mean square change of the totals, in units of y, when
            periodic fields are shifted by 0 to focus - 1 sites; a measure of the model's error.
            Empty where the boundary is not periodic.
        shift_by_focus : ndarray of shape (n_axes,)
            The largest change, relative as above, after a shift by a whole focus.
        size_transfer : Bunch or None
            What `size_transfer` returns.

    Notes
    -----
    Fields are doubled and shifted as they stand before the tiling: what draws them (steps of a
    Pipeline) is not put to the test.

    Examples
    --------
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.inspection import extensivity_report
    >>> train = make_ising(300, (8, 8), random_state=0)
    >>> model = EDNNRegressor(tiling=GridTiling(2, 1)).fit(train.fields, train.energies)
    >>> test = make_ising(20, (8, 8), random_state=1)
    >>> report = extensivity_report(model, test.fields, test.energies)
    >>> bool(max(report.copies) < 1e-12), bool(report.additivity < 1e-12)
    (True, True)
    >>> print(f"shifted by a site, totals change by {report.shifts[0][1]:.1f} J")
    shifted by a site, totals change by 1.3 J
    """
    regressor, X = unwrap(estimator, X)
    tilings = [tiling for _, tiling in terms_in(regressor)]
    if any(not hasattr(tiling, "boundary") for tiling in tilings):
        raise TilingError(
            "extensivity_report doubles and shifts fields on grids: all tilings must be "
            f"GridTiling, got {[type(tiling).__name__ for tiling in tilings]}."
        )
    fields = tilings[0].check(X)
    samples = fields.unstacked()
    total = predict_list(regressor, samples)
    scale = np.sqrt(np.mean(total**2)) or 1.0
    axes = grid_axes(tilings[0], samples[0].ndim)
    report = Bunch(
        copies=np.array(
            [
                np.abs(
                    predict_list(regressor, [np.concatenate([x, x], axis=axis) for x in samples])
                    - 2 * total
                ).max()
                / scale
                for axis in axes
            ]
        ),
        additivity=_additivity(regressor, samples, total) / scale,
        shifts=[],
        shift_by_focus=np.array([]),
        size_transfer=None,
    )
    if all(tiling.boundary == "periodic" for tiling in tilings):
        by_focus = []
        for number, axis in enumerate(axes):
            focus = _common_focus(tilings, number, samples)
            changes = [
                predict_list(regressor, [np.roll(x, shift, axis=axis) for x in samples]) - total
                for shift in range(focus + 1)
            ]
            report.shifts.append(np.array([np.sqrt(np.mean(c**2)) for c in changes[:-1]]))
            by_focus.append(np.abs(changes[-1]).max() / scale)
        report.shift_by_focus = np.array(by_focus)
    if y is not None:
        if sizes is None:
            sizes = [np.prod([x.shape[axis] for axis in axes]) for x in samples]
        report.size_transfer = size_transfer(y, total, sizes)
    return report


def _common_focus(tilings, number, samples) -> int:
    """Return the smallest shift along a grid axis that moves the tiles of all terms whole."""
    lengths = []
    for tiling in tilings:
        tile_shape = tiling.tile_shape(samples[0].shape)
        lengths.append(tiling.focus_shape(tile_shape)[number])
    return int(np.lcm.reduce(lengths))


def _additivity(regressor, samples, total) -> float:
    members = getattr(regressor, "estimators_", [regressor])
    summed = 0.0
    for member in members:
        maps = member.predict_contributions(samples)
        for of_term in maps.values() if isinstance(maps, dict) else [maps]:
            axes_out = np.ndim(total) - 1
            summed = summed + np.array(
                [values.sum(axis=tuple(range(values.ndim - axes_out))) for values in of_term]
            ) / len(members)
    return float(np.abs(summed - total).max())
