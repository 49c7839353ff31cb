"""Linear tile models: an ordinary fit on summed features.

The sum of a linear function is the linear function of the sum::

    sum_t (phi(t) . w + b)  =  (sum_t phi(t)) . w + n_tiles b

Any linear model can therefore be fitted exactly, in one fit on ``S Phi(T)``, with the number of
tiles as the column of its intercept. Gradients of totals are additional rows; see `_directions`.
"""

from __future__ import annotations

from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from sklearn import linear_model as lm
from sklearn.model_selection import check_cv
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import has_fit_parameter

from .._utils.memory import require_memory
from .._utils.stored import stored
from .._utils.threads import threads_for
from ..exceptions import TileModelError
from ._base import AbstractSolver, is_regressor_object, last_step
from ._directions import all_rows, checked_groups, condensed_rows, directions_of
from ._features import TileFeatures
from ._normal_equations import NormalEquations
from ._problem import SumProblem

# Models with a squared loss and a penalty (if any) on the coefficients only. For these, projecting
# out the intercept's column before the fit is exact for systems of any size.
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
# Models whose loss is a mean over rows, so that additional rows would weaken the penalty.
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
# Tile counts that are linearly dependent to this relative accuracy are collinear.
_RESOLVED = 1e-10
# Rows from which tile counts are projected out at once, so that no copy of all rows is made.
_ROWS = 1024
# Models whose prediction is not linear in the features, so that it does not commute with the sum.
_LINKED = (lm.PoissonRegressor, lm.GammaRegressor, lm.TweedieRegressor)


