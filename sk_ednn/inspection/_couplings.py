"""Couplings: terms of one and of two sites in the total, with their signs."""

from __future__ import annotations

import math
import warnings
from itertools import product
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from .._utils.results import Result
from .._utils.stacklevel import outside_package
from ..estimators._unwrap import terms_in, unwrap
from ..exceptions import NoveltyWarning, TileModelError
from ..fields._channels import channel_index
from ._coupling_basis import Basis, centred
from ._grids import predict_list, require_grid

# Numbers of the fields that are predicted at a time.
_AT_A_TIME = 1 << 22


@validate_params(
    {
        "values": ["array-like", None],
        "pair_functions": [dict, None],
        "site_functions": [dict, None],
        "max_distance": [Interval(Integral, 1, None, closed="left"), None],
        "n_fields": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def couplings(
    estimator,
    X,
    *,
    values=None,
    pair_functions=None,
    site_functions=None,
    max_distance=None,
    n_fields=10,
    random_state=None,
):
    """Measure the couplings of a model: what one site, and each pair of sites, adds to the total.

    The total is predicted for fields of random values with values a and b at two sites. Its mean
    over all other sites, less the means over a and over b, is the interaction of the two::

        E(a, b)  -  mean over a  -  mean over b  +  mean over both

    This is a table over the values for each displacement of the second site. It is projected onto
    functions of two values, whose coefficients are couplings with their signs. If all values are
    equally likely, as here, the terms of one, two and more sites of any total are unique; they are
    those of a cluster expansion.

    Parameters
    ----------
    estimator : EDNNRegressor, Pipeline that ends in one, or search over either; fitted
        A Pipeline may begin with `AngleFields` or `OneHotFields`.
    X : samples to predict
        For the values and the axes of fields. Totals are predicted for small fields of random
        values.
    values : array-like of shape (n_values,) or (n_values, n_channels), default=None
        Values of a site. None for those of `X` if there are at most 16, else 8 quantiles; for
        angles, 8 or more in equal steps.
    pair_functions : dict of callable, default=None
        By name, functions of two arrays of values, with channels in the last axis if there are any.
        None for the product of numbers, with that of their squares if there are more than two, and
        the cosines and the sine of the difference of angles. For channels, the scalar product, or
        the product of each channel where only these explain the interactions. For labels, 1 for
        equal ones, or the functions of numbers where only these explain the interactions; for
        labels symmetric about zero, such as -1, 0 and 1, those of numbers are tried first.
    site_functions : dict of callable, default=None
        By name, functions of an array of values. None for the value, and its square if there are
        more than two, each channel, or the cosine and sine of an angle; none with the equality of
        labels.
    max_distance : int, default=None
        Largest displacement along an axis. None for that of the outermost sites of a window.
    n_fields : int, default=10
        Number of fields of random values. One is enough for models in which only pairs interact.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    result : Bunch
        site_values : ndarray of shape (n_values[, n_channels])
            Values for which interactions were measured.
        displacements : ndarray of int of shape (n_displacements, n_axes)
            From the first site to the second one, by their distance. Of each displacement and its
            opposite, one is listed.
        coefficients : dict of ndarray of shape (n_displacements,)
            For each pair function its coefficient, in units of y: the total contains the
            coefficient times the function once for each pair of sites. ``-J s s'`` of Ising spins
            has the coefficient -J of the product.
        std_errors : dict of ndarray of shape (n_displacements,)
            Standard errors of the coefficients, due to the choice of fields; NaN for one field.
        explained : ndarray of shape (n_displacements,)
            Share of the variance of each table that all functions explain together. NaN for
            tables that are a millionth of the largest one.
        tables : ndarray of shape (n_displacements, n_values, n_values)
            Interactions, with a row for each value of the first site.
        spread : ndarray of shape (n_displacements,)
            Standard deviation of the interaction over fields, zero if only pairs interact.
        site_energies : ndarray of shape (n_values,)
            Part of the total of one site, with a mean of zero, on average over all others.
        site_coefficients : dict of float
            For each site function its coefficient, in units of y, in the total written as
            coefficients times pair functions, plus coefficients times site functions: what pair
            functions add to single sites, on average over the other one, is not in it, but it is in
            `site_energies`. An energy ``D s² - K s² s'²`` of spins of -1, 0 and 1 has the
            coefficient D of the square.
        site_std_errors : dict of float
            Their standard errors, due to the choice of fields; NaN for one field.

    Warns
    -----
    UserWarning
        If the functions explain less than 0.99 of an interaction that is at least a tenth of the
        largest one: coefficients are then not the couplings of the model.

    Raises
    ------
    TilingError
        If the model is not one of fields on a grid.
    TileModelError
        If the model predicts several totals.
    ValueError
        If values, or what a function returns, have the wrong shape.

    See Also
    --------
    interaction_profile, interaction_map : Mean absolute interactions in fields of the data.

    Notes
    -----
    Predictions are made for ``n_fields * n_displacements * n_values**2`` small fields, in which a
    model may extrapolate: random values are those of an infinite temperature. Beyond the window of
    a model, sites do not interact. If the focus is more than one site, the mean is over all places
    within it. Pairs are far from a boundary that is not periodic.

    References
    ----------
    J. M. Sanchez, F. Ducastelle, D. Gratias, Physica A 1984, 128, 334 (cluster expansion).

    Examples
    --------
    Ising spins with J = 1, trained on totals:

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> from sk_ednn.inspection import couplings
    >>> X, y = make_ising(600, (8, 8), random_state=0, return_X_y=True)
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
    >>> model = EDNNRegressor(pairs, GridTiling(focus=1, context=1)).fit(X, y)
    >>> found = couplings(model, X, random_state=0)
    >>> for where, product in zip(found.displacements, found.coefficients["product"]):
    ...     if abs(where).max() == 1:
    ...         print(where, round(product, 2) + 0)
    [0 1] -1.0
    [1 0] -1.0
    [ 1 -1] 0.0
    [1 1] 0.0
    """
    rng = check_random_state(random_state)
    pairs = _Pairs(estimator, X, max_distance)
    bases = Basis.candidates(estimator, X, pairs.channel, values, pair_functions, site_functions)
    measured = [pairs.measure(bases[0].values, rng) for _ in range(n_fields)]
    tables = np.array([each.tables for each in measured])
    sites = np.array([each.alone(tables.mean(axis=0)) for each in measured])
    basis = next((each for each in bases if each.unexplained(tables) is None), bases[0])
    _warn_of_unexplained(basis, tables, pairs.displacements)
    by_pair, by_site = basis.projections()
    each = np.array([by_pair.coefficients(some) for some in tables])
    # What pair functions add to single sites, as they are not zero on average over one value.
    written = sites - np.array([
        np.einsum("fd,dfv->v", some, basis.of_single_sites(measured[0].around)) for some in each
    ])  # fmt: skip
    of_sites = by_site.coefficients(written).T
    return Result(
        site_values=basis.values,
        displacements=np.array(pairs.displacements, dtype=int).reshape(-1, pairs.n_axes),
        coefficients=dict(zip(basis.pair_functions, each.mean(axis=0), strict=True)),
        std_errors=dict(zip(basis.pair_functions, _std_error(each), strict=True)),
        explained=by_pair.explained(tables.mean(axis=0)),
        tables=tables.mean(axis=0),
        spread=np.sqrt(np.mean(tables.var(axis=0), axis=(1, 2))),
        site_energies=sites.mean(axis=0),
        site_coefficients=dict(
            zip(basis.site_functions, of_sites.mean(axis=0).tolist(), strict=True)
        ),
        site_std_errors=dict(zip(basis.site_functions, _std_error(of_sites).tolist(), strict=True)),
    )


def _warn_of_unexplained(basis, tables, displacements) -> None:
    found = basis.unexplained(tables)
    if found is None:
        return
    where, share = found
    warnings.warn(
        f"{', '.join(basis.pair_functions) or 'No function'} "
        f"{'explain' if len(basis.pair_functions) > 1 else 'explains'} {100 * share:.3g} % of the "
        f"interaction at the displacement {list(displacements[where])}: the coefficients are not "
        "the couplings of the model. Pass the functions of two values in its energy as "
        "pair_functions={name: function}; the interactions are in `tables`.",
        stacklevel=outside_package(),
    )


def _std_error(values) -> np.ndarray:
    """Return the standard error of the mean over the first axis, NaN for one value."""
    if len(values) == 1:
        return np.full(values.shape[1:], np.nan)
    return values.std(axis=0, ddof=1) / math.sqrt(len(values))


class _Measured(NamedTuple):
    """Interactions of a site with others in one field.

    Attributes
    ----------
    tables : ndarray of shape (n_displacements, n_values, n_values)
    totals : ndarray of shape (n_values,)
        Of the field with each value at the site.
    around : list of (int, int or None)
        For each displacement, the states of the sites at it and at its opposite.
    """

    tables: np.ndarray
    totals: np.ndarray
    around: list

    def alone(self, tables) -> np.ndarray:
        """Return the total by the value of the site, less its interactions.

        Their mean over many fields is zero; for few, subtracting them removes the scatter.
        """
        energies = self.totals.copy()
        for table, (after, before) in zip(tables, self.around, strict=True):
            energies -= table[:, after]
            if before is not None:
                energies -= table[before]
        return energies - energies.mean()


class _Pairs:
    """Pairs of sites in small fields of random values."""

    def __init__(self, estimator, X, max_distance):
        self._estimator = estimator
        sample = np.asarray(next(iter(X)))
        terms = terms_in(unwrap(estimator)[0])
        for _, tiling in terms:
            require_grid(tiling, "couplings")
        shape = np.shape(unwrap(estimator, [sample])[1][0])  # as the model sees the field
        windows = [tiling.axis_windows(shape) for _, tiling in terms]
        self.channel = channel_index(terms[0][1].channel_axis, len(shape))
        grid = np.array([n for axis, n in enumerate(shape) if axis != self.channel])
        if len(shape) > sample.ndim:  # an encoder makes the channels
            self.channel = None
        self.n_axes = len(grid)
        n_tiles = np.array([[len(along) for along in each] for each in windows])
        width = np.max([[along.shape[1] for along in each] for each in windows], axis=0)
        focus = np.lcm.reduce(-(-grid // n_tiles), axis=0)
        self._periodic = all(tiling.boundary == "periodic" for _, tiling in terms)
        # Tiles of a whole axis fit no other length.
        whole = (n_tiles == 1).any(axis=0)
        least = 2 * width - 1 if self._periodic else 4 * (width - 1) + focus
        self._shape = np.where(whole, grid, -(-least // focus) * focus)
        farthest = self._shape // 2 if self._periodic else (self._shape - 1) // 2
        reach = np.minimum(width - 1, farthest)
        reach = reach if max_distance is None else np.minimum(reach, max_distance)
        self.displacements = _half(reach)
        # Sites of one focus, in the middle.
        self._start = np.where(whole, reach, (self._shape - focus) // 2)
        self._extent = np.where(whole, np.maximum(self._shape - 2 * reach, 1), focus)

    def measure(self, values, rng) -> _Measured:
        """Measure the interactions of one site in a field of random values."""
        n = len(values)
        states = rng.randint(n, size=self._shape)
        first = self._start + rng.randint(self._extent)
        tables = np.empty((len(self.displacements), n, n))
        for k, displacement in enumerate(self.displacements):
            fields = np.repeat(values[states][None], n * n, axis=0)
            fields[:, *first] = np.repeat(values, n, axis=0)
            second: Any = self._at(first, displacement)
            fields[:, *second] = np.concatenate([values] * n)
            tables[k] = self._totals(fields).reshape(n, n)
        fields = np.repeat(values[states][None], n, axis=0)
        fields[:, *first] = values
        ends = [
            (self._at(first, displacement), self._at(first, -np.array(displacement)))
            for displacement in self.displacements
        ]
        # Across half of a periodic axis, both ends are one site.
        around = [
            (states[after], None if before == after else states[before]) for after, before in ends
        ]
        return _Measured(centred(tables), self._totals(fields), around)

    def _at(self, site, displacement) -> tuple[int, ...]:
        return tuple(((site + displacement) % self._shape).tolist())

    def _totals(self, fields) -> np.ndarray:
        if self.channel is not None:
            fields = np.moveaxis(fields, -1, 1 + self.channel)
        step = max(1, _AT_A_TIME // fields[0].size)
        with warnings.catch_warnings():
            # Random values are not those of the data on purpose.
            warnings.simplefilter("ignore", NoveltyWarning)
            totals = np.concatenate(
                [
                    predict_list(self._estimator, fields[start : start + step])
                    for start in range(0, len(fields), step)
                ]
            )
        if totals.ndim > 1:
            raise TileModelError(
                f"couplings needs a model of one total; this one predicts {totals.shape[1]}."
            )
        return totals


def _half(reach) -> list[tuple[int, ...]]:
    """Return displacements up to a reach along each axis, one of each and its opposite."""
    every = product(*(range(-each, each + 1) for each in map(int, reach)))
    half = [d for d in every if d > tuple(-each for each in d)]
    return sorted(half, key=lambda d: (sum(each * each for each in d), d))
