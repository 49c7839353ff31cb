"""A focus and a context from data, along a short path of cross-validations."""

from __future__ import annotations

import time
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, _safe_indexing, indexable
from sklearn.utils._param_validation import Interval, validate_params
from tqdm.auto import tqdm

from ..estimators._regressor import EDNNRegressor
from ..exceptions import TilingError
from ..tiling import GridTiling

# A progress bar appears after this many seconds; before, it is only noise.
_DELAY = 2.0


@validate_params(
    {
        "max_context": [Interval(Integral, 0, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "tolerance": [Interval(Real, 0, None, closed="left")],
        "min_gain": [Interval(Real, 0, None, closed="left")],
        "cv": ["cv_object"],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def suggest_tiling(
    X,
    y,
    *,
    estimator=None,
    focuses=None,
    max_context=8,
    patience=1,
    tolerance=1.0,
    min_gain=0.0,
    cv=5,
    scoring="neg_mean_absolute_error",
    groups=None,
    verbose=0,
):
    """Suggest a focus and a context by cross-validation, the smallest context first.

    For each focus the context grows by one site as long as the score improves by more than its
    standard error. So few fits are made, none of them with much more context than is needed.

    Parameters
    ----------
    X : fields, or whatever the estimator takes
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    estimator : estimator or callable, default=None
        An `EDNNRegressor`, or a Pipeline with one, whose tiling is a `GridTiling` that is to be
        varied; or a function of focus and context that returns an estimator, for tile models that
        have to know them. None for ``EDNNRegressor(tiling=GridTiling())``.
    focuses : sequence of int or tuple, default=None
        To be tried, in this order. None for the focus of the estimator's own tiling, or 1.
    max_context : int, default=8
        Where the path ends at the latest.
    patience : int, default=1
        How many contexts without improvement end a path. More than one where nothing is to be
        gained before the whole of an interaction is seen: sites `l` apart need a context of
        ``ceil(l / 2)``, and any smaller one may score as badly as none.
    tolerance : float, default=1.0
        How many standard errors of the paired difference are an improvement.
    min_gain : float, default=0.0
        An improvement is more than this, too, in units of the score. Totals without noise can be
        learnt ever better: say here what is good enough.
    cv : int, cross-validation generator or iterable, default=5
    scoring : str or callable, default="neg_mean_absolute_error"
        Greater is better.
    groups : array-like of shape (n_samples,), default=None
        For the cross-validation generator.
    verbose : int, default=0
        Whether to print a line for each tiling, with the time it took and that of the next, as it
        would be in proportion to the sites of a tile; and to show the folds of one that takes more
        than two seconds.

    Returns
    -------
    result : Bunch
        tiling : GridTiling
            The cheapest whose score is within the tolerance of the best: the smallest window, and
            of those the widest focus.
        focus, context : int or tuple
            Of that tiling.
        focuses, contexts : list
            The tilings tried, in that order.
        scores : ndarray of shape (n_tried, n_folds)
            Of each fold.
        mean_scores, std_errors : ndarray of shape (n_tried,)
            The standard error is that of the difference to the best, 0 for the best itself.
        fit_times : ndarray of shape (n_tried,)
            Mean time of a fit, in seconds.

    Raises
    ------
    TilingError
        Where the estimator has no `GridTiling` that could be varied, or a focus does not suit the
        fields.

    Notes
    -----
    The variance of a difference is that of its folds times ``1/k + n_test/n_train``, since the
    training sets of the folds overlap.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 2003, 52,
    239 (the variance). T. Hastie, R. Tibshirani and J. Friedman, "The Elements of Statistical
    Learning", 2009, section 7.10 (one standard error).

    Examples
    --------
    A chain in which spins four apart interact; a context of two is enough:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.inspection import suggest_tiling
    >>> rng = np.random.default_rng(0)
    >>> spins = rng.choice([-1, 1], size=(200, 24))
    >>> energy = -np.sum(spins * np.roll(spins, 4, axis=1), axis=1) + 0.1 * rng.normal(size=200)
    >>> pairs = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))
    >>> model = EDNNRegressor(pairs, GridTiling())
    >>> found = suggest_tiling(spins, energy, estimator=model, patience=2)
    >>> found.contexts, found.context
    ([0, 1, 2, 3, 4], 2)
    """
    X, y, groups = indexable(X, y, groups)
    make, template = _factory(estimator)
    if focuses is None:
        focuses = [1 if template is None else template.focus]
    focuses, n_axes = list(focuses), max(1, getattr(X[0], "ndim", 1))
    tried, scores, times = [], [], []
    if verbose:
        n_most = len(focuses) * (max_context + 1)
        print(f"At most {n_most} tilings, each fitted once a fold; fewer where no more is gained.")
    for focus in focuses:
        best, waited = None, 0
        for context in range(max_context + 1):
            model, start = make(focus, context), time.perf_counter()
            described = f"focus {focus}, context {context}"
            values, seconds, overlap = _cross_validate(
                model, X, y, groups, cv, scoring, described if verbose else None
            )
            tried.append((focus, context))
            scores.append(values)
            times.append(seconds)
            if verbose:
                took = time.perf_counter() - start
                line = f"{described}: {values.mean():.6g}, {seconds:.2g} s a fit, {took:.2g} s"
                if context < max_context:
                    longer = took * _growth(focus, context, n_axes)
                    line += f"; the next some {longer:.2g} s"
                print(line)
            if best is None or (values - best).mean() > max(
                tolerance * _std_error(values - best, overlap), min_gain
            ):
                best, waited = values, 0
            else:
                waited += 1
            if waited >= patience:
                break
    scores = np.array(scores)
    means = scores.mean(axis=1)
    top = int(np.argmax(means))
    errors = np.array([_std_error(scores[top] - values, overlap) for values in scores])
    within = np.maximum(tolerance * errors, min_gain)
    good = [k for k in range(len(tried)) if means[top] - means[k] <= within[k]]
    chosen = tried[min(good, key=lambda k: _cost(*tried[k]))]
    return Bunch(
        tiling=_with(template, *chosen),
        focus=chosen[0],
        context=chosen[1],
        focuses=[focus for focus, _ in tried],
        contexts=[context for _, context in tried],
        scores=scores,
        mean_scores=means,
        std_errors=errors,
        fit_times=np.array(times),
    )


def _factory(estimator):
    """Return a function of focus and context, and the tiling that is varied (None if unknown)."""
    if estimator is None:
        estimator = EDNNRegressor(tiling=GridTiling())
    if not hasattr(estimator, "get_params"):
        if not callable(estimator):
            raise TilingError(
                "estimator must be an estimator, or a function of focus and context that returns "
                f"one; got {estimator!r}."
            )
        return estimator, None
    parts = estimator.get_params(deep=True)
    names = [name for name, value in parts.items() if isinstance(value, GridTiling)]
    if not names:
        for name, value in {"": estimator, **parts}.items():
            if isinstance(value, EDNNRegressor) and value.tiling is None:
                names.append(f"{name}__tiling" if name else "tiling")
    if len(names) != 1:
        raise TilingError(
            "suggest_tiling varies one GridTiling of the estimator; this one has "
            f"{len(names)} ({', '.join(sorted(names)) or 'none'}). Give a function of focus and "
            "context that returns an estimator."
        )
    template = parts.get(names[0]) or GridTiling()

    def make(focus, context):
        return clone(estimator).set_params(**{names[0]: _with(template, focus, context)})

    return make, template


def _with(template, focus, context) -> GridTiling:
    tiling = GridTiling() if template is None else clone(template)
    return tiling.set_params(focus=focus, context=context)


def _growth(focus, context, n_axes) -> float:
    """Return how much more sites a tile has with one more site of context."""
    widths = [f for f in np.ravel(np.array(focus, dtype=object)) if f is not None]
    widths = widths * n_axes if len(widths) == 1 else widths
    return float(np.prod([(f + 2 * context + 2) / (f + 2 * context) for f in widths]))


def _cross_validate(model, X, y, groups, cv, scoring, described=None):
    """Return the scores of the folds, the mean time of a fit, and n_test / n_train."""
    scorer = check_scoring(model, scoring=scoring)
    scores, seconds, overlap = [], 0.0, 0.0
    folds = list(check_cv(cv).split(X, y, groups))
    bar = tqdm(folds, desc=described, unit="fold", delay=_DELAY, leave=False, disable=not described)
    for train, test in bar:
        start = time.perf_counter()
        fitted = clone(model).fit(_safe_indexing(X, train), _safe_indexing(y, train))
        seconds += time.perf_counter() - start
        scores.append(scorer(fitted, _safe_indexing(X, test), _safe_indexing(y, test)))
        overlap += len(test) / len(train)
    return np.array(scores), seconds / len(folds), overlap / len(folds)


def _std_error(differences, overlap) -> float:
    n = len(differences)
    if n < 2:
        return 0.0
    return float(np.sqrt((1 / n + overlap) * np.var(differences, ddof=1)))


def _cost(focus, context):
    """Order tilings: sites of a window along an axis, then fewer tiles."""
    widths = [np.inf if f is None else f for f in np.ravel(np.array(focus, dtype=object))]
    return max(widths) + 2 * context, -max(widths)
