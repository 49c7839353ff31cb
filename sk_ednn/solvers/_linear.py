"""Linear tile models: an ordinary fit on summed features.

The sum of a linear function is the linear function of the sum::

    sum_t (phi(t) . w + b)  =  (sum_t phi(t)) . w + n_tiles b

so that any linear model is fitted exactly, once, on ``S Phi(T)``, with the tile count as the
column of its intercept. Derivatives of totals are rows beside them, see `_directions`.
"""

from __future__ import annotations

from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from sklearn import linear_model as lm
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import has_fit_parameter

from .._utils.stored import stored
from ..exceptions import TileModelError
from ._base import AbstractSolver, SumProblem, is_regressor_object, last_step
from ._directions import direction_rows
from ._features import TileFeatures

# Squared loss, penalty (if any) on the coefficients alone: here the intercept's column can be
# projected out beforehand, exactly, whatever the sizes of the systems.
_LEAST_SQUARES = (
    lm.LinearRegression,
    lm.Ridge,
    lm.RidgeCV,
    lm.ElasticNet,  # Lasso is one
    lm.ElasticNetCV,
    lm.LassoCV,
    lm.MultiTaskElasticNet,  # MultiTaskLasso is one
    lm.MultiTaskElasticNetCV,
    lm.MultiTaskLassoCV,
    lm.Lars,  # LassoLars, LarsCV, LassoLarsCV and LassoLarsIC are
    lm.OrthogonalMatchingPursuit,
    lm.OrthogonalMatchingPursuitCV,
    lm.BayesianRidge,
    lm.ARDRegression,
)
# Their loss is a mean over the rows, so that more rows make less of the penalty.
_MEANS = (
    lm.ElasticNet,
    lm.ElasticNetCV,
    lm.LassoCV,
    lm.MultiTaskElasticNet,
    lm.MultiTaskElasticNetCV,
    lm.MultiTaskLassoCV,
    lm.LassoLars,
    lm.LassoLarsCV,
)
# Counts of tiles that follow from one another to this relative accuracy are collinear.
_RESOLVED = 1e-10
# Their prediction is not linear in the features: a sum of them is not the model of the sum.
_LINKED = (lm.PoissonRegressor, lm.GammaRegressor, lm.TweedieRegressor)


