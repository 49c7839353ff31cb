"""Linear tile models: an ordinary fit on summed features.

The sum of a linear function is the linear function of the sum::

    sum_t (phi(t) . w + b)  =  (sum_t phi(t)) . w + n_tiles b

so that any linear model is fitted exactly, once, on ``S Phi(T)``, with the tile count as the
column of its intercept.
"""

from __future__ import annotations

import numpy as np
from sklearn import linear_model as lm
from sklearn.utils.validation import has_fit_parameter

from ..exceptions import TileModelError
from ._base import AbstractSumFit, SumProblem, is_regressor_object, last_step
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
# Their prediction is not linear in the features: a sum of them is not the model of the sum.
_LINKED = (lm.PoissonRegressor, lm.GammaRegressor, lm.TweedieRegressor)


class LinearSumFit(AbstractSumFit):
    """Fit a linear tile model, or a Pipeline that ends in one, exactly.

    The features are summed over each sample's tiles, block by block, and the model is fitted to
    the sums as it is. Its intercept multiplies the number of tiles and is not penalised: for
    models of least squares its column is projected out (Frisch, Waugh and Lovell); for others it
    is the ordinary intercept where all samples have the same number of tiles, and one more
    column where they do not.

    Several terms stand side by side: their features are columns of one fit, which then needs the
    same kind of model with the same parameters in each.

    See Also
    --------
    KernelSumFit : The same for kernel ridge.

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
    """

    def suits(self, terms) -> bool:
        """Tell whether all terms end in a linear model with an identity link."""
        return all(_is_linear(last_step(term.tile_model)) for term in terms)

    def fit(self, problem: SumProblem):
        """Fit the terms; see `AbstractSumFit.fit`."""
        self._require_suited(problem.terms)
        features = [TileFeatures(term, problem.fields) for term in problem.terms]
        _require_alike([feature.final for feature in features])
        columns = [feature.summed(problem.fields) for feature in features]
        widths = [column.shape[1] for column in columns]
        sums = columns.pop() if len(columns) == 1 else np.hstack(columns)
        counts = problem.terms[0].tiling.counts(problem.fields)
        model = features[0].final
        coefficients, intercept = _fit_summed(model, sums, counts, problem.y, problem.sample_weight)
        models = []
        for feature, part, width in zip(
            features,
            np.split(coefficients, np.cumsum(widths)[:-1], axis=-1),
            widths,
            strict=True,
        ):
            fitted = model if len(features) == 1 else _copy_of_fitted(model, feature.final)
            fitted.coef_ = np.ascontiguousarray(part)
            fitted.intercept_ = intercept if feature is features[0] else np.zeros_like(intercept)
            fitted.n_features_in_ = width
            models.append(problem.tile_model(feature.term, feature.assemble(fitted)))
        return models


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
    """Fit `model` to sums of features; return its coefficients and its intercept per tile.

    Where the intercept is projected out, that is done in place: `sums` may be most of the memory.
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
    if not model.fit_intercept:
        model.fit(sums, targets, **weights)
        return model.coef_, _zero_intercept(y)

    if isinstance(model, _LEAST_SQUARES):
        share = counts if sample_weight is None else counts * sample_weight
        norm = counts @ share
        means, mean = share @ sums / norm, share @ targets / norm
        model.set_params(fit_intercept=False)
        try:
            sums -= np.outer(counts, means)
            model.fit(sums, _less(targets, counts, mean), **weights)
        finally:
            model.set_params(fit_intercept=True)
        return model.coef_, np.asarray(mean - np.asarray(model.coef_) @ means)

    if np.ptp(counts) == 0:
        model.fit(sums, targets, **weights)
        return model.coef_, np.asarray(model.intercept_) / counts[0]

    model.set_params(fit_intercept=False)
    try:
        model.fit(np.hstack([sums, counts[:, None]]), targets, **weights)
    finally:
        model.set_params(fit_intercept=True)
    return model.coef_[..., :-1], np.asarray(model.coef_[..., -1])


def _zero_intercept(y):
    return np.float64(0.0) if y.shape[1] == 1 else np.zeros(y.shape[1])


def _less(targets, counts, mean):
    return targets - (counts * mean if targets.ndim == 1 else np.outer(counts, mean))