@stored("LinearSolver", former=("LinearSumFit",))
class LinearSolver(AbstractSolver):
    """Fit a linear tile model, or a Pipeline that ends in one, exactly.

    Features are summed over the tiles of each sample, block by block, and the unmodified model is
    fitted to the sums. The intercept multiplies the number of tiles (for each term, if the terms
    count different tiles, such as those of species) and is not penalised. For least squares
    models the column of the intercept is projected out (Frisch-Waugh-Lovell theorem). For other
    models it is the ordinary intercept if all samples have the same number of tiles, and an
    additional column otherwise.

    The features of several terms are columns of one fit, so that all terms need models of the same
    class with the same parameters.

    Gradients of the totals (``fit(..., gradient=...)``) are learned along random directions. Each
    direction is an additional row of the fit, with the change of the summed features along it. This
    change is computed by the method ``push(X, tangent)`` of transformers such as `LocalInvariants`,
    and by central differences in float64 for other transformers.

    Parameters
    ----------
    n_directions : int, default=2
        Number of random directions for each sample with a gradient. If a gradient has no more
        entries than this, each entry is a row and nothing is random.
    gradient_weight : float, default=0.3
        Weight of the squared error of gradients, if passed to `fit`, relative to that of totals.
        The errors are means over all entries of gradients and over all samples, in units of their
        mean squares (less the baseline). The weight is dimensionless and has the same meaning as in
        `GradientSolver`. The penalty of a least squares model keeps its weight relative to the
        totals. Among weights from 0.01 to 3, the default was best for energies of unseen sheets
        (`sk_ednn.datasets.load_sheets`) learned with their forces.
    random_state : int, RandomState or None, default=None
        Seed of the directions.

    Notes
    -----
    Memory does not grow with the directions for `Ridge` and `LinearRegression`. With gradients,
    the normal equations of `Ridge` (``solver="auto"`` or ``"cholesky"``) are added up in float64,
    group by group, if there are more rows than half the features, and solved by a Cholesky
    decomposition, as `Ridge` does. For the others, more than twice as many rows of gradients as
    features are replaced by a triangular matrix with the same normal equations.

    Models with internal cross-validation, such as `LassoCV`, hold out samples: gradients of a
    sample are held out with its total, and only totals are scored. `RidgeCV` does this if ``cv`` is
    set. The default, which leaves out one row at a time, is rejected with gradients, as are
    `LassoLarsIC` and early stopping, because these treat rows as samples.

    See Also
    --------
    KernelSolver : The equivalent for kernel ridge.

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

    Four totals do not determine a sum of sines, but their gradients do:

    >>> from sklearn.linear_model import Ridge
    >>> X = np.random.default_rng(0).uniform(-3, 3, size=(4, 30))
    >>> tile_model = make_pipeline(PolynomialFeatures(7), Ridge(1e-6))
    >>> for gradient in (None, np.cos(X)):
    ...     model = EDNNRegressor(tile_model, GridTiling(1, 0), random_state=0)
    ...     model = model.fit(X, np.sin(X).sum(axis=1), gradient=gradient)
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
    learns_system_gradients = True
    # Maximum memory of the features of a block of tiles.
    _block_bytes = 1 << 26
    # Models that depend on rows through their normal equations only. Several times more rows of
    # gradients than features are condensed for them.
    _condensed = (lm.LinearRegression, lm.Ridge)
    # Models whose normal equations are solved here, without their rows in memory.
    _normal: tuple = (lm.Ridge,)
    _equations = NormalEquations

    def __init__(self, n_directions=2, *, gradient_weight=0.3, random_state=None):
        self.n_directions = n_directions
        self.gradient_weight = gradient_weight
        self.random_state = random_state

    def suits(self, terms) -> bool:
        """Return True if all terms end in a linear model with an identity link."""
        return all(_is_linear(last_step(term.tile_model)) for term in terms)

    def fit(self, problem: SumProblem):
        """Fit the terms; see `AbstractSolver.fit`."""
        self._validate_params()
        self._require_suited(problem.terms)
        features = [
            TileFeatures(term, problem.systems, self._block_bytes) for term in problem.terms
        ]
        _require_equal([feature.final for feature in features])
        columns = [feature.summed(problem.systems) for feature in features]
        widths = [column.shape[1] for column in columns]
        sums = columns.pop() if len(columns) == 1 else np.hstack(columns)
        counts, counted = problem.counts(), problem.counted
        model, folds, normal = features[0].final, None, False
        rows = sums, counts, problem.y, problem.sample_weight
        if problem.gradient is not None and self.gradient_weight > 0:
            folds = _folds(model, sums, problem.y)
            directions = directions_of(
                problem, features, widths, self.gradient_weight, self.n_directions,
                problem.rng(self.random_state),
            )  # fmt: skip
            normal, condense = self._reduced(model, len(sums), directions.n_rows, sum(widths))
            if normal:
                equations = self._equations(sum(widths), self._block_bytes)
                coefficients, intercept = _fit_normal_equations(model, *rows, directions, equations)
            else:
                if condense:
                    gradients = condensed_rows(directions, sum(widths), problem.sample_weight)
                else:
                    gradients = all_rows(directions)
                rows = _with_gradients(model, *rows, gradients)
                folds = [(_rows_of(train, gradients, len(sums)), test) for train, test in folds]
                del gradients
        del sums  # copied to `rows` if gradients are, and may take most of the memory
        if not normal:
            with _fixed_folds(model, folds):
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

    def _reduced(self, model, n_samples, n_rows, n_features) -> tuple[bool, bool]:
        """Return whether normal equations replace all rows, or a triangle those of gradients.

        Raises
        ------
        TileMemoryError
            If memory does not suffice.
        """
        normal = condense = False
        if type(model) in self._normal and _is_cholesky(model):
            # All rows and the copies that a model makes of them take more than the equations.
            normal = 2 * (n_samples + n_rows) > n_features
        if not normal:
            condense = type(model) in self._condensed and n_rows > 2 * n_features
        kept = 2 * n_features if condense else n_rows
        n_bytes = 16 * (kept + n_samples) * n_features
        if normal:
            n_bytes = 8 * n_features**2 + 4 * self._block_bytes
        require_memory(
            n_bytes,
            f"Learning gradients along {self.n_directions} directions of each sample",
            "Use fewer directions (LinearSolver(n_directions=1)), samples or features.",
        )
        return normal, condense


def _is_cholesky(model) -> bool:
    """Return True if a Ridge solves normal equations with one penalty."""
    is_one = isinstance(model.alpha, Real) and not isinstance(model.alpha, bool)
    return is_one and model.solver in ("auto", "cholesky") and not model.positive


def _fit_normal_equations(model, sums, counts, y, sample_weight, directions, equations):
    """Fit a Ridge to sums of features and to directions; return the same as `_fit_summed`.

    The equations are those that ``Ridge(solver="cholesky")`` solves. `sums` are overwritten.
    """
    model._validate_params()
    targets = y[:, 0]
    means = mean = None
    if model.fit_intercept:
        means, mean, targets = _project_out(counts, sums, targets, sample_weight)
    equations.add(sums, targets, sample_weight)
    for group in checked_groups(directions, equations.block_rows):
        weights = None if sample_weight is None else sample_weight[group.owners]
        equations.add(group.rows, group.targets, weights)
    model.coef_ = equations.solve(float(model.alpha))
    model.n_iter_, model.solver_ = None, "cholesky"
    if not model.fit_intercept:
        return model.coef_, np.zeros(counts.shape[1])
    return model.coef_, mean - means @ model.coef_


def _project_out(counts, sums, targets, sample_weight):
    """Subtract the part that tile counts explain, from sums in place.

    Returns
    -------
    means : ndarray of shape (n_counts, n_features)
    mean : ndarray of shape (n_counts, ...)
    targets : ndarray
        The rest of the targets.
    """
    means, mean = (_per_count(counts, values, sample_weight) for values in (sums, targets))
    for start in range(0, len(sums), _ROWS):
        some = slice(start, start + _ROWS)
        sums[some] -= counts[some] @ means
    return means, mean, targets - counts @ mean


def _folds(model, sums, y) -> list:
    """Return the training and held-out samples of a model with internal cross-validation."""
    by_rows = getattr(model, "early_stopping", False) or isinstance(model, lm.LassoLarsIC)
    if by_rows or (isinstance(model, lm.RidgeCV) and model.cv is None):
        remedy = "Fix its parameters."
        if isinstance(model, lm.RidgeCV):
            remedy = "Set cv=5, so that samples are held out with their gradients."
        raise TileModelError(
            f"{model!r} treats rows as samples when it chooses its parameters or stops, but a "
            f"sample with a gradient has several rows. {remedy}"
        )
    return list(check_cv(model.cv).split(sums, y)) if hasattr(model, "cv") else []


def _rows_of(samples, gradients, n_samples):
    """Return the rows of some samples: those of their totals and of their gradients."""
    gradient_rows = np.flatnonzero(np.isin(gradients.owners, samples))
    return np.concatenate([samples, n_samples + gradient_rows])


@contextmanager
def _fixed_folds(model, folds):
    """Within the context, make a model hold out the rows of `folds`, if any."""
    if not folds:
        yield
        return
    cv = model.cv
    model.cv = folds
    try:
        yield
    finally:
        model.cv = cv


def _with_gradients(model, sums, counts, y, sample_weight, gradients):
    """Append the rows of gradients, with counts of 0, to sums, counts, targets and weights."""
    n_samples, n_rows = len(sums), len(gradients.rows)
    weights = np.ones(n_samples) if sample_weight is None else sample_weight
    condensed = gradients.owners is None
    row_weights = np.ones(n_rows) if condensed else weights[gradients.owners]
    # Converts a mean over all rows to one over the samples.
    scale = 1.0
    if isinstance(model, _MEANS):
        scale = np.sqrt((weights.sum() + row_weights.sum()) / weights.sum())
    joined = np.empty((n_samples + n_rows, sums.shape[1]))
    np.multiply(sums, scale, out=joined[:n_samples])
    np.multiply(gradients.rows, scale, out=joined[n_samples:])
    counts = np.concatenate([counts * scale, np.zeros((n_rows, counts.shape[1]))])
    y = np.concatenate([y * scale, gradients.targets[:, None] * scale])
    if sample_weight is not None:
        sample_weight = np.concatenate([weights, row_weights])
    return joined, counts, y, sample_weight


def _is_linear(model) -> bool:
    if not is_regressor_object(model) or isinstance(model, _LINKED):
        return False
    return "fit_intercept" in getattr(model, "get_params", dict)()


def _require_equal(finals) -> None:
    first = finals[0]
    for other in finals[1:]:
        if type(other) is not type(first) or _params(other) != _params(first):
            raise TileModelError(
                "Linear terms are fitted together as one model, so that their last steps must be "
                f"equal, got {first!r} and {other!r}."
            )


def _params(final) -> str:
    # Each term has a seed; the common fit uses that of the first.
    return str(final.get_params() | {"random_state": None})


def _copy_of_fitted(model, final):
    final.__dict__.update(vars(model))
    return final


def _fit_summed(model, sums, counts, y, sample_weight) -> tuple[np.ndarray, np.ndarray]:
    """Fit `model` to sums of features; return its coefficients and its intercepts per tile.

    `counts` has a column, and the result an intercept, for each counted term. Intercepts are
    projected out in place, because `sums` may take most of the memory.
    """
    targets = y[:, 0] if y.shape[1] == 1 else y
    weights = {}
    if sample_weight is not None:
        if not has_fit_parameter(model, "sample_weight"):
            raise TileModelError(
                f"{type(model).__name__} does not support sample_weight. Leave it out, or use a "
                "model that does, such as Ridge."
            )
        weights["sample_weight"] = sample_weight
    with threads_for(*sums.shape):
        return _fit_with_intercepts(model, sums, counts, targets, weights)


def _fit_with_intercepts(model, sums, counts, targets, weights):
    n_counts = counts.shape[1]
    if not model.fit_intercept:
        model.fit(sums, targets, **weights)
        return model.coef_, np.zeros((n_counts, *targets.shape[1:]))

    if isinstance(model, _LEAST_SQUARES):
        means, mean, targets = _project_out(counts, sums, targets, weights.get("sample_weight"))
        model.set_params(fit_intercept=False)
        try:
            model.fit(sums, targets, **weights)
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
    """Regress values (n, ...) on tile counts by least squares; return (n_counts, ...)."""
    if counts.shape[1] == 1:
        weighted = counts[:, 0] if sample_weight is None else counts[:, 0] * sample_weight
        return (weighted @ values / (counts[:, 0] @ weighted))[None]
    root = np.ones(len(counts)) if sample_weight is None else np.sqrt(sample_weight)
    flat = values.reshape(len(values), -1) * root[:, None]
    # The minimum-norm solution for collinear counts, such as those of species in a fixed ratio.
    solution = np.linalg.lstsq(counts * root[:, None], flat, rcond=_RESOLVED)[0]
    return solution.reshape(counts.shape[1], *values.shape[1:])
