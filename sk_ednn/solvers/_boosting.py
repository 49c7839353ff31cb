"""Boosting on sums, for any regressor as a tile model.

A forest or a nearest-neighbour model cannot be fitted to sums of its outputs. It can be fitted to
the negative gradient of the squared error of the sums with respect to the contribution of each
tile, ``S' (y - S F)``, as in gradient boosting (Friedman 2001, Ann. Statist. 29, 1189). Because
the error is quadratic, the optimal step along a fitted direction is known exactly, and so are the
optimal weights of all directions, which makes the descent similar to conjugate gradients.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import has_fit_parameter
from tqdm.auto import tqdm

from .._utils.memory import require_memory
from .._utils.steps import plain
from .._utils.stored import stored
from ..exceptions import TileModelError
from ..tile_models._base import checked_outputs, flat
from ..tile_models._resolution import resolution_of, rounded
from ..tile_models._tile_model import TileModel
from ..tiling._tiles import Tiles
from ._base import AbstractSolver, is_regressor_object, last_step
from ._features import TileFeatures
from ._problem import SumProblem

# With fewer samples than this none are held out, because their error would be too noisy.
_MIN_SAMPLES = 50
# Residuals are rounded to this fraction of their spread before a regressor sees them. Processors
# differ in the round-off of sums. If residuals that should be equal or symmetric differed in their
# last bits, these would decide ties between splits of a tree, and the model would depend on the
# processor. On a grid equal residuals are equal, and the sums that a tree compares are exact, in
# any order.
_GRID = 2.0**-20
# Boosting stops when the squared error, relative to the variance of y, is this small.
_EXACT = 1e-12


@stored("BoostedSum")
class BoostedSum(RegressorMixin, BaseEstimator):
    """A weighted sum of fitted regressors, the result of boosting.

    Parameters
    ----------
    estimator : estimator
        The unfitted regressor of every stage.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted regressor of each stage.
    weights_ : ndarray of shape (n_stages, n_outputs)
    validation_errors_ : ndarray or None
        Mean squared error of the held-out totals after each stage, including discarded stages.
    resolution_ : ndarray of shape (n_features,) or None
        Steps to which features are rounded that a Pipeline computes of tiles; None without one,
        since tiles are rounded already, and for sparse features.
    """

    def __init__(self, estimator=None):
        self.estimator = estimator

    def fit(self, X, y):
        """Raise, because only `BoostingSolver` fits it. Pipelines require the method."""
        raise TileModelError(
            "A BoostedSum cannot be fitted to tiles, whose contributions are not known. Fit an "
            "EDNNRegressor."
        )

    def predict(self, X):
        """Predict contributions of tiles as rows of features.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_features)

        Returns
        -------
        ndarray of shape (n_tiles,) or (n_tiles, n_outputs)
        """
        # Models in files may be older than the attribute.
        X = rounded(plain(X), getattr(self, "resolution_", None))
        outputs = np.zeros((X.shape[0], self.weights_.shape[1]))
        for estimator, weights in zip(self.estimators_, self.weights_, strict=True):
            if weights.any():
                outputs += weights * _predicted(estimator, X, len(weights))
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs


@stored("BoostingSolver", former=("BoostingSumFit",))
class BoostingSolver(AbstractSolver):
    """Fit any regressor to sums by boosting.

    Every stage fits a clone of the tile model to the residuals of the sums, distributed over the
    tiles. Each distinct tile is a row whose target is its mean residual, weighted by its number of
    occurrences if the regressor supports weights. The step size is an exact line search on the
    summed predictions. Then all stages are reweighted by least squares on the totals.

    Parameters
    ----------
    n_stages : int, default=100
        Maximum number of stages.
    learning_rate : float, default=1.0
        Fraction of the exact step to take, if `corrective` is not "each".
    corrective : {"each", "final", None}, default="each"
        When to reweight all stages by least squares: after each stage, after the last, or never.
    subsample : float, default=1.0
        Fraction of the samples, drawn at each stage, to which the stage is fitted.
    validation_fraction : float or None, default=0.1
        Fraction of the samples (or of the groups, if given) held out to choose the number of
        stages. If it is None, or with fewer than 50 samples, all stages are kept.
    n_iter_no_change : int, default=10
        Number of stages without a relative improvement of at least `tol` after which to stop.
    tol : float, default=1e-4
        Minimum relative improvement.
    alpha : float, default=1e-8
        Ridge penalty of the least squares, relative to the mean square of the sums of a stage.
    random_state : int, RandomState or None, default=None
        Seed of held-out samples, subsamples and regressors.
    verbose : int or None, default=None
        Whether to show a progress bar.
    max_bytes : int or None, default=None
        Maximum memory of the tiles. None for three quarters of the free memory.

    Notes
    -----
    With several terms, stages alternate between the terms.

    Regressors see tiles rounded to a millionth of the mean deviation of each feature, in the fit
    and in predictions, and equal tiles once. The last bits of tiles, which depend on the processor,
    then decide neither ties between splits of a tree nor which neighbour is the nearest. Integers
    stay as they are. Nearest neighbours by brute force, scikit-learn's choice for more than 15
    features, have a round-off of about 1e-8 of the length of a row at distance zero; with
    ``weights="distance"`` choose ``algorithm="kd_tree"``.

    Examples
    --------
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from sk_ednn import EDNNRegressor
    >>> from sk_ednn.datasets import make_ising
    >>> X, y = make_ising(600, (8, 8), random_state=0, return_X_y=True)
    >>> model = EDNNRegressor(DecisionTreeRegressor(random_state=0), random_state=0)
    >>> model = model.fit(X[:500], y[:500])
    >>> bool(model.score(X[500:], y[500:]) > 0.99)
    True
    """

    _parameter_constraints = {
        "n_stages": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "corrective": [StrOptions({"each", "final"}), None],
        "subsample": [Interval(Real, 0, 1, closed="right")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose", None],
        "max_bytes": [Interval(Real, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        n_stages=100,
        *,
        learning_rate=1.0,
        corrective="each",
        subsample=1.0,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        alpha=1e-8,
        random_state=None,
        verbose=None,
        max_bytes=None,
    ):
        self.n_stages = n_stages
        self.learning_rate = learning_rate
        self.corrective = corrective
        self.subsample = subsample
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.alpha = alpha
        self.random_state = random_state
        self.verbose = verbose
        self.max_bytes = max_bytes

    def suits(self, terms) -> bool:
        """Return True if all terms are regressors with fit and predict."""
        return all(is_regressor_object(last_step(term.tile_model)) for term in terms)

    def fit(self, problem: SumProblem) -> list[TileModel]:
        """Fit the terms; see `AbstractSolver.fit`."""
        self._validate_params()
        self._require_suited(problem.terms)
        random_state = problem.rng(self.random_state)
        starts: list[Any] = problem.start or [None] * len(problem.terms)
        learners = [
            _Learner(term, problem, start, random_state, self.max_bytes)
            for term, start in zip(problem.terms, starts, strict=True)
        ]
        stages = _Stages(problem)
        for learner, start in zip(learners, starts, strict=True):
            stages.load(learner, start)

        train, held_out = self._split(problem, random_state)
        best, best_error, errors = len(stages), np.inf, []
        spread = np.var(problem.y, axis=0).mean()
        if len(stages):
            stages.reweight(train, self.alpha)
            best_error = stages.error(held_out)
        bar = tqdm(
            range(self.n_stages), desc="boosting", unit="stage", delay=2.0,
            disable=not (self.verbose or (self.verbose is None and problem.verbose)),
        )  # fmt: skip
        for index in bar:
            learner = learners[index % len(learners)]
            rows = train
            if self.subsample < 1:
                size = max(1, round(self.subsample * len(train)))
                rows = np.sort(random_state.choice(train, size, replace=False))
            if not stages.add(learner, rows, train, self.learning_rate):
                break
            if self.corrective == "each":
                stages.reweight(train, self.alpha)
            errors.append(stages.error(held_out))
            bar.set_postfix(error=f"{errors[-1]:.3g}")
            if errors[-1] < best_error * (1 - self.tol):
                best, best_error = len(stages), errors[-1]
            elif len(stages) - best >= self.n_iter_no_change * len(learners):
                break
            if best_error <= _EXACT * spread:
                break
        if len(held_out) < len(problem.y):
            stages.truncate(best)
        if self.corrective is not None:
            stages.reweight(np.arange(len(problem.y)), self.alpha)
        return [
            stages.tile_model(learner, np.array(errors) if len(errors) else None)
            for learner in learners
        ]

    def _split(self, problem, random_state):
        """Return training and held-out samples; all samples are both if there are few."""
        n = len(problem.y)
        all_samples = np.arange(n)
        if self.validation_fraction is None or n < _MIN_SAMPLES:
            return all_samples, all_samples
        splitter = ShuffleSplit if problem.groups is None else GroupShuffleSplit
        split = splitter(1, test_size=self.validation_fraction, random_state=random_state)
        train, held_out = next(split.split(all_samples, groups=problem.groups))
        return np.sort(train), np.sort(held_out)


class _Learner:
    """The regressor of a term, fitted to residuals of sums, and the term's tiles as rows."""

    def __init__(self, term, problem, start, random_state, max_bytes):
        self.random_state = random_state
        tiles = term.tiling.tiles(problem.systems)
        # Tiles as read, rounded, merged, and sorted.
        per_tile = 32.0 * np.prod(tiles.tile_shape)

        def admit(n_distinct):
            require_memory(
                per_tile * n_distinct,
                f"Boosting on {n_distinct} distinct tiles",
                "Fit fewer or smaller fields, or use a wider focus (fewer tiles).",
                max_bytes,
            )

        tiles, _ = tiles.unique(admit)
        values = tiles.array()
        weights = np.ones(tiles.n_samples) if (w := problem.sample_weight) is None else w
        # Stages of an earlier fit were fitted to its steps.
        self.resolution = (
            _resolution(flat(values), tiles.sum_matrix.T @ weights, term.tiling, tiles.tile_shape)
            if start is None else start.resolution
        )  # fmt: skip
        exact = rounded(values, self.resolution)
        if exact is not values:
            tiles, _ = Tiles(exact, tiles.sum_matrix, tiles.tile_shape).unique()
            values = tiles.array()
        self.features = TileFeatures(term, problem.systems, resolution=self.resolution)
        self.regressor = self.features.final
        # Rows are sorted, because bootstraps and neighbours depend on their order. Sorting by value
        # does not depend on the unit of the fields or the processor.
        order = np.lexsort(flat(values).T[::-1])
        self.sum_matrix = tiles.sum_matrix[:, order]
        rows = self.features(values[order])
        self.row_resolution = None
        if start is not None:
            self.row_resolution = getattr(last_step(start.estimator), "resolution_", None)
        elif self.features.steps and isinstance(rows, np.ndarray):
            self.row_resolution = resolution_of(rows, self.sum_matrix.T @ weights)
        self.rows = rounded(rows, self.row_resolution)
        self.takes_weights = has_fit_parameter(self.regressor, "sample_weight")

    def stage(self, residuals, weights, samples):
        """Fit a clone to residuals (n, n_outputs) of some samples; return None if all are 0."""
        part = self.sum_matrix if len(samples) == len(weights) else self.sum_matrix[samples]
        weights, residuals = weights[samples], residuals[samples]
        counts = part.T @ weights
        present = np.flatnonzero(counts > 0)
        counts = counts[present]
        targets = (part.T @ (weights[:, None] * residuals))[present] / counts[:, None]
        # Targets have unit spread at every stage, because regressors with an absolute scale (such
        # as the epsilon of a support vector machine) would ignore small residuals.
        mean, spread = np.average(targets, axis=0, weights=counts), targets.std(axis=0)
        if not np.isfinite(spread).all() or not (np.abs(targets).max() > 0):
            return None
        scale = np.where(spread > 1e-12 * np.abs(mean), spread, np.abs(mean))
        targets = np.round(targets / np.where(scale > 0, scale, 1.0) / _GRID) * _GRID
        regressor = clone(self.regressor)
        params = regressor.get_params(deep=True)
        regressor.set_params(
            **{
                name: self.random_state.randint(np.iinfo(np.int32).max)
                for name, value in sorted(params.items())
                if name.rpartition("__")[2] == "random_state" and value is not None
                and not isinstance(value, (int, np.integer))
            }
        )  # fmt: skip
        n_outputs = residuals.shape[1]
        if n_outputs > 1:
            regressor = MultiOutputRegressor(regressor)
        fit_params = {"sample_weight": counts} if self.takes_weights else {}
        rows = self.rows if len(present) == self.sum_matrix.shape[1] else self.rows[present]
        try:
            return regressor.fit(rows, targets[:, 0] if n_outputs == 1 else targets, **fit_params)
        except ValueError as error:
            raise TileModelError(
                f"{type(self.regressor).__name__} could not be fitted to the residuals of the "
                f"sums, which are numbers of both signs: {error}"
            ) from error


