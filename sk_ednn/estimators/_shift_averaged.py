"""Average predictions over shifts of the tile grid, independent of where tiling starts."""

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
from ..fields._axis_labels import compare_labels_and_unit
from ..fields._channels import channel_index
from ..fields._fields import check_fields, check_ndim
from ..fields._rolling import rolled
from ..fields._shifts import chosen, shared
from ..tiling import AbstractTiling, GridTiling
from ._delegation import copy_feature_names, with_tags_of
from ._regressor import EDNNRegressor
from ._targets import ScoredByTotals
from ._unwrap import estimators_in, regressors_in, unwrap_search


def _inner_has(name):
    def check(self):
        inner = EDNNRegressor() if self.estimator is None else self.estimator
        getattr(getattr(self, "estimator_", inner), name)
        return True

    return check


@stored("ShiftAveraged")
class ShiftAveraged(MetaEstimatorMixin, ScoredByTotals, BaseEstimator):
    """Predict the mean over shifts of the tile grid by less than a focus.

    Shifting a periodic field by a focus does not change its total. Shifting it by less changes the
    tiles and thus, slightly, the total. The mean over all shifts below the focus is invariant::

        predict(X)  =  mean over shifts s of  estimator.predict(X rolled to start at site s)

    The gradient moves with the field. Each shift costs one prediction; the fit is that of the
    estimator alone.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee or search over either, default=None
        Cloned. None for ``EDNNRegressor()``. Place transformers, such as a `GaussianRasterizer`,
        before this estimator in a Pipeline, not inside it.
    n_shifts : int, "all", or tuple of int with one per grid axis, default=8
        Number of shifts, at most all that exist. "all" makes the mean invariant under shifts by
        any number of sites. A tuple is a grid with this many shifts along each axis.
    selection : {"even", "random"}, default="even"
        "even" starts without a shift and places each further shift as far as possible from those
        before it; "random" draws them.
    random_state : int, RandomState or None, default=None
        Draws the shifts if ``selection="random"``.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    shifts_ : ndarray of int of shape (n_shifts, n_grid_axes)
        Sites at which the tile grids start.
    n_outputs_ : int

    See Also
    --------
    sk_ednn.solvers.GradientSolver : ``symmetries=("shift",)`` augments the training of networks
        with shifts.

    Notes
    -----
    With several terms, or members of different focus, shifts are below the least common multiple
    of their focuses. For the spread of a committee, average its members:
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
    ...     print(f"{n_shifts} shifts: std over shifts {change:.2f}, mean error {error:.2f}")
    1 shifts: std over shifts 0.22, mean error 0.30
    2 shifts: std over shifts 0.11, mean error 0.23
    4 shifts: std over shifts 0.00, mean error 0.19
    """

    _takes_systems = True  # see `_unwrap.unwrap`

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
        """Average the predictions of a fitted model, without fitting it again.

        Parameters
        ----------
        model : fitted EDNNRegressor or EDNNCommittee, search over it, or Pipeline that ends in it
            Not changed. Refitting it does not affect the result.
        n_shifts, selection, random_state
            See `ShiftAveraged`.

        Returns
        -------
        ShiftAveraged, or Pipeline that ends in one

        Raises
        ------
        TilingError
            If the fields are not periodic.
        """
        pipeline = unwrap_search(model)
        if hasattr(pipeline, "steps"):
            check_is_fitted(pipeline)
            name, last = pipeline.steps[-1]
            last = cls.of(last, n_shifts, selection=selection, random_state=random_state)
            pipeline = copy.copy(pipeline)
            pipeline.steps = [*pipeline.steps[:-1], (name, last)]
            return pipeline
        averaged = cls(model, n_shifts, selection=selection, random_state=random_state)
        averaged._validate_params()
        # Refitting replaces the attributes of `model`, not those of this copy.
        return averaged._wrap(copy.copy(model))

    def fit(self, X, y, sample_weight=None, *, groups=None, gradient=None):
        """Fit the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
        gradient : array-like like X, or list of n_samples objects, default=None
            These three are passed on if they are not None; see `EDNNRegressor.fit`.

        Returns
        -------
        self

        Raises
        ------
        TilingError
            If the fields are not periodic.
        """
        self._validate_params()
        template = EDNNRegressor() if self.estimator is None else self.estimator
        # Fail before the fit, which may take hours.
        for name, part in template.get_params(deep=True).items():
            if isinstance(part, AbstractTiling):
                _require_periodic(part, name)
        fit_params = {"sample_weight": sample_weight, "groups": groups, "gradient": gradient}
        fit_params = {name: values for name, values in fit_params.items() if values is not None}
        return self._wrap(clone(template).fit(X, y, **fit_params))

    def _wrap(self, estimator):
        """Set the fitted attributes from a fitted estimator; return self."""
        _require_systems(estimator)
        check_is_fitted(estimator)
        regressors = regressors_in(estimator)
        terms = [term for regressor in regressors for term in regressor.fitted_terms()]
        for _, tiling in terms:
            _require_periodic(tiling, "tiling")
        field_ndim = regressors[0]._field_ndim
        channels = {channel_index(tiling.channel_axis, field_ndim) for _, tiling in terms}
        if len(channels) > 1:
            raise TilingError(
                "ShiftAveraged shifts all terms together, so they must have the same grid axes; "
                f"got channel_axis {[tiling.channel_axis for _, tiling in terms]}."
            )
        focuses = [_focus(*term) for term in terms]
        period = tuple(lcm(*along) for along in zip(*focuses, strict=True))
        random_state = check_random_state(self.random_state)
        self.shifts_ = chosen(period, self.n_shifts, self.selection, random_state)
        self.__dict__.pop("held_out_", None)  # errors of the fit before, see `calibrate`
        self.estimator_ = estimator
        self.n_outputs_ = regressors[0].n_outputs_
        self._grid_axes = tuple(axis for axis in range(field_ndim) if axis not in channels)
        self._field_ndim = field_ndim
        copy_feature_names(self, estimator)
        return self

    def predict(self, X):
        """Predict totals.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
            As for `EDNNRegressor.predict`. Lazy fields are read once per shift.

        Returns
        -------
        ndarray or dask array of shape (n_samples,) or (n_samples, n_outputs)
        """
        total = 0.0
        for _, shifted in self._shifted(X):
            total = total + self.estimator_.predict(shifted)
        return total / len(self.shifts_)

    @available_if(_inner_has("predict_contributions"))
    def predict_contributions(self, X):
        """Predict the contribution of each tile to the total.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields

        Returns
        -------
        ndarray of shape (n_samples, *tile_grid) or (n_samples, *tile_grid, n_outputs)
            Or a list or dict of these, see `EDNNRegressor.predict_contributions`. The contribution
            of a shifted tile is distributed over the unshifted tiles in proportion to their overlap
            with its focus, so that all add up to `predict`.
        """
        total = None
        for shift, shifted in self._shifted(X):
            maps = self._unshifted(self.estimator_.predict_contributions(shifted), shift)
            total = maps if total is None else _map_arrays(np.add, total, maps)
        return _map_arrays(lambda values: values / len(self.shifts_), total)

    @available_if(_inner_has("predict_gradient"))
    def predict_gradient(self, X):
        """Predict the gradient of each total with respect to its field.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields

        Returns
        -------
        ndarray of shape (n_samples, *field_shape), float64, or a list of such fields
            See `EDNNRegressor.predict_gradient`.
        """
        total = None
        for shift, shifted in self._shifted(X):
            gradients = self.estimator_.predict_gradient(shifted)
            lead = 0 if isinstance(gradients, list) else 1
            axes = [lead + axis for axis in self._grid_axes]
            gradients = _map_arrays(
                lambda gradient, by=shift, over=axes: np.roll(gradient, by, over), gradients
            )
            total = gradients if total is None else _map_arrays(np.add, total, gradients)
        return _map_arrays(lambda values: values / len(self.shifts_), total)

    # --- parts ------------------------------------------------------------------------------

    def _shifted(self, X):
        """Yield each shift, and the fields rolled to start at that site."""
        check_is_fitted(self)
        compare_labels_and_unit(regressors_in(self.estimator_)[0], X)  # shifted fields have none
        fields = check_fields(X, caller=self)
        check_ndim(fields, self._field_ndim)
        for shift in self.shifts_.tolist():
            if not any(shift):
                yield shift, X
                continue
            shifted = rolled(fields, shift, self._grid_axes)
            if hasattr(X, "iloc"):  # scikit-learn compares the column names of tables
                shifted = type(X)(shifted, columns=X.columns, index=X.index)
            yield shift, shifted

    def _unshifted(self, maps, shift):
        """Return contributions of shifted tiles, distributed over the unshifted ones."""
        terms = regressors_in(self.estimator_)[0]._terms_by_name()
        if not isinstance(maps, dict):
            (term,) = terms.values()
            return _shared(maps, shift, _focus(*term))
        return {name: _shared(maps[name], shift, _focus(*terms[name])) for name in maps}

    def __sklearn_tags__(self):
        """Return the tags of the estimator."""
        inner = EDNNRegressor() if self.estimator is None else self.estimator
        return with_tags_of(super().__sklearn_tags__(), inner)


