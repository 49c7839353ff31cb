"""The mean of a model's predictions over shifts of its tiles: what it says of no place to begin."""

from __future__ import annotations

import copy
from math import lcm
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._utils.stored import stored
from ..exceptions import TilingError
from ..fields._channels import channel_index
from ..fields._fields import check_fields, check_ndim
from ..fields._rolling import rolled
from ..fields._shifts import chosen, shared
from ..tiling import AbstractTiling, GridTiling
from ._regressor import EDNNRegressor
from ._targets import ScoredByTotals
from ._unwrap import keep_columns_of, regressors_of, with_tags_of


def _inner_has(name):
    def check(self):
        inner = EDNNRegressor() if self.estimator is None else self.estimator
        getattr(getattr(self, "estimator_", inner), name)
        return True

    return check


@stored("ShiftAveraged")
class ShiftAveraged(MetaEstimatorMixin, ScoredByTotals, BaseEstimator):
    """Predict the mean over shifts of the tiles, by whole sites less than the focus.

    A total does not change when a periodic field is shifted by a focus, but does, somewhat, when it
    is shifted by less: the tiles are others. The mean over all shifts below the focus does not::

        predict(X)  =  mean over shifts s of  estimator.predict(X as it begins with site s)

    So does its derivative move with the field. It costs a prediction a shift; the fit is that of
    the estimator alone.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee or search over either, default=None
        It is cloned. None for ``EDNNRegressor()``. Transformers (a `GaussianRasterizer`, say) stand
        before this estimator, in a Pipeline, and not within.
    n_shifts : int, "all", or tuple of int with one per grid axis, default=8
        How many shifts; all there are where they are fewer. "all" makes the mean invariant under
        shifts by any whole number of sites. A tuple takes every combination of so many shifts along
        each axis.
    selection : {"even", "random"}, default="even"
        Which: each as far as possible from those before it, beginning with none at all; or drawn.
    random_state : int, RandomState or None, default=None
        Draws them, where ``selection="random"``.

    Attributes
    ----------
    estimator_ : estimator
        Fitted.
    shifts_ : ndarray of int of shape (n_shifts, n_grid_axes)
        The sites with which the tiles begin.
    n_outputs_ : int

    See Also
    --------
    sk_ednn.solvers.GradientSolver : ``symmetries=("shift",)`` teaches it to networks in training.

    Notes
    -----
    Where there are several terms, or a committee's members differ, shifts are below the least
    common multiple of their focuses. For the spread of a committee, average its members:
    ``EDNNCommittee(ShiftAveraged(...))``.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.ndimage import gaussian_filter1d
    >>> from sklearn.kernel_ridge import KernelRidge
    >>> from sk_ednn import EDNNRegressor, GridTiling, ShiftAveraged
    >>> rng = np.random.default_rng(0)
    >>> waves = gaussian_filter1d(rng.normal(size=(500, 48)), 1.0, axis=1, mode="wrap")
    >>> total = np.sum(np.sin(3 * waves) * np.roll(waves, 1, axis=1), axis=1)
    >>> single = EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.3, alpha=1e-4), GridTiling(4, 1))
    >>> for n_shifts in (1, 2, 4):
    ...     model = ShiftAveraged(single, n_shifts).fit(waves[:200], total[:200])
    ...     shifted = [model.predict(np.roll(waves[300:], k, axis=1)) for k in range(4)]
    ...     change, error = np.std(shifted, axis=0).mean(), np.abs(shifted[0] - total[300:]).mean()
    ...     print(f"{n_shifts}: changes by {change:.2f}, off by {error:.2f}")
    1: changes by 0.22, off by 0.30
    2: changes by 0.11, off by 0.23
    4: changes by 0.00, off by 0.19
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_shifts": [Interval(Integral, 1, None, closed="left"), StrOptions({"all"}), tuple, list],
        "selection": [StrOptions({"even", "random"})],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator=None, n_shifts=8, *, selection="even", random_state=None):
        self.estimator = estimator
        self.n_shifts = n_shifts
        self.selection = selection
        self.random_state = random_state

    @classmethod
    def of(cls, model, n_shifts=8, *, selection="even", random_state=None):
        """Return a fitted model with its predictions averaged, and nothing fitted again.

        Parameters
        ----------
        model : fitted EDNNRegressor or EDNNCommittee, search over it, or Pipeline that ends in it
            It is not changed, and may be fitted anew: what is averaged is the model as it is now.
        n_shifts, selection, random_state
            See `ShiftAveraged`.

        Returns
        -------
        ShiftAveraged, or Pipeline that ends in one

        Raises
        ------
        TilingError
            Where the fields are not periodic.
        """
        while hasattr(model, "best_estimator_") and hasattr(model.best_estimator_, "steps"):
            model = model.best_estimator_
        if hasattr(model, "steps"):
            check_is_fitted(model)
            last = cls.of(
                model.steps[-1][1], n_shifts, selection=selection, random_state=random_state
            )
            model = copy.copy(model)
            model.steps = [*model.steps[:-1], (model.steps[-1][0], last)]
            return model
        averaged = cls(model, n_shifts, selection=selection, random_state=random_state)
        averaged._validate_params()
        # A fit gives an estimator other attributes, and leaves those that this copy shares.
        return averaged._around(copy.copy(model))

    def fit(self, X, y, sample_weight=None, *, groups=None, gradient=None):
        """Fit the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
        gradient : array-like like X, or list of n_samples objects, default=None
            These three are handed on where they are given; see `EDNNRegressor.fit`.

        Returns
        -------
        self

        Raises
        ------
        TilingError
            Where the fields are not periodic.
        """
        self._validate_params()
        template = EDNNRegressor() if self.estimator is None else self.estimator
        # Before what may take hours.
        for name, part in template.get_params(deep=True).items():
            if isinstance(part, AbstractTiling):
                _require_periodic(part, name)
        known = {"sample_weight": sample_weight, "groups": groups, "gradient": gradient}
        known = {name: values for name, values in known.items() if values is not None}
        return self._around(clone(template).fit(X, y, **known))

    def _around(self, estimator):
        """Become fitted, with a fitted estimator; return self."""
        regressors = regressors_of(estimator)
        check_is_fitted(regressors[0])
        terms = [term for regressor in regressors for term in regressor.fitted_terms()]
        for _, tiling in terms:
            _require_periodic(tiling, "tiling")
        field_ndim = regressors[0]._field_ndim
        channels = {channel_index(tiling.channel_axis, field_ndim) for _, tiling in terms}
        if len(channels) > 1:
            raise TilingError(
                "To be shifted together, all terms must have the same grid axes: their "
                f"channel_axis is {[tiling.channel_axis for _, tiling in terms]}."
            )
        focuses = [_focus(*term) for term in terms]
        period = tuple(lcm(*along) for along in zip(*focuses, strict=True))
        random_state = check_random_state(self.random_state)
        self.shifts_ = chosen(period, self.n_shifts, self.selection, random_state)
        self.estimator_ = estimator
        self.n_outputs_ = regressors[0].n_outputs_
        self._grid_axes = tuple(axis for axis in range(field_ndim) if axis not in channels)
        self._field_ndim = field_ndim
        keep_columns_of(self, estimator)
        return self

    def predict(self, X):
        """Predict totals.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
            As `EDNNRegressor.predict` takes them; what is read block by block is read once a shift.

        Returns
        -------
        ndarray or dask array of shape (n_samples,) or (n_samples, n_outputs)
        """
        total = 0.0
        for _, moved in self._moved(X):
            total = total + self.estimator_.predict(moved)
        return total / len(self.shifts_)

    @available_if(_inner_has("predict_contributions"))
    def predict_contributions(self, X):
        """Predict what each tile holds of the total.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields

        Returns
        -------
        ndarray of shape (n_samples, *tile_grid) or (n_samples, *tile_grid, n_outputs)
            Or a list or dict of such, as `EDNNRegressor.predict_contributions` has it. What a
            shifted tile holds is shared between the tiles that its focus lies in, by how much of it
            does; so they add up to `predict`.
        """
        found = None
        for shift, moved in self._moved(X):
            own = self._in_place(self.estimator_.predict_contributions(moved), shift)
            found = own if found is None else _each(np.add, found, own)
        return _each(lambda values: values / len(self.shifts_), found)

    @available_if(_inner_has("predict_gradient"))
    def predict_gradient(self, X):
        """Predict how totals change with the field: their derivative at every site.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields

        Returns
        -------
        ndarray of shape (n_samples, *field_shape), float64, or a list of such fields
            See `EDNNRegressor.predict_gradient`.
        """
        found = None
        for shift, moved in self._moved(X):
            slopes = self.estimator_.predict_gradient(moved)
            lead = 0 if isinstance(slopes, list) else 1
            axes = [lead + axis for axis in self._grid_axes]
            own = _each(lambda slope, by=shift, over=axes: np.roll(slope, by, over), slopes)
            found = own if found is None else _each(np.add, found, own)
        return _each(lambda values: values / len(self.shifts_), found)

    # --- parts ------------------------------------------------------------------------------

    def _regressors(self):
        check_is_fitted(self)
        return regressors_of(self.estimator_)

    def _moved(self, X):
        """Yield each shift and the fields as they begin with that site."""
        check_is_fitted(self)
        fields = check_fields(X, caller=self)
        check_ndim(fields, self._field_ndim)
        for shift in self.shifts_.tolist():
            if not any(shift):
                yield shift, X
                continue
            moved = rolled(fields, shift, self._grid_axes)
            if hasattr(X, "iloc"):  # a table, whose names are compared with those of the fit
                moved = type(X)(moved, columns=X.columns, index=X.index)
            yield shift, moved

    def _in_place(self, maps, shift):
        """Return contributions of shifted tiles as those of the tiles where they were fitted."""
        (regressor, *_) = regressors_of(self.estimator_)
        terms = dict(zip(regressor._term_names, regressor.fitted_terms(), strict=True))
        if not isinstance(maps, dict):
            (term,) = terms.values()
            return _shared(maps, shift, _focus(*term))
        return {name: _shared(maps[name], shift, _focus(*terms[name])) for name in maps}

    def __sklearn_tags__(self):
        """Say what scikit-learn may expect: what it may of the estimator."""
        inner = EDNNRegressor() if self.estimator is None else self.estimator
        return with_tags_of(super().__sklearn_tags__(), inner)


def _shared(maps, shift, focus):
    lead = 0 if isinstance(maps, list) else 1
    return _each(lambda values: shared(values, shift, focus, lead), maps)


def _each(function, *found):
    """Call a function with arrays, or with what stands at the same place of lists or dicts."""
    if isinstance(found[0], dict):
        return {name: _each(function, *(each[name] for each in found)) for name in found[0]}
    if isinstance(found[0], list):
        return [function(*values) for values in zip(*found, strict=True)]
    return function(*found)


def _require_periodic(tiling, name):
    if not isinstance(tiling, GridTiling):
        raise TilingError(f"{name}: only the tiles of a GridTiling can be shifted, got {tiling!r}.")
    if tiling.boundary != "periodic":
        raise TilingError(
            f"{name}: a field with boundary={tiling.boundary!r} has ends, and is another field "
            "when its tiles are shifted. Averages are of periodic fields."
        )


def _focus(tile_model, tiling) -> tuple[int, ...]:
    return tiling.focus_shape(tile_model.tile_shape)
