"""Choose focus and context by cross-validation."""

from __future__ import annotations

import time
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval, validate_params
from tqdm.auto import tqdm

from .._utils.results import Result
from ..estimators._regressor import EDNNRegressor
from ..exceptions import TilingError
from ..fields._array_like import require_array_like
from ..fields._in_memory import in_memory
from ..fields._samples import sample_at, samples_at, with_samples
from ..tiling import GridTiling

# A progress bar appears after this many seconds.
_DELAY_SECONDS = 2.0


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
    """Suggest a focus and a context by cross-validation, starting with the smallest context.

    For each focus the context grows by one site as long as the score improves by more than its
    standard error. This takes few fits, none of them with a much larger context than necessary.

    Parameters
    ----------
    X : fields, or other input of the estimator
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    estimator : estimator or callable, default=None
        An `EDNNRegressor`, or a Pipeline with one, whose `GridTiling` is varied. Or a function of
        focus and context that returns an estimator, for tile models that depend on them. None for
        ``EDNNRegressor(tiling=GridTiling())``.
    focuses : sequence of int or tuple, default=None
        Focuses to evaluate, in this order. None for the focus of the estimator's tiling, or 1.
    max_context : int, default=8
        Largest context to evaluate.
    patience : int, default=1
        Number of contexts without improvement after which to stop. Use more than one if scores
        improve only once the whole interaction is visible: sites `l` apart need a context of
        ``ceil(l / 2)``, and any smaller one may score as badly as none.
    tolerance : float, default=1.0
        Number of standard errors of the paired difference that count as an improvement.
    min_gain : float, default=0.0
        Smallest gain that counts as an improvement, in units of the score. Totals without noise
        can be fitted ever better, so specify what is good enough.
    cv : int, cross-validation generator or iterable, default=5
    scoring : str or callable, default="neg_mean_absolute_error"
        Greater is better.
    groups : array-like of shape (n_samples,), default=None
        For the cross-validation generator.
    verbose : int, default=0
        If positive, print a line for each tiling, with its time and an estimate for the next one,
        in proportion to the sites of a tile. Show a progress bar over folds after two seconds.

    Returns
    -------
    result : Bunch
        tiling : GridTiling
            The cheapest tiling whose score is within the tolerance of the best: the smallest
            window, then the widest focus.
        focus, context : int or tuple
            Parameters of that tiling.
        focuses, contexts : list
            Parameters of all tilings evaluated, in order.
        scores : ndarray of shape (n_tilings, n_folds)
            Score of each tiling on each fold.
        mean_scores, std_errors : ndarray of shape (n_tilings,)
            Mean over folds, and standard error of the difference to the best, 0 for the best.
        fit_times : ndarray of shape (n_tilings,)
            Mean time of a fit, in seconds.

    Raises
    ------
    TilingError
        If the estimator has no single `GridTiling` to vary, or a focus does not suit the fields.

    Notes
    -----
    The training sets of the folds overlap, so the variance of a difference is the variance over
    folds times ``1/k + n_test/n_train``.

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
    >>> suggestion = suggest_tiling(spins, energy, estimator=model, patience=2)
    >>> suggestion.contexts, suggestion.context
    ([0, 1, 2, 3, 4], 2)
    """
    require_array_like(y, "y", "an array with a total for each sample")
    y, groups = in_memory(y, "y"), in_memory(groups, "groups")
    X, y, groups = with_samples(X, y, groups)
    if len(y) == 0:
        raise ValueError("suggest_tiling needs samples to cross-validate, got none.")
    make, template = _factory(estimator)
    if focuses is None:
        focuses = [1 if template is None else template.focus]
    if isinstance(focuses, (Integral, str)) or not (focuses := list(focuses)):
        raise TilingError(
            f"focuses must be a list of one focus or more, such as [1, 2], got {focuses!r}."
        )
    n_axes = max(1, getattr(sample_at(X, 0), "ndim", 1))
    path, scores, times = [], [], []
    if verbose:
        n_max = len(focuses) * (max_context + 1)
        print(f"Evaluating at most {n_max} tilings, with one fit per fold.")
    for focus in focuses:
        best, n_without_gain = None, 0
        for context in range(max_context + 1):
            model, start = make(focus, context), time.perf_counter()
            label = f"focus {focus}, context {context}"
            values, seconds, overlap = _cross_validate(
                model, X, y, groups, cv, scoring, label if verbose else None
            )
            path.append((focus, context))
            scores.append(values)
            times.append(seconds)
            if verbose:
                elapsed = time.perf_counter() - start
                line = f"{label}: {values.mean():.6g}, {seconds:.2g} s per fit, {elapsed:.2g} s"
                if context < max_context:
                    expected = elapsed * _growth(focus, context, n_axes)
                    line += f"; next about {expected:.2g} s"
                print(line)
            if best is None or (values - best).mean() > max(
                tolerance * _std_error(values - best, overlap), min_gain
            ):
                best, n_without_gain = values, 0
            else:
                n_without_gain += 1
            if n_without_gain >= patience:
                break
    scores = np.array(scores)
    means = scores.mean(axis=1)
    top = int(np.argmax(means))
    errors = np.array([_std_error(scores[top] - values, overlap) for values in scores])
    within = np.maximum(tolerance * errors, min_gain)
    good = [k for k in range(len(path)) if means[top] - means[k] <= within[k]]
    focus, context = path[min(good, key=lambda k: _cost(*path[k]))]
    return Result(
        tiling=_with(template, focus, context),
        focus=focus,
        context=context,
        focuses=[focus for focus, _ in path],
        contexts=[context for _, context in path],
        scores=scores,
        mean_scores=means,
        std_errors=errors,
        fit_times=np.array(times),
    )


