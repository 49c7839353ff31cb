"""EDNNRegressor: check the data, cut them into tiles, fit a sum, evaluate it."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_is_fitted

from .. import evaluation as evaluations
from .._utils.steps import as_arrays
from .._utils.stored import stored
from ..evaluation import AbstractEvaluation, AutoEvaluation
from ..exceptions import TileModelError, TilingError
from ..fields._axis_labels import axis_labels, compare_labels_and_unit, keep_labels_and_unit
from ..solvers import AbstractSolver, AutoSolver, LossWeights, Term
from ..tiling import AbstractTiling
from ._admission import admit
from ._columns import check_columns
from ._fit_cache import fit_cached
from ._inputs import compare_inputs, keep_inputs
from ._overflow import overflow_named
from ._parts import filled
from ._residuals import residual_problem
from ._reweighted import fit_reweighted
from ._targets import ScoredByTotals
from ._terms import WithTerms, check_terms
from ._warm_start import fitted_start


@stored(
    "EDNNRegressor",
    renamed={"summing": "solver", "summing_": "solver_", "_field_ndim": "_described"},
)
class EDNNRegressor(ScoredByTotals, WithTerms):
    """Predict an extensive quantity as a sum over tiles of one tile model.

    A field is cut into tiles, each a focus with its context. The same model sees every tile, its
    outputs are summed, and it is fitted to the sums alone::

        y  =  sum over tiles t of  c(t)          c: the tile model, plus the baseline

    A model trained on small systems therefore predicts systems of any size, in time linear in
    their size.

    Parameters
    ----------
    tile_model : estimator, torch module, or list of (name, tile_model, tiling), default=None
        Any scikit-learn regressor, a Pipeline that ends in one, a skorch net, a torch module (or
        its class). It is cloned. None for ``KernelRidge(kernel="rbf", alpha=1e-6)``. With a list,
        several terms are added, each with its own tiling. Their parameters are set as
        ``name__tile_model``, ``name__tiling__focus``, and so on.
    tiling : AbstractTiling, default=None
        Cuts fields into tiles. None for ``GridTiling(focus=1, context=1)``.
    solver : AbstractSolver, default=None
        Fits the tile model to sums. None chooses by the tile model (`AutoSolver`).
    evaluation : AbstractEvaluation, default=None
        Evaluates all tiles. None chooses by the fields (`AutoEvaluation`).
    baseline : {None, "size", "content"}, default="size"
        Extensive features that are fitted first, by least squares, and subtracted from the
        targets: none, the number of sites, or that and the sum of each channel. Unlike a constant
        per sample, they keep totals extensive.
    weighting : {"total", "site"} or LossWeights, default="total"
        Whether to minimise squared errors of totals, which weighs systems of N times the size
        N squared times as much, or of totals per site. `LossWeights` weights the squared errors of
        totals by a power of the last error of each sample per tile: networks update these weights
        after each epoch, other models are fitted twice.
    n_jobs : int, default=None
        Number of workers for parts whose `n_jobs` is None.
    memory : str, Path or joblib.Memory, default=None
        Cache of fitted models, as in a `Pipeline`. A fit with the same parameters and data is
        loaded instead of repeated, so that an interrupted `GridSearchCV` resumes. The cache
        contains pickles: use a folder that only you can write to.
    warm_start : bool, default=False
        Continue from the fitted model if the solver can (networks, boosting). Baseline and scale
        are then kept.
    random_state : int, RandomState or None, default=None
        Seed for parts whose `random_state` is None.
    verbose : int, default=0
        Verbosity of parts whose `verbose` is None, such as progress bars.

    Attributes
    ----------
    tile_model_ : TileModel, or list of TileModel
        The fitted tile model: ``tile_model_.predict(tiles)`` returns contributions, and
        ``tile_model_.estimator`` is the fitted clone of the `tile_model` parameter.
    tiling_ : AbstractTiling, or list
    solver_ : AbstractSolver
        The solver used.
    evaluation_ : AbstractEvaluation
    n_outputs_ : int
    input_range_ : ndarray of shape (n_channels, 3)
        Range of the training fields: minimum and maximum of each channel, and the smallest
        span within one field. `predict` warns about fields far outside. If fields are read piece
        by piece, the range is that of a sample of them. For structures, the range of distances of
        nearest neighbours in Å.
    n_features_in_ : int
        Width of `X`, if it was 2-D in `fit`. Fields of more dimensions may change their size.
    input_levels_ : ndarray of shape (n_levels,)
        Only after a fit to fields without channels that have 2 to 12 distinct values, such as
        spins: these values. `predict` warns if many values of other fields are none of them.
    axis_labels_ : list
        Only after a fit to arrays of xarray: name, direction of the coordinates and names of the
        entries of each axis. `predict` rejects arrays with the same axes in another order.
    field_unit_ : str
        Only after a fit to arrays that name a unit, as attributes ``units`` do. `predict` warns of
        arrays that name another.
    held_out_ : HeldOutErrors
        Only after `sk_ednn.uncertainty.calibrate`: errors of systems held out of the fit.

    Notes
    -----
    The data determine only sums: moving a contribution from one tile to its neighbours changes no
    total.

    References
    ----------
    K. Mills, K. Ryczko, I. Luchak, A. Domurad, C. Beeler, I. Tamblyn, "Extensive deep neural
    networks for transferring small scale learning to large scale systems", Chem. Sci. 2019, 10,
    4129.

    Examples
    --------
    Train on 8 x 8 spins, predict 128 x 128:

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

    _takes_systems = True  # see `_unwrap.unwrap`

    _parameter_constraints = {
        "tile_model": "no_validation",
        "tiling": [AbstractTiling, None],
        "solver": [AbstractSolver, None],
        "evaluation": [AbstractEvaluation, None],
        "baseline": [StrOptions({"size", "content"}), None],
        "weighting": [StrOptions({"total", "site"}), LossWeights],
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
            Fields. 2-D `X` is a batch of 1-D fields. A list may contain fields of different sizes.
            Dask, zarr and HDF5 arrays and sources are read piece by piece: in blocks by linear
            models, in batches by torch networks. Solvers that need all tiles at once reject them.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Totals. Neither centre nor standardise them: a constant added per sample is not
            extensive.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the squared errors.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group stay together when data are held back for early stopping.
        gradient : array-like like X, or list of n_samples objects, default=None
            Gradient of each total with respect to its field, which torch networks and linear
            models learn together with the totals. For gradients with respect to something else,
            such as the atoms that a field was drawn from, pass objects with ``values`` and
            ``pull(gradient)``, which maps gradients with respect to the field to theirs
            (`GaussianRasterizer.position_gradients`). Linear models also need the adjoint,
            ``push(direction)``.

        Returns
        -------
        self

        Raises
        ------
        TilingError
            If the fields do not suit the tiling.
        TileModelError
            If the tile model cannot be fitted to sums or returns invalid contributions, or, with
            `memory`, if a parameter cannot be hashed.
        TileMemoryError
            If a solver would need more memory than is free.
        """
        self._validate_params()
        if self.memory is not None:
            fit_params = {"sample_weight": sample_weight, "groups": groups, "gradient": gradient}
            labels = axis_labels(X)
            vars(self).update(fit_cached(self, X, y, fit_params))
            self.__dict__.pop("held_out_", None)
            keep_labels_and_unit(self, labels, X)
            # n_jobs and verbose are those of this call, not of the cached fit.
            self.evaluation_ = filled(self, self.evaluation or AutoEvaluation(), None)
            return self
        random_state = check_random_state(self.random_state)
        evaluation = filled(self, self.evaluation or AutoEvaluation(), random_state)
        solver, terms = self._parts(random_state)
        labels = axis_labels(X)
        admitted = admit(self, terms, X, y, sample_weight, groups, gradient)
        if gradient is not None and not solver.learns_gradients:
            raise TileModelError(
                f"{type(solver).__name__} fits totals only. To fit gradients use a torch network "
                "(GradientSolver) or a linear model (LinearSolver)."
            )
        problem = residual_problem(self, terms, admitted, fitted_start(self, terms), random_state)
        with as_arrays(), overflow_named(admitted.systems):
            tile_models = fit_reweighted(solver, problem, evaluation)
        # Nothing above changes the estimator, so a failed fit leaves it as it was.
        self._store(solver, evaluation, problem, tile_models, admitted, X)
        keep_labels_and_unit(self, labels, X)
        return self

    def _parts(self, random_state):
        """Return clones of the solver and the terms, with None parameters filled in."""
        solver = filled(self, self.solver or AutoSolver(), random_state)
        terms = [
            Term(name, filled(self, tile_model, random_state), clone(tiling, safe=False))
            for name, tile_model, tiling in self._terms()
        ]
        check_terms(terms)
        if isinstance(solver, AutoSolver):
            solver = filled(self, solver._for_terms(terms), random_state)
        return solver, terms

    def _store(self, solver, evaluation, problem, tile_models, admitted, X):
        """Set the fitted attributes from the tile models that a solver returned."""
        tilings = [term.tiling for term in problem.terms]
        tile_models = [
            tile_model if baseline is None else tile_model.with_baseline(baseline)
            for tile_model, baseline in zip(tile_models, problem.baselines, strict=True)
        ]
        keep_inputs(self, tilings[0], admitted.systems, resumed=problem.start is not None)
        self.__dict__.pop("held_out_", None)  # errors of the fit before, see `calibrate`
        self.solver_ = solver
        self.evaluation_ = evaluation
        described = tilings[0].describe(admitted.systems)
        self._of_parts(tile_models, tilings, admitted.y_ndim, described)
        check_columns(self, X, admitted.systems, reset=True)

    def _of_parts(self, tile_models, tilings, y_ndim, described):
        """Set the fitted attributes from fitted parts; return self."""
        several = isinstance(self.tile_model, list)
        self.tile_model_ = tile_models if several else tile_models[0]
        self.tiling_ = tilings if several else tilings[0]
        self.n_outputs_ = tile_models[0].n_outputs
        self._y_ndim = y_ndim
        self._described = described
        self._term_names = [name for name, *_ in self._terms()]
        if not hasattr(self, "evaluation_"):
            self.evaluation_ = filled(self, self.evaluation or AutoEvaluation(), None)
        return self

    def predict(self, X, return_std=False):
        """Predict totals.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of arrays of shape field_shape
            Fields of any size that the tiling allows. A dask array, a source
            (`sk_ednn.fields.FieldSource`), or a list that contains any of these, is read block by
            block when you compute the result.
        return_std : bool, default=False
            Also return the standard deviation, if the tile model has one (Gaussian processes).

        Returns
        -------
        y : ndarray or dask array of shape (n_samples,) or (n_samples, n_outputs)
            A lazy dask array if `X` is read block by block.
        std : ndarray like y
            Only if `return_std`.

        Raises
        ------
        TilingError, TileModelError
            If the fields do not suit the tiling or the tile model.
        BlockError
            If a block cannot be read while the dask array is computed.
        MissingExtraError
            If `X` is read block by block and Dask is not installed.
        """
        systems = self.check_systems(X)
        evaluation = self._evaluation_of(systems)
        totals = 0.0
        for tile_model, tiling in self.fitted_terms():
            totals = totals + evaluation.totals(tile_model, tiling, systems)
        y = self._as_fitted(totals)
        if not return_std:
            return y
        if systems.lazy:
            raise TileModelError(
                "return_std=True needs all tiles at once, so X must be in memory; this X is read "
                "block by block. Pass arrays, or set return_std=False."
            )
        tile_model, tiling = self.fitted_terms()[0]
        std = tile_model.total_std(tiling, systems)
        _require_finite(std, "standard deviation", tile_model)
        return y, self._as_fitted(std)

    def predict_contributions(self, X):
        """Predict the contribution of each tile to the total.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of arrays of shape field_shape

        Returns
        -------
        ndarray of shape (n_samples, *tile_grid) or (n_samples, *tile_grid, n_outputs)
            They add up to `predict`, baseline included. Lazy dask arrays if `X` is read block by
            block, see `predict`. For a list of fields, a list of arrays without the sample axis.
            For several terms, a dict of these by term name.
        """
        systems = self.check_systems(X)
        evaluation = self._evaluation_of(systems)
        maps = {}
        for name, (tile_model, tiling) in self._terms_by_name().items():
            parts = evaluation.contributions(tile_model, tiling, systems)
            if self._y_ndim == 1:
                parts = [values[..., 0] for values in parts]
            maps[name] = tiling.by_sample(systems, parts)
        return maps if isinstance(self.tile_model_, list) else maps["tile_model"]

    def predict_gradient(self, X):
        """Predict the gradient of each total with respect to its field.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of arrays of shape field_shape

        Returns
        -------
        ndarray of shape (n_samples, *field_shape), float64, or a list of such fields
            Baseline included. For images of atoms `GaussianRasterizer.forces` converts it to
            forces.

        Raises
        ------
        TileModelError
            If the tile model has no gradient, or there are several totals per sample. Gradients
            are available for torch networks and, analytically, for linear models, `KernelRidge`
            (linear, polynomial, RBF, sigmoid kernels), Gaussian processes with smooth kernels and
            `MLPRegressor`, also after scalers, PCA, Nystroem, `PolynomialFeatures` and
            transformers with a method ``pull(X, gradient)``, such as `LocalInvariants`.
        """
        systems = self.check_systems(X)
        if self.n_outputs_ > 1:
            raise TileModelError(
                "predict_gradient needs a model of one total per sample; this one predicts "
                f"{self.n_outputs_}. Fit one model per total."
            )
        gradients: list | None = None
        for tile_model, tiling in self.fitted_terms():
            of_term = tile_model.gradient(tiling, systems)
            for gradient in of_term:
                _require_finite(gradient, "gradient", tile_model)
            if gradients is None:
                gradients = of_term
            else:
                gradients = [a + b for a, b in zip(gradients, of_term, strict=True)]
        return tiling.gradient_by_sample(systems, gradients)

    def check_systems(self, X):
        """Check data as `predict` does, and return a batch of systems.

        Methods that take `X` accept the batch in its place, and do not check its numbers again. The
        batch may share the memory of `X`: do not change `X` while it is in use.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of arrays of shape field_shape

        Returns
        -------
        Systems
            As returned by `AbstractTiling.check`.

        Raises
        ------
        TilingError, ValueError
            If the data do not suit the model.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.linear_model import Ridge
        >>> from sk_ednn import EDNNRegressor
        >>> model = EDNNRegressor(Ridge()).fit(np.eye(8), np.ones(8))
        >>> model.check_systems(np.eye(8)[:3]).n_samples
        3
        """
        check_is_fitted(self)
        compare_labels_and_unit(self, X)
        terms, systems = self.fitted_terms(), X
        for _, tiling in terms:
            try:
                systems = tiling.check(systems, like=self._described)
            except TilingError as error:
                raise TilingError(error.fitted) from None
        check_columns(self, X, systems, reset=False)
        for tile_model, tiling in terms:
            tiling.check_model(systems, tile_model)
        return compare_inputs(self, terms[0][1], systems)

    # --- parts ------------------------------------------------------------------------------

    @property
    def _field_ndim(self) -> int | None:
        """Number of axes of the training fields; None for a model of other systems."""
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

    def _terms_by_name(self) -> dict:
        """Return `fitted_terms` as a dict; a single term is called "tile_model"."""
        return dict(zip(self._term_names, self.fitted_terms(), strict=True))

    def _evaluation_of(self, systems) -> AbstractEvaluation:
        """Return the evaluation, wrapped for Dask if the systems are read lazily."""
        if not systems.lazy or self.evaluation_.reads_pieces:
            return self.evaluation_
        return evaluations.DaskBlocks(self.evaluation_, verbose=self.verbose)

    def _as_fitted(self, values):
        return values[:, 0] if self._y_ndim == 1 else values

    def __sklearn_tags__(self):
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        # All tiles share one model, which cannot fit targets that depend on positions.
        tags.regressor_tags.poor_score = True
        return tags


def _require_finite(values, name, tile_model):
    if not np.isfinite(values).all():
        raise TileModelError(
            f"The {name} of {type(tile_model.estimator).__name__} contains "
            f"{np.sum(~np.isfinite(values))} NaN or infinite value(s). Check its training "
            "(learning rate, scale of the inputs) and the fields passed to it."
        )
