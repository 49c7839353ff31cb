"""Any regressor as a tile model: boosting on the sum.

A forest or a nearest-neighbour model cannot be fitted to sums of its own outputs. But the gradient
of the squared error of the sums with respect to each tile's contribution is known, ``S' (y - S
F)``, and it can be fitted to *that*, as in gradient boosting (Friedman 2001, Ann. Statist. 29,
1189). The step along the fitted direction follows exactly, because the error is quadratic; and so
do the best weights of all directions so far, which turns plain descent into something close to
conjugate gradients.
"""

from __future__ import annotations

from itertools import repeat
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.multioutput import MultiOutputRegressor
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import has_fit_parameter
from tqdm.auto import tqdm

from .._utils.memory import require_memory
from .._utils.steps import plain
from .._utils.stored import stored
from ..exceptions import TileModelError
from ..tile_models._base import checked_outputs, flat
from ..tile_models._tile_model import TileModel
from ._base import AbstractSolver, SumProblem, is_regressor_object, last_step
from ._features import TileFeatures

# Fewer samples than this are all used for fitting: what could be held back would tell nothing.
_FEW = 50
# Residuals are rounded to this part of their spread before a regressor sees them. Processors round
# sums of targets in other ways; where residuals that are equal, or symmetric, differ in their last
# bits, a tree decides a tie between two splits by them, and another model results. On a grid equal
# is equal, and the sums that a tree compares are exact, so that their order does not matter either.
_GRID = 2.0**-20
# Boosting ends where the squared error, relative to the variance of y, has become this small.
_EXACT = 1e-12


@stored("BoostedSum")
class BoostedSum(RegressorMixin, BaseEstimator):
    """A weighted sum of fitted regressors, the tile model that boosting leaves.

    Parameters
    ----------
    estimator : estimator
        The regressor that was fitted at every stage.

    Attributes
    ----------
    estimators_ : list of estimators
        One for each stage.
    weights_ : ndarray of shape (n_stages, n_outputs)
    validation_errors_ : ndarray or None
        Mean squared error of the totals held back, after each stage that was tried.
    """

    def __init__(self, estimator=None):
        self.estimator = estimator

    def fit(self, X, y):
        """Refuse: made by `BoostingSolver`. A Pipeline wants its last step to have it."""
        raise TileModelError("Fit an EDNNRegressor: the contributions of tiles are not known.")

    def predict(self, X):
        """Predict contributions of tiles as rows of features.

        Parameters
        ----------
        X : array-like of shape (n_tiles, n_features)

        Returns
        -------
        ndarray of shape (n_tiles,) or (n_tiles, n_outputs)
        """
        X = plain(X)
        outputs = np.zeros((X.shape[0], self.weights_.shape[1]))
        for estimator, weights in zip(self.estimators_, self.weights_, strict=True):
            if weights.any():
                outputs += weights * _predicted(estimator, X, len(weights))
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs


@stored("BoostingSolver", former=("BoostingSumFit",))
class BoostingSolver(AbstractSolver):
    """Fit any regressor to sums by boosting.

    Every stage fits a clone of the tile model to the residuals of the sums, spread over the tiles
    (each distinct tile once, at its mean residual, weighted by how often it occurs where the
    regressor takes weights). The step is an exact line search on the summed predictions;
    afterwards the stages so far are weighted anew by least squares on the totals.

    Parameters
    ----------
    n_stages : int, default=100
        Most stages.
    learning_rate : float, default=1.0
        Part of the exact step that is taken, when `corrective` is not "each".
    corrective : {"each", "final", None}, default="each"
        When all stages are weighted anew by least squares: after each, after the last, never.
    subsample : float, default=1.0
        Part of the samples, drawn anew, that each stage is fitted to.
    validation_fraction : float or None, default=0.1
        Part of the samples held back to find the best number of stages (whole groups, where
        groups are given). None, and fewer than 50 samples: all stages are kept.
    n_iter_no_change : int, default=10
        Stages without an improvement of at least `tol` (relative) before it stops.
    tol : float, default=1e-4
    alpha : float, default=1e-8
        Ridge penalty of the corrective weights, relative to the mean square of a stage's sums.
    random_state : int, RandomState or None, default=None
    verbose : int or None, default=None
        Whether to show a progress bar.
    max_bytes : int or None, default=None
        Most memory for the tiles. None for three quarters of what is free.

    Notes
    -----
    Several terms take turns, one stage each.

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
        """Tell whether all terms are regressors with fit and predict."""
        return all(is_regressor_object(last_step(term.tile_model)) for term in terms)

    def fit(self, problem: SumProblem) -> list[TileModel]:
        """Fit the terms; see `AbstractSolver.fit`."""
        self._validate_params()
        self._require_suited(problem.terms)
        own = problem.random_state if self.random_state is None else self.random_state
        random_state = check_random_state(own)
        sums = [_Learner(term, problem, random_state, self.max_bytes) for term in problem.terms]
        stages = _Stages(sums, problem)
        for learner, start in zip(sums, problem.start or repeat(None, len(sums)), strict=True):
            stages.adopt(learner, start)

        train, held_back = self._split(problem, random_state)
        best, best_error, errors = len(stages), np.inf, []
        spread = np.var(problem.y, axis=0).mean()
        if len(stages):
            stages.weigh(train, self.alpha)
            best_error = stages.error(held_back)
        bar = tqdm(
            range(self.n_stages), desc="boosting", unit="stage", delay=2.0,
            disable=not (self.verbose or (self.verbose is None and problem.verbose)),
        )  # fmt: skip
        for index in bar:
            learner = sums[index % len(sums)]
            rows = train
            if self.subsample < 1:
                size = max(1, round(self.subsample * len(train)))
                rows = np.sort(random_state.choice(train, size, replace=False))
            if not stages.add(learner, rows, train, self.learning_rate):
                break
            if self.corrective == "each":
                stages.weigh(train, self.alpha)
            errors.append(stages.error(held_back))
            bar.set_postfix(error=f"{errors[-1]:.3g}")
            if errors[-1] < best_error * (1 - self.tol):
                best, best_error = len(stages), errors[-1]
            elif len(stages) - best >= self.n_iter_no_change * len(sums):
                break
            if best_error <= _EXACT * spread:
                break
        if len(held_back) < len(problem.y):
            stages.cut(best)
        if self.corrective is not None:
            stages.weigh(np.arange(len(problem.y)), self.alpha)
        return [
            stages.tile_model(learner, np.array(errors) if len(errors) else None)
            for learner in sums
        ]

    def _split(self, problem, random_state):
        """Return samples to fit to, and samples to judge by: all of them, where they are few."""
        n = len(problem.y)
        everything = np.arange(n)
        if self.validation_fraction is None or n < _FEW:
            return everything, everything
        kind = ShuffleSplit if problem.groups is None else GroupShuffleSplit
        split = kind(1, test_size=self.validation_fraction, random_state=random_state)
        train, held_back = next(split.split(everything, groups=problem.groups))
        return np.sort(train), np.sort(held_back)


class _Learner:
    """A term's tiles as rows, and how its regressor is fitted to residuals of sums."""

    def __init__(self, term, problem, random_state, max_bytes):
        self.features = TileFeatures(term, problem.systems)
        self.regressor = self.features.final
        self.random_state = random_state
        tiles = term.tiling.tiles(problem.systems)
        per_tile = 24.0 * np.prod(tiles.tile_shape)

        def admit(n_distinct):
            require_memory(
                per_tile * n_distinct,
                f"Boosting on {n_distinct} distinct tiles",
                "Fit fewer or smaller fields, or take a wider focus (fewer tiles).",
                max_bytes,
            )

        tiles, _ = tiles.unique(admit)
        values = tiles.array()
        # By size, since bootstraps and neighbours go by the order of rows: another unit of the
        # fields, or another processor, leaves it as it is.
        order = np.lexsort(flat(values).T[::-1])
        self.rows = self.features(values[order])
        self.sum_matrix = tiles.sum_matrix[:, order]
        self.takes_weights = has_fit_parameter(self.regressor, "sample_weight")

    def stage(self, residuals, weights, samples):
        """Fit a clone to residuals (n, n_outputs) of some samples; None where nothing is left."""
        part = self.sum_matrix if len(samples) == len(weights) else self.sum_matrix[samples]
        weights, residuals = weights[samples], residuals[samples]
        counts = part.T @ weights
        seen = np.flatnonzero(counts > 0)
        targets = (part.T @ (weights[:, None] * residuals))[seen] / counts[seen, None]
        # Of unit spread at every stage: regressors with a scale of their own (the epsilon of a
        # support vector machine) would see smaller and smaller residuals as nothing.
        mean, spread = np.average(targets, axis=0, weights=counts[seen]), targets.std(axis=0)
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
        given = {"sample_weight": counts[seen]} if self.takes_weights else {}
        rows = self.rows if len(seen) == len(counts) else self.rows[seen]
        try:
            return regressor.fit(rows, targets[:, 0] if n_outputs == 1 else targets, **given)
        except ValueError as error:
            raise TileModelError(
                f"{type(self.regressor).__name__} could not be fitted to what the sums leave "
                "unexplained, numbers of both signs: " + str(error)
            ) from error