class _Stages:
    """The fitted stages: regressors, their sums over each sample, and their weights."""

    def __init__(self, problem):
        self.y = problem.y
        self.problem = problem
        n = len(self.y)
        self.sample_weight = np.ones(n) if problem.sample_weight is None else problem.sample_weight
        self.owners: list[_Learner] = []
        self.regressors: list = []
        self.sums: list[np.ndarray] = []  # each (n_samples, n_outputs)
        self.weights = np.zeros((0, self.y.shape[1]))

    def __len__(self):
        return len(self.regressors)

    def totals(self):
        totals = np.zeros_like(self.y)
        for sums, weights in zip(self.sums, self.weights, strict=True):
            totals += weights * sums
        return totals

    def error(self, samples):
        squares = (self.y[samples] - self.totals()[samples]) ** 2
        return float(np.average(squares.mean(axis=1), weights=self.sample_weight[samples]))

    def load(self, learner, start):
        """Append the stages of an earlier fit, if any."""
        if start is None:
            return
        earlier = last_step(start.estimator)
        if not isinstance(earlier, BoostedSum):
            raise TileModelError(
                f"Boosting can only resume from a BoostedSum, got {type(earlier).__name__}. Set "
                "warm_start=False for a new fit."
            )
        for regressor, weights in zip(earlier.estimators_, earlier.weights_, strict=True):
            self._append(learner, regressor, weights)

    def add(self, learner, samples, train, learning_rate) -> bool:
        """Fit a stage and take the optimal step along it; return False if no residual is left."""
        residuals = self.y - self.totals()
        regressor = learner.stage(residuals, self.sample_weight, samples)
        if regressor is None:
            return False
        sums = self._append(learner, regressor, np.zeros(self.y.shape[1]))
        weights = self.sample_weight[train, None]
        projection = (weights * residuals[train] * sums[train]).sum(axis=0)
        norm = (weights * sums[train] ** 2).sum(axis=0)
        self.weights[-1] = learning_rate * projection / np.where(norm > 0, norm, 1.0)
        return True

    def reweight(self, samples, alpha):
        """Reweight all stages by slightly penalised least squares on the totals."""
        if not len(self):  # the baseline fits y exactly
            return
        root = np.sqrt(self.sample_weight[samples])
        for k in range(self.y.shape[1]):
            columns = np.stack([sums[samples, k] for sums in self.sums], axis=1) * root[:, None]
            norms = np.linalg.norm(columns, axis=0)
            norms[norms == 0] = 1.0
            penalty = np.sqrt(alpha) * np.eye(len(norms))
            self.weights[:, k] = (
                np.linalg.lstsq(
                    np.vstack([columns / norms, penalty]),
                    np.concatenate([self.y[samples, k] * root, np.zeros(len(norms))]),
                    rcond=None,
                )[0]
                / norms
            )

    def truncate(self, n_stages):
        """Discard the stages after the first `n_stages`."""
        n_stages = max(n_stages, 1)
        self.owners, self.regressors = self.owners[:n_stages], self.regressors[:n_stages]
        self.sums, self.weights = self.sums[:n_stages], self.weights[:n_stages]

    def tile_model(self, learner, errors) -> TileModel:
        indices = [index for index, owner in enumerate(self.owners) if owner is learner]
        boosted = BoostedSum(learner.regressor)
        boosted.estimators_ = [self.regressors[index] for index in indices]
        boosted.weights_ = self.weights[indices].reshape(-1, self.y.shape[1])
        boosted.validation_errors_ = errors
        boosted.n_features_in_ = learner.rows.shape[1]
        boosted.resolution_ = learner.row_resolution
        estimator = learner.features.assemble(boosted)
        return self.problem.tile_model(
            learner.features.term, estimator, resolution=learner.resolution
        )

    def _append(self, learner, regressor, weights):
        try:
            predicted = _predicted(regressor, learner.rows, self.y.shape[1])
        except TileModelError:
            raise
        except ValueError as error:
            raise TileModelError(
                f"{type(learner.regressor).__name__} cannot predict the {len(learner.rows)} "
                f"distinct tiles of these fields: {error}"
            ) from error
        sums = learner.sum_matrix @ predicted
        self.owners.append(learner)
        self.regressors.append(regressor)
        self.sums.append(sums)
        self.weights = np.vstack([self.weights, weights])
        return sums


def _resolution(rows, counts, tiling, tile_shape):
    """Return the steps of the elements of a tile, or None if tiles are exact."""
    steps = resolution_of(rows, counts, computed=tiling.has_round_off)
    return None if steps is None else steps.reshape(tile_shape)


def _predicted(regressor, rows, n_outputs) -> np.ndarray:
    return checked_outputs(regressor.predict(rows), rows.shape[0], n_outputs, regressor)
