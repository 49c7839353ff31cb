"""The estimator: check, tile, fit a sum; evaluate."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import evaluation as evaluations
from .._utils.steps import as_arrays
from .._utils.stored import stored
from ..evaluation import AbstractEvaluation, AutoEvaluation
from ..exceptions import TileModelError, TilingError
from ..fields._fields import check_fields, check_ndim
from ..solvers import AbstractSolver, AutoSolver, SumProblem, Term
from ..tile_models._baseline import baseline_totals, fit_baselines
from ..tiling import AbstractTiling
from ._admission import admit
from ._fit_cache import remembered
from ._overflow import overflow_named
from ._targets import ScoredByTotals, per_site
from ._terms import WithTerms, check_terms

# What the baseline leaves of y is nothing where it is no more than this, relative to y.
_ROUNDING = 1e-14


@stored(
    "EDNNRegressor",
    renamed={"summing": "solver", "summing_": "solver_", "_field_ndim": "_described"},
)
class EDNNRegressor(ScoredByTotals, WithTerms):
    """Predict an extensive quantity as a sum over tiles of one tile model.

    A field is cut into tiles, each a focus with its context; the same model sees every tile; its
    outputs are added up, and it is fitted to the sums alone::

        y  =  sum over tiles t of  c(t)          c: the tile model, plus the baseline

    So it is trained on small systems and predicts systems of any size, in time linear in their
    size.

    Parameters
    ----------
    tile_model : estimator, torch module, or list of (name, tile_model, tiling), default=None
        Any scikit-learn regressor, a Pipeline that ends in one, a skorch net, a torch module (or
        its class). It is cloned. None for ``KernelRidge(kernel="rbf", alpha=1e-6)``. With a list,
        several terms are added, each seeing the field through a tiling of its own; their parameters
        are set as ``name__tile_model``, ``name__tiling__focus``, and so on.
    tiling : AbstractTiling, default=None
        Where the tiles are. None for ``GridTiling(focus=1, context=1)``.
    solver : AbstractSolver, default=None
        How the tile model is fitted to sums. None chooses by the tile model (`AutoSolver`).
    evaluation : AbstractEvaluation, default=None
        How all tiles are evaluated. None chooses by the fields (`AutoEvaluation`).
    baseline : {None, "size", "content"}, default="size"
        What is fitted first, by least squares, and taken off the targets: nothing, a multiple of
        the number of sites, or that and the content of each channel. Centring by a constant per
        sample would not be extensive; this is.
    weighting : {"total", "site"}, default="total"
        Whether squared errors count per total, where systems of N times the size count N squared
        times as much, or per site.
    n_jobs : int, default=None
        Workers for parts whose own `n_jobs` is None.
    memory : str, Path or joblib.Memory, default=None
        Where fits are kept, as in a `Pipeline`: one with the same parameters and data is read from
        there and not made again, so that a `GridSearchCV` that was killed goes on where it was.
        They are pickled: take a folder that nobody else writes to.
    warm_start : bool, default=False
        Go on from the fitted model where the strategy can (networks, boosting). Baseline and
        scale are then kept.
    random_state : int, RandomState or None, default=None
        Seeds the parts whose own `random_state` is None.
    verbose : int, default=0
        For parts whose own `verbose` is None: progress bars where something takes long.

    Attributes
    ----------
    tile_model_ : TileModel, or list of TileModel
        The fitted tile model: ``tile_model_.predict(tiles)`` returns contributions;
        ``tile_model_.estimator`` is the estimator given, fitted.
    tiling_ : AbstractTiling, or list
    solver_ : AbstractSolver
        The strategy that was used.
    evaluation_ : AbstractEvaluation
    n_outputs_ : int
    input_range_ : ndarray of shape (n_channels, 3)
        Of the fields it was fitted to: least and largest value of each channel, and the least
        span of one field. `predict` warns where fields lie far outside. Where fields are read
        piece by piece, some of them were looked at.
    n_features_in_ : int
        Width of `X`, where it was 2-D in `fit`. Larger fields may change their size.

    Notes
    -----
    Only sums are known, so only sums are determined: a contribution may be moved from a tile to
    its neighbours without a change of any total.

    References
    ----------
    K. Mills, K. Ryczko, I. Luchak, A. Domurad, C. Beeler, I. Tamblyn, "Extensive deep neural
    networks for transferring small scale learning to large scale systems", Chem. Sci. 2019, 10,
    4129.

    Examples
    --------
    Trained on 8 x 8 spins, asked for 128 x 128:

    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.datasets import make_ising
    >>> small = make_ising(1000, (8, 8), sampling="flat", random_state=0)
    >>> large = make_ising(3, (128, 128), n_sweeps=100, random_state=1)
    >>> model = EDNNRegressor(tiling=GridTiling(focus=1, context=1))
    >>> model = model.fit(small.fields, small.energies)
    >>> error = model.predict(large.fields) - large.energies
    >>> bool(abs(error).max() < 1e-4)  # of some 10,000 J
    True
    >>> model.predict_contributions(large.fields).shape
    (3, 128, 128)
    """

    _parameter_constraints = {
        "tile_model": "no_validation",
        "tiling": [AbstractTiling, None],
        "solver": [AbstractSolver, None],
        "evaluation": [AbstractEvaluation, None],
        "baseline": [StrOptions({"size", "content"}), None],
        "weighting": [StrOptions({"total", "site"})],
        "n_jobs": [Integral, None],
        "memory": [str, Path, HasMethods("cache"), None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        tile_model=None,
        tiling=None,
        *,
        solver=None,
        evaluation=None,
        baseline="size",
        weighting="total",
        n_jobs=None,
        memory=None,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.tile_model = tile_model
        self.tiling = tiling
        self.solver = solver
        self.evaluation = evaluation
        self.baseline = baseline
        self.weighting = weighting
        self.n_jobs = n_jobs
        self.memory = memory
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None, *, groups=None, gradient=None):
        """Fit the tile model to totals.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of arrays of shape field_shape
            The fields. 2-D `X` is a batch of 1-D fields. A list of arrays may hold fields of
            different sizes. Dask, zarr and HDF5 arrays and sources are read piece by piece: blocks
            by linear models, batches by torch networks; what needs all tiles refuses them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The totals. Neither centre nor standardise them: a constant added per sample is not
            extensive.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the squared errors.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group stay together where a part of the data is held back to stop early.
        gradient : array-like like X, or list of n_samples objects, default=None
            Derivative of each total with respect to its field, learned beside the totals by torch
            networks and linear models. Where it is known with respect to something else (the
            positions of atoms that the field was drawn from:
            `GaussianRasterizer.position_gradients`), objects with ``values`` and ``pull(slope)``,
            which turns the one into the other; linear models need its adjoint too,
            ``push(direction)``.

        Returns
        -------
        self

        Raises
        ------
        TilingError
            Where the fields do not suit the tiling.
        TileModelError
            Where the tile model cannot be fitted to sums, or returns no valid contributions; with
            `memory`, where a parameter cannot be pickled.
        TileMemoryError
            Where a method would need more memory than there is.
        """
        self._validate_params()
        if self.memory is not None:
            known = {"sample_weight": sample_weight, "groups": groups, "gradient": gradient}
            vars(self).update(remembered(self, X, y, known))
            # With the workers and progress asked for now, not those of the fit that was kept.
            self.evaluation_ = self._filled(self.evaluation or AutoEvaluation(), None)
            return self
        random_state = check_random_state(self.random_state)
        evaluation = self._filled(self.evaluation or AutoEvaluation(), random_state)
        solver, terms = self._parts(random_state)
        admitted = admit(self, terms, X, y, sample_weight, groups, gradient)
        if gradient is not None and not solver.learns_gradients:
            raise TileModelError(
                f"{type(solver).__name__} learns from totals alone. Gradients are learned by "
                "torch networks (GradientSolver) and linear models (LinearSolver)."
            )
        problem = self._problem(terms, admitted, self._start(terms), random_state)
        with as_arrays(), overflow_named(admitted.systems):
            tile_models = solver.fit(problem)
        # Nothing above has touched the estimator: a call that failed leaves it as it was.
        self._store(solver, evaluation, problem, tile_models, admitted, X)
        return self

    def _parts(self, random_state):
        """Return the solver and the terms of a fit, cloned and with open parameters filled in."""
        solver = self._filled(self.solver or AutoSolver(), random_state)
        terms = [
            Term(name, self._filled(tile_model, random_state), clone(tiling, safe=False))
            for name, tile_model, tiling in self._terms()
        ]
        check_terms(terms)
        if isinstance(solver, AutoSolver):
            solver = self._filled(solver._for_terms(terms), random_state)
        return solver, terms

    def _problem(self, terms, admitted, start, random_state) -> SumProblem:
        """Return what is left to fit once the baseline is taken off."""
        systems, y, tilings = admitted.systems, admitted.y, [term.tiling for term in terms]
        sample_weight = admitted.sample_weight
        if self.weighting == "site":
            counted = tilings[:1] if all(each.shares_sites for each in tilings) else tilings
            sizes = np.sum([tiling.counts(systems) for tiling in counted], axis=0)
            sample_weight = per_site(sizes, sample_weight)
        if start is None:
            baselines, totals = fit_baselines(self.baseline, tilings, systems, y, sample_weight)
        else:
            baselines = [tile_model.baseline for tile_model in start]
            totals = baseline_totals(baselines, tilings, systems, y)
        left = y - totals
        # Rounding errors of y are nothing: no solver is to scale them up and fit them.
        left[np.abs(left) <= _ROUNDING * np.abs(y)] = 0.0
        return SumProblem(
            terms=terms,
            systems=systems,
            y=left,
            sample_weight=sample_weight,
            groups=admitted.groups,
            start=start,
            baselines=baselines,
            gradient=admitted.gradient,
            random_state=random_state,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    def _store(self, solver, evaluation, problem, tile_models, admitted, X):
        """Become fitted by what a solver returned."""
        tilings = [term.tiling for term in problem.terms]
        tile_models = [
            tile_model if baseline is None else tile_model.with_baseline(baseline)
            for tile_model, baseline in zip(tile_models, problem.baselines, strict=True)
        ]
        seen = tilings[0].range_of(admitted.systems)
        if seen is None:
            self.__dict__.pop("input_range_", None)
        else:
            if problem.start is not None and hasattr(self, "input_range_"):
                seen = seen.joined(tilings[0].range_from(self.input_range_))
            self.input_range_ = seen.array()
        self.solver_ = solver
        self.evaluation_ = evaluation
        described = tilings[0].describe(admitted.systems)
        self._of_parts(tile_models, tilings, admitted.y_ndim, described)
        self._keep_width(X, admitted.systems, reset=True)

    def _of_parts(self, tile_models, tilings, y_ndim, described):
        """Become fitted, with fitted parts; return self."""
        several = isinstance(self.tile_model, list)
        self.tile_model_ = tile_models if several else tile_models[0]
        self.tiling_ = tilings if several else tilings[0]
        self.n_outputs_ = tile_models[0].n_outputs
        self._y_ndim = y_ndim
        self._described = described
        self._term_names = [name for name, *_ in self._terms()]
        if not hasattr(self, "evaluation_"):
            self.evaluation_ = self._filled(self.evaluation or AutoEvaluation(), None)
        return self

    def predict(self, X, return_std=False):
        """Predict totals.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of arrays of shape field_shape
            Fields of any size that the tiling allows. A dask array or a source
            (`sk_ednn.fields.FieldSource`), or a list with any of these, is read block by block
            when the result is computed.
        return_std : bool, default=False
            Also return the standard deviation, where the tile model has one (Gaussian processes).

        Returns
        -------
        y : ndarray or dask array of shape (n_samples,) or (n_samples, n_outputs)
            A dask array, not yet computed, where `X` is read block by block.
        std : ndarray like y
            Only if `return_std`.

        Raises
        ------
        TilingError, TileModelError
            Where the fields do not suit the tiling or the tile model.
        BlockError
            When a dask array is computed, where a block cannot be read.
        MissingExtraError
            Where `X` is read block by block and Dask is not installed.
        """
        systems = self._check_predicted(X)
        evaluation = self._evaluation_of(systems)
        totals = 0.0
        for tile_model, tiling in self.fitted_terms():
            totals = totals + evaluation.totals(tile_model, tiling, systems)
        y = self._as_fitted(totals)
        if not return_std:
            return y
        if systems.lazy:
            raise TileModelError(
                "Standard deviations are computed for fields in memory only, from all their tiles "
                "at once. Leave out return_std, or hand over arrays."
            )
        tile_model, tiling = self.fitted_terms()[0]
        std = tile_model.total_std(tiling, systems)
        _require_numbers(std, "standard deviation", tile_model)
        return y, self._as_fitted(std)

    def predict_contributions(self, X):
        """Predict what each tile holds of the total.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of arrays of shape field_shape

        Returns
        -------
        ndarray of shape (n_samples, *tile_grid) or (n_samples, *tile_grid, n_outputs)
            They add up to `predict`, baseline included. Dask arrays where `X` is read block by
            block, see `predict`. For a list of fields, a list of arrays
            without the sample axis; for several terms, a dict of such by the names of the terms.
        """
        systems = self._check_predicted(X)
        evaluation = self._evaluation_of(systems)
        maps = {}
        for name, (tile_model, tiling) in zip(self._term_names, self.fitted_terms(), strict=True):
            parts = evaluation.contributions(tile_model, tiling, systems)
            if self._y_ndim == 1:
                parts = [values[..., 0] for values in parts]
            maps[name] = tiling.by_sample(systems, parts)
        return maps if isinstance(self.tile_model_, list) else maps["tile_model"]

    def predict_gradient(self, X):
        """Predict how totals change with the field: their derivative at every site.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of arrays of shape field_shape

        Returns
        -------
        ndarray of shape (n_samples, *field_shape), float64, or a list of such fields
            Baseline included. For fields drawn of atoms `GaussianRasterizer.forces` turns it into
            forces.

        Raises
        ------
        TileModelError
            Where the derivative of a tile model is not known, or there are several totals per
            sample. It is known of torch networks and, exactly, of linear models, `KernelRidge`
            (linear, polynomial, RBF, sigmoid kernels), Gaussian processes with smooth kernels and
            `MLPRegressor`, also behind scalers, PCA, Nystroem, `PolynomialFeatures` and
            transformers with a method ``pull(X, slope)``, as `LocalInvariants`.
        """
        systems = self._check_predicted(X)
        if self.n_outputs_ > 1:
            raise TileModelError(
                f"The derivative is that of one total, the model predicts {self.n_outputs_}."
            )
        parts: list | None = None
        for tile_model, tiling in self.fitted_terms():
            own = tile_model.gradient(tiling, systems)
            for slopes in own:
                _require_numbers(slopes, "derivative", tile_model)
            parts = own if parts is None else [a + b for a, b in zip(parts, own, strict=True)]
        return tiling.gradient_by_sample(systems, parts)

    # --- parts ------------------------------------------------------------------------------

    def _regressors(self):
        return [self]

    @property
    def _field_ndim(self) -> int | None:
        """Number of axes of the fields of the fit; None where it was not of fields."""
        return self._described if self.fitted_terms()[0][1].is_grid else None

    def fitted_terms(self) -> list:
        """Return the pair (tile model, tiling) of each term of the fitted model.

        Returns
        -------
        list of (AbstractTileModel, AbstractTiling)

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self)
        if isinstance(self.tile_model_, list):
            return list(zip(self.tile_model_, self.tiling_, strict=True))
        return [(self.tile_model_, self.tiling_)]

    def _start(self, terms):
        if not self.warm_start or not hasattr(self, "tile_model_"):
            return None
        names = [term.name for term in terms]
        if names != self._term_names:
            raise TileModelError(
                f"warm_start goes on with the terms that were fitted, {self._term_names}, got "
                f"{names}. Set warm_start=False to fit anew."
            )
        return [tile_model for tile_model, _ in self.fitted_terms()]

    def _filled(self, part, random_state):
        """Return a clone of a part, its open n_jobs, verbose and random_state filled in."""
        part = clone(part, safe=False)
        if isinstance(part, type) or not hasattr(part, "get_params"):
            return part
        fill = {}
        for name, value in sorted(part.get_params(deep=True).items()):
            own = name.rpartition("__")[2]
            if value is not None:
                continue
            if own == "random_state" and self.random_state is not None:
                fill[name] = random_state.randint(np.iinfo(np.int32).max)
            elif own == "n_jobs" and self.n_jobs is not None:
                fill[name] = self.n_jobs
            elif own == "verbose":
                fill[name] = self.verbose
        return part.set_params(**fill) if fill else part

    # --- checks -----------------------------------------------------------------------------

    def _check_predicted(self, X):
        check_is_fitted(self)
        terms, systems = self.fitted_terms(), X
        if terms[0][1].is_grid:
            systems = check_fields(X, caller=self)
            check_ndim(systems, self._described)
            self._keep_width(X, systems, reset=False)
        for tile_model, tiling in terms:
            try:
                systems = tiling.check(systems, like=self._described)
            except TilingError as error:
                raise TilingError(error.fitted) from None
            tiling.check_model(systems, tile_model)
        if not hasattr(self, "input_range_"):  # of a file that was written without
            return systems
        tiling = self.fitted_terms()[0][1]
        return tiling.compare_range(systems, self.input_range_, stacklevel=4)

    def _keep_width(self, X, systems, reset):
        # scikit-learn keeps the width of 2-D X; any other field may change its size.
        if systems.fixed_width:
            if reset or hasattr(self, "n_features_in_"):
                validate_data(self, X, reset=reset, skip_check_array=True)
        elif reset:
            for name in ("n_features_in_", "feature_names_in_"):
                self.__dict__.pop(name, None)

    def _evaluation_of(self, systems) -> AbstractEvaluation:
        """Return the evaluation that suits where the systems are."""
        if not systems.lazy or self.evaluation_.reads_pieces:
            return self.evaluation_
        return evaluations.DaskBlocks(self.evaluation_, verbose=self.verbose)

    def _as_fitted(self, values):
        return values[:, 0] if self._y_ndim == 1 else values

    def __sklearn_tags__(self):
        """Say what scikit-learn may expect."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        # Weights shared by all tiles cannot fit what depends on where in the field it is.
        tags.regressor_tags.poor_score = True
        return tags


def _require_numbers(values, what, tile_model):
    if not np.isfinite(values).all():
        raise TileModelError(
            f"The {what} of {type(tile_model.estimator).__name__} is NaN or infinity at "
            f"{np.sum(~np.isfinite(values))} place(s). Look at its training (learning rate, scale "
            "of the inputs), or at the fields it was given."
        )