class _Stages:
    """The stages so far: regressors, their sums over every sample, and their weights."""

    def __init__(self, learners, problem):
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

    def adopt(self, learner, start):
        """Take over the stages of an earlier fit."""
        if start is None:
            return
        earlier = last_step(start.estimator)
        if not isinstance(earlier, BoostedSum):
            raise TileModelError(
                f"Boosting goes on from a BoostedSum, got {type(earlier).__name__}. Set "
                "warm_start=False to fit anew."
            )
        for regressor, weights in zip(earlier.estimators_, earlier.weights_, strict=True):
            self._append(learner, regressor, weights)

    def add(self, learner, samples, train, learning_rate) -> bool:
        """Fit one more stage, and take the exact step along it; False where none is left."""
        residuals = self.y - self.totals()
        regressor = learner.stage(residuals, self.sample_weight, samples)
        if regressor is None:
            return False
        sums = self._append(learner, regressor, np.zeros(self.y.shape[1]))
        weights = self.sample_weight[train, None]
        along = (weights * residuals[train] * sums[train]).sum(axis=0)
        norm = (weights * sums[train] ** 2).sum(axis=0)
        self.weights[-1] = learning_rate * along / np.where(norm > 0, norm, 1.0)
        return True

    def weigh(self, samples, alpha):
        """Weigh all stages anew, by (almost unpenalised) least squares on the totals."""
        if not len(self):  # nothing was left to fit once the baseline was taken off
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

    def cut(self, n_stages):
        """Forget the stages after the first `n_stages`."""
        n_stages = max(n_stages, 1)
        self.owners, self.regressors = self.owners[:n_stages], self.regressors[:n_stages]
        self.sums, self.weights = self.sums[:n_stages], self.weights[:n_stages]

    def tile_model(self, learner, errors) -> TileModel:
        mine = [index for index, owner in enumerate(self.owners) if owner is learner]
        boosted = BoostedSum(learner.regressor)
        boosted.estimators_ = [self.regressors[index] for index in mine]
        boosted.weights_ = self.weights[mine].reshape(-1, self.y.shape[1])
        boosted.validation_errors_ = errors
        boosted.n_features_in_ = learner.rows.shape[1]
        estimator = learner.features.assemble(boosted)
        return self.problem.tile_model(learner.features.term, estimator)

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


def _predicted(regressor, rows, n_outputs) -> np.ndarray:
    return checked_outputs(regressor.predict(rows), rows.shape[0], n_outputs, regressor)