def _shared(maps, shift, focus):
    lead = 0 if isinstance(maps, list) else 1
    return _map_arrays(lambda values: shared(values, shift, focus, lead), maps)


def _map_arrays(function, *trees):
    """Apply a function to arrays, or to the arrays of lists or dicts of equal structure."""
    if isinstance(trees[0], dict):
        return {name: _map_arrays(function, *(tree[name] for tree in trees)) for name in trees[0]}
    if isinstance(trees[0], list):
        return [function(*values) for values in zip(*trees, strict=True)]
    return function(*trees)


def _require_systems(estimator):
    """Raise TypeError unless an estimator predicts fields that can be shifted before it."""
    inner = unwrap_search(estimator)
    has_steps = any(hasattr(part, "steps") for part in estimators_in(inner))
    if has_steps or not hasattr(inner, "_takes_systems"):
        raise TypeError(
            "ShiftAveraged needs a fitted EDNNRegressor, an EDNNCommittee or a search over either, "
            f"got {type(inner).__name__}. In a Pipeline make it the last step: "
            "make_pipeline(transformer, ShiftAveraged(EDNNRegressor()))."
        )


def _require_periodic(tiling, name):
    if not isinstance(tiling, GridTiling):
        raise TilingError(f"{name}: ShiftAveraged needs a GridTiling, got {tiling!r}.")
    if tiling.boundary != "periodic":
        raise TilingError(
            f"{name}: ShiftAveraged needs boundary='periodic', got {tiling.boundary!r}. Shifting "
            "the tiles of a field with edges changes the field."
        )


def _focus(tile_model, tiling) -> tuple[int, ...]:
    return tiling.focus_shape(tile_model.tile_shape)