@stored("LinearSolver", former=("LinearSumFit",))
class LinearSolver(AbstractSolver):
    """Fit a linear tile model, or a Pipeline that ends in one, exactly.

    The features are summed over each sample's tiles, block by block, and the model is fitted to
    the sums as it is. Its intercept multiplies the number of tiles (of each term, where the terms
    count different tiles, as those of species do) and is not penalised: for
    models of least squares its column is projected out (Frisch, Waugh and Lovell); for others it
    is the ordinary intercept where all samples have the same number of tiles, and one more
    column where they do not.

    Several terms stand side by side: their features are columns of one fit, which then needs the
    same kind of model with the same parameters in each.

    Derivatives of the totals (``fit(..., gradient=...)``) are learned along random directions:
    each is a row of the fit beside the totals, of how the summed features change along it. What
    features change by is taken from a transformer's ``push(X, direction)``, as `LocalInvariants`
    has it, and from central differences in float64 where there is none.

    Parameters
    ----------
    n_directions : int, default=2
        Directions for each sample with a gradient. Where a gradient has no more entries, each of
        them is a row and nothing is random.
    gradient_weight : float, default=0.3
        Weight of the squared error of gradients, where `fit` was given any, relative to that of
        totals: a mean over all their entries and one over all samples, each in units of its mean
        square (of gradients in y's unit per unit of what they are with respect to, of totals in
        y's unit, both less the baseline). It has no unit, and means what it means in
        `GradientSolver`. A penalty of least squares keeps the weight against the totals that it
        has without gradients. Of weights from 0.01 to 3 the default was best for energies of
        unseen sheets (`sk_ednn.datasets.load_sheets`), with their forces.
    random_state : int, RandomState or None, default=None
        Draws the directions.

    Notes
    -----
    Models with folds of their own, such as `LassoCV`, hold back samples: in a fold, a sample's
    derivatives are left out with its total, and what is scored are totals. `RidgeCV` does so with
    ``cv`` given; its own way of leaving out a row at a time is refused with gradients, as are
    `LassoLarsIC` and stopping early, for which rows would be samples.

    See Also
    --------
    KernelSolver : The same for kernel ridge.

    Examples
    --------
    The energy of an Ising chain is linear in products of neighbours:

    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> spins = np.random.default_rng(0).choice([-1.0, 1.0], size=(200, 10))
    >>> energy = -np.sum(spins * np.roll(spins, 1, axis=1), axis=1)
    >>> tile_model = make_pipeline(PolynomialFeatures(2), LinearRegression())
    >>> model = EDNNRegressor(tile_model, GridTiling(focus=1, context=1)).fit(spins, energy)
    >>> np.abs(model.predict(spins) - energy).max() < 1e-10
    np.True_

    Of a sum of sines, four totals say little, and their derivatives much:

    >>> from sklearn.linear_model import Ridge
    >>> X = np.random.default_rng(0).uniform(-3, 3, size=(4, 30))
    >>> tile_model = make_pipeline(PolynomialFeatures(7), Ridge(1e-6))
    >>> for slope in (None, np.cos(X)):
    ...     model = EDNNRegressor(tile_model, GridTiling(1, 0), random_state=0)
    ...     model = model.fit(X, np.sin(X).sum(axis=1), gradient=slope)
    ...     error = model.predict_gradient(X) - np.cos(X)
    ...     print(f"{np.sqrt(np.mean(error**2)):.2f}")
    3.75
    0.00
    """

    _parameter_constraints = {
        "n_directions": [Interval(Integral, 1, None, closed="left")],
        "gradient_weight": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }
    learns_gradients = True

    def __init__(self, n_directions=2, *, gradient_weight=0.3, random_state=None):
        self.n_directions = n_directions
        self.gradient_weight = gradient_weight
        self.random_state = random_state

    def suits(self, terms) -> bool:
        """Tell whether all terms end in a linear model with an identity link."""
        return all(_is_linear(last_step(term.tile_model)) for term in terms)

    def fit(self, problem: SumProblem):
        """Fit the terms; see `AbstractSolver.fit`."""
        self._validate_params()
        self._require_suited(problem.terms)
        features = [TileFeatures(term, problem.systems) for term in problem.terms]
        _require_alike([feature.final for feature in features])
        columns = [feature.summed(problem.systems) for feature in features]
        widths = [column.shape[1] for column in columns]
        sums = columns.pop() if len(columns) == 1 else np.hstack(columns)
        counts, counted = problem.counts(), problem.counted
        model, folds = features[0].final, None
        rows = sums, counts, problem.y, problem.sample_weight
        if problem.gradient is not None and self.gradient_weight > 0:
            folds = _folds(model, sums, problem.y)
            own = problem.random_state if self.random_state is None else self.random_state
            how = self.gradient_weight, self.n_directions, check_random_state(own)
            found = direction_rows(problem, features, widths, *how)
            rows = _with_derivatives(model, *rows, found)
            folds = [(_rows_of(train, found, len(sums)), test) for train, test in folds]
            del sums, found  # both are in `rows` now, which may be most of the memory
        with _held_back(model, folds):
            coefficients, intercept = _fit_summed(model, *rows)
        models = []
        parts = np.split(coefficients, np.cumsum(widths)[:-1], axis=-1)
        for k, (feature, part, width) in enumerate(zip(features, parts, widths, strict=True)):
            fitted = model if len(features) == 1 else _copy_of_fitted(model, feature.final)
            fitted.coef_ = np.ascontiguousarray(part)
            fitted.intercept_ = (
                intercept[counted.index(k)] if k in counted else np.zeros_like(intercept[0])
            )
            fitted.n_features_in_ = width
            models.append(problem.tile_model(feature.term, feature.assemble(fitted)))
        return models


def _folds(model, sums, y) -> list:
    """Return the samples trained on and held back, where a model chooses parameters by folds."""
    by_rows = getattr(model, "early_stopping", False) or isinstance(model, lm.LassoLarsIC)
    if by_rows or (isinstance(model, lm.RidgeCV) and model.cv is None):
        hint = ""
        if isinstance(model, lm.RidgeCV):
            hint = " Give it cv=5, so that samples are held back with their derivatives."
        raise TileModelError(
            f"{model!r} takes rows for samples where it chooses its parameters or stops, but "
            f"derivatives are rows that belong to a sample each.{hint or ' Fix its parameters.'}"
        )
    return list(check_cv(model.cv).split(sums, y)) if hasattr(model, "cv") else []


def _rows_of(samples, found, n_samples):
    """Return the rows of some samples: their totals, and what is known of their derivatives."""
    return np.concatenate([samples, n_samples + np.flatnonzero(np.isin(found.owners, samples))])


@contextmanager
def _held_back(model, folds):
    """Let a model hold back these rows, not some of its own choice."""
    if not folds:
        yield
        return
    own = model.cv
    model.cv = folds
    try:
        yield
    finally:
        model.cv = own


