"""Extensivity of predictions: copies, additivity, shifts, and errors against size."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_consistent_length

from .._utils.results import Result
from ..estimators._unwrap import terms_in, unwrap
from ..exceptions import TilingError
from ..fields._in_memory import as_array
from ._grids import grid_axes, predict_list


def size_transfer(y_true, y_pred, sizes):
    """Split the errors of systems of different sizes into bias and noise.

    An error common to all tiles grows with their number, independent errors with its square root::

        error  =  bias * N  +  noise * sqrt(N) * z          z: standard normal

    Both are maximum likelihood estimates, that is, least squares with weights 1 / N.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Totals.
    sizes : array-like of shape (n_samples,)
        N: number of sites or atoms, or area, of each system.

    Returns
    -------
    result : Bunch
        bias : float
            In units of y per unit of size.
        bias_std_error : float
            Standard error of `bias`.
        noise : float
            In units of y per square root of the unit of size. The square is unbiased.
        crossover : float
            Size above which the bias dominates, ``(noise / bias)**2``; infinite if the bias is
            zero.
        sizes : ndarray of shape (n_sizes,)
            Distinct sizes.
        rmse : ndarray of shape (n_sizes,)
            Root mean square error at each size.
        expected : ndarray of shape (n_sizes,)
            ``sqrt((bias * N)**2 + noise**2 * N)``. If it differs much from `rmse`, the errors do
            not follow this model.
        exponent : float
            Exponent of the size in a power law fitted to `rmse`: 1/2 for noise alone, 1 for bias
            alone, NaN for one size.

    Examples
    --------
    Recover a known bias and noise:

    >>> import numpy as np
    >>> from sk_ednn.inspection import size_transfer
    >>> rng = np.random.default_rng(0)
    >>> N = np.repeat([64, 256, 1024, 4096], 200)
    >>> error = 0.002 * N + 0.1 * np.sqrt(N) * rng.normal(size=len(N))
    >>> transfer = size_transfer(-2.0 * N, -2.0 * N + error, N)
    >>> print(f"{transfer.bias:.4f} ± {transfer.bias_std_error:.4f}, {transfer.noise:.2f}")
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
            f"size_transfer needs at least two systems, of positive size; got {len(N)} with a "
            f"smallest size of {N.min(initial=np.inf)}."
        )
    errors = y_pred - y_true
    bias = errors.sum() / N.sum()
    noise = np.sqrt(np.sum((errors - bias * N) ** 2 / N) / (len(N) - 1))
    values = np.unique(N)
    rmse = np.array([np.sqrt(np.mean(errors[value == N] ** 2)) for value in values])
    exponent = np.nan
    if len(values) > 1 and (rmse > 0).all():
        exponent = np.polyfit(np.log(values), np.log(rmse), 1)[0]
    return Result(
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
    """Measure how far the predictions of a fitted model are from extensive.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee, ShiftAveraged, or a Pipeline or search around one
        Fitted.
    X : samples to predict
        A list of fields of several sizes for `size_transfer`.
    y : array-like of shape (n_samples,), default=None
        True totals. None to omit `size_transfer`.
    sizes : array-like of shape (n_samples,), default=None
        Sizes for `size_transfer`. None for the number of sites.

    Returns
    -------
    report : Bunch
        copies : ndarray of shape (n_axes,)
            For each grid axis, the largest difference between the total of a field doubled along
            it and twice its total, relative to the root mean square of the totals. It is round-off
            if `boundary` is periodic, else the contribution of the surface.
        additivity : float
            Largest difference between the sum of contributions and the total, relative as above.
        shifts : list of ndarray of shape (focus,)
            For each grid axis, the root mean square change of the totals, in units of y, when
            periodic fields are shifted by 0 to focus - 1 sites. It measures the error of the
            model. Empty if the boundary is not periodic.
        shift_by_focus : ndarray of shape (n_axes,)
            Largest change after a shift by a whole focus, relative as above.
        size_transfer : Bunch or None
            Result of `size_transfer`.

    Raises
    ------
    TilingError
        If a tiling is not a GridTiling.

    Notes
    -----
    Fields are doubled and shifted after the transformers of a Pipeline, which are not tested.

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
    >>> print(f"a shift by one site changes totals by {report.shifts[0][1]:.1f} J")
    a shift by one site changes totals by 1.3 J
    """
    regressor, X = unwrap(estimator, X)
    tilings = [tiling for _, tiling in terms_in(regressor)]
    if any(not tiling.is_grid or tiling.boundary is None for tiling in tilings):
        raise TilingError(
            "extensivity_report doubles and shifts fields on grids, so all tilings must be "
            f"GridTiling; got {[type(tiling).__name__ for tiling in tilings]}."
        )
    fields = tilings[0].check(X)
    samples = fields.unstacked()
    total = predict_list(regressor, samples)
    scale = np.sqrt(np.mean(total**2)) or 1.0
    axes = grid_axes(tilings[0], samples[0].ndim)
    report = Result(
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
        additivity=additivity_error(regressor, samples, total),
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
    """Return the least common multiple of the focuses of all terms along a grid axis."""
    lengths = []
    for tiling in tilings:
        tile_shape = tiling.tile_shape(samples[0].shape)
        lengths.append(tiling.focus_shape(tile_shape)[number])
    return int(np.lcm.reduce(lengths))


def additivity_error(model, samples, total) -> float:
    """Return the largest difference between the sum of contributions and the total.

    Relative to the root mean square of the totals.

    Parameters
    ----------
    model : EDNNRegressor, EDNNCommittee or ShiftAveraged, fitted
    samples : list of fields, or systems of any kind
    total : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Predictions of the samples.
    """
    members = getattr(model, "estimators_", [model])
    summed = 0.0
    for member in members:
        maps = member.predict_contributions(samples)
        for of_term in maps.values() if isinstance(maps, dict) else [maps]:
            axes_out = np.ndim(total) - 1
            summed = summed + np.array(
                [values.sum(axis=tuple(range(values.ndim - axes_out))) for values in of_term]
            ) / len(members)
    scale = np.sqrt(np.mean(total**2)) or 1.0
    return float(np.abs(summed - total).max() / scale)