def _factory(estimator):
    """Return a function of focus and context, and the tiling that is varied (None if unknown)."""
    if estimator is None:
        estimator = EDNNRegressor(tiling=GridTiling())
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        if isinstance(estimator, type) and hasattr(estimator, "get_params"):
            raise TilingError(
                f"estimator must be an instance, such as {estimator.__name__}(...), got the class."
            )
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
            "suggest_tiling varies one GridTiling of the estimator, but this estimator has "
            f"{len(names)} ({', '.join(sorted(names)) or 'none'}). Pass a function of focus and "
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
    """Return the factor by which one more site of context increases the sites of a tile."""
    widths = [f for f in np.ravel(np.array(focus, dtype=object)) if f is not None]
    widths = widths * n_axes if len(widths) == 1 else widths
    return float(np.prod([(f + 2 * context + 2) / (f + 2 * context) for f in widths]))


def _cross_validate(model, X, y, groups, cv, scoring, label=None):
    """Return the scores of the folds, the mean time of a fit, and n_test / n_train."""
    scorer = check_scoring(model, scoring=scoring)
    scores, seconds, overlap = [], 0.0, 0.0
    folds = list(check_cv(cv).split(np.zeros(len(y)), y, groups))
    bar = tqdm(folds, desc=label, unit="fold", delay=_DELAY_SECONDS, leave=False, disable=not label)
    for train, test in bar:
        start = time.perf_counter()
        fitted = clone(model).fit(samples_at(X, train), _safe_indexing(y, train))
        seconds += time.perf_counter() - start
        scores.append(scorer(fitted, samples_at(X, test), _safe_indexing(y, test)))
        overlap += len(test) / len(train)
    return np.array(scores), seconds / len(folds), overlap / len(folds)


def _std_error(differences, overlap) -> float:
    n = len(differences)
    if n < 2:
        return 0.0
    return float(np.sqrt((1 / n + overlap) * np.var(differences, ddof=1)))


def _cost(focus, context):
    """Return a sort key of tilings: the width of a window, then the number of tiles."""
    widths = [np.inf if f is None else f for f in np.ravel(np.array(focus, dtype=object))]
    return max(widths) + 2 * context, -max(widths)