def _with_derivatives(model, sums, counts, y, sample_weight, found):
    """Return sums, counts, targets and weights with rows of derivatives below, without counts."""
    n_samples, n_rows = len(sums), len(found.rows)
    weights = np.ones(n_samples) if sample_weight is None else sample_weight
    of_rows = weights[found.owners]
    # A mean over all rows is brought back to one over the samples.
    scale = 1.0
    if isinstance(model, _MEANS):
        scale = np.sqrt((weights.sum() + of_rows.sum()) / weights.sum())
    joined = np.empty((n_samples + n_rows, sums.shape[1]))
    np.multiply(sums, scale, out=joined[:n_samples])
    np.multiply(found.rows, scale, out=joined[n_samples:])
    counts = np.concatenate([counts * scale, np.zeros((n_rows, counts.shape[1]))])
    y = np.concatenate([y * scale, found.targets[:, None] * scale])
    if sample_weight is not None:
        sample_weight = np.concatenate([weights, of_rows])
    return joined, counts, y, sample_weight


def _is_linear(model) -> bool:
    if not is_regressor_object(model) or isinstance(model, _LINKED):
        return False
    return "fit_intercept" in getattr(model, "get_params", dict)()


def _require_alike(finals) -> None:
    first = finals[0]
    for other in finals[1:]:
        if type(other) is not type(first) or _settings(other) != _settings(first):
            raise TileModelError(
                "Linear terms are fitted side by side, as one model: their last steps must be "
                f"equal, got {first!r} and {other!r}."
            )


def _settings(final) -> str:
    # Terms are seeded one by one; their one fit takes the seed of the first.
    return str(final.get_params() | {"random_state": None})


def _copy_of_fitted(model, final):
    final.__dict__.update(vars(model))
    return final


def _fit_summed(model, sums, counts, y, sample_weight) -> tuple[np.ndarray, np.ndarray]:
    """Fit `model` to sums of features; return its coefficients and its intercepts per tile.

    `counts` has a column, and the result an intercept, for each term whose tiles are counted.
    Where intercepts are projected out, that is done in place: `sums` may be most of the memory.
    """
    targets = y[:, 0] if y.shape[1] == 1 else y
    weights = {}
    if sample_weight is not None:
        if not has_fit_parameter(model, "sample_weight"):
            raise TileModelError(
                f"{type(model).__name__} takes no sample_weight. Leave it out, or use a model "
                "that does, such as Ridge."
            )
        weights["sample_weight"] = sample_weight
    n_counts = counts.shape[1]
    if not model.fit_intercept:
        model.fit(sums, targets, **weights)
        return model.coef_, np.zeros((n_counts, *targets.shape[1:]))

    if isinstance(model, _LEAST_SQUARES):
        means, mean = (_per_count(counts, values, sample_weight) for values in (sums, targets))
        model.set_params(fit_intercept=False)
        try:
            sums -= counts @ means
            model.fit(sums, targets - counts @ mean, **weights)
        finally:
            model.set_params(fit_intercept=True)
        # (n_outputs, n_features) or (n_features,) against (n_counts, n_features).
        explained = means @ np.asarray(model.coef_).T
        return model.coef_, np.asarray(mean - explained)

    if n_counts == 1 and np.ptp(counts) == 0:
        model.fit(sums, targets, **weights)
        return model.coef_, np.asarray(model.intercept_)[None] / counts[0, 0]

    model.set_params(fit_intercept=False)
    try:
        model.fit(np.hstack([sums, counts]), targets, **weights)
    finally:
        model.set_params(fit_intercept=True)
    intercepts = np.moveaxis(np.asarray(model.coef_[..., -n_counts:]), -1, 0)
    return model.coef_[..., :-n_counts], intercepts


def _per_count(counts, values, sample_weight) -> np.ndarray:
    """Return what least squares give a tile of each count, (n_counts, ...) for values (n, ...)."""
    if counts.shape[1] == 1:
        share = counts[:, 0] if sample_weight is None else counts[:, 0] * sample_weight
        return (share @ values / (counts[:, 0] @ share))[None]
    root = np.ones(len(counts)) if sample_weight is None else np.sqrt(sample_weight)
    flat = values.reshape(len(values), -1) * root[:, None]
    # Of collinear counts, as of two species in one ratio, the solution of least norm.
    solution = np.linalg.lstsq(counts * root[:, None], flat, rcond=_RESOLVED)[0]
    return solution.reshape(counts.shape[1], *values.shape[1:])
