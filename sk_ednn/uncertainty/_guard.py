"""An estimator that says when it is asked for what it does not know."""

from __future__ import annotations

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.utils import Bunch, _safe_indexing, check_random_state, indexable
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ..estimators._committee import EDNNCommittee
from ..estimators._delegation import with_tags_of
from ..estimators._targets import ScoredByTotals
from ..estimators._unwrap import unwrap
from ..exceptions import NoveltyWarning, TileModelError
from ..fields._sources import in_memory
from ._leverage import KnownSums
from ._novelty import TileNovelty

# More samples than this are counted in the warning, not named.
_MOST_NAMED = 8


class NoveltyGuard(MetaEstimatorMixin, ScoredByTotals, BaseEstimator):
    """Warn in `predict` of samples that are unlike those of the fit.

    Part of the samples is held back from the fit, and how far each of them is from those of the
    fit is kept. In `predict` a sample that is further away than all but a few of them is named in
    a warning; the prediction is that of the estimator inside. Samples like those of the fit are
    named with a probability of at most `alarm_rate`: that is exact, whatever the estimator, the
    indicator and the distribution of samples, as long as they are drawn alike.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee or Pipeline that ends in one
        It is cloned and fitted. A `sklearn.frozen.FrozenEstimator` keeps what it has learnt: `fit`
        then only learns what is usual.
    indicator : {"distance", "share", "spread", "leverage"}, default="distance"
        The mean distance of a sample's tiles to those of the fit, or the share of tiles that are
        unlike them (see `novelty`); per tile, so that sizes can be compared, the spread
        between members of a committee, or the root of a ridge's `leverage`.
    alarm_rate : float, default=0.05
        Of samples like those of the fit, how many may be named.
    held_out : float, default=0.2
        Share of the samples that is held back, at least ``1 / alarm_rate - 1`` of them.
    space : {"auto", "tiles", "features"}, default="auto"
        Where distances are taken, as for `novelty`.
    max_tiles : int or None, default=10_000
        Most distinct tiles of the fit to compare with, drawn at random; None for all.
    term : str, default=None
        Which term to look at, where the estimator has several.
    random_state : int, RandomState or None, default=None
        Draws the samples that are held back, and the tiles.

    Attributes
    ----------
    estimator_ : estimator
        Fitted to the samples that are not held back.
    held_out_ : ndarray of int of shape (n_held_out,)
        Indices of the others.
    usual_ : ndarray of shape (n_held_out,)
        Indicator of each of them, in ascending order.

    See Also
    --------
    novelty, leverage : The same numbers, for one set of samples.
    error_ranking : Whether they rank predictions by their error.

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", Springer 2005:
    the p-values are those of a conformal predictor.

    Examples
    --------
    Fields like those of the fit, and two of another kind:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.uncertainty import NoveltyGuard
    >>> rng = np.random.default_rng(0)
    >>> X, usual = rng.normal(size=(200, 8, 8)), rng.normal(size=(4, 8, 8))
    >>> model = NoveltyGuard(EDNNRegressor(Ridge(), GridTiling(2, 1)), random_state=0)
    >>> model = model.fit(X, X.sum(axis=(1, 2)))
    >>> model.novelty(np.concatenate([usual, 2 * usual[:2]])).p_value.round(2)
    array([0.37, 0.34, 0.05, 0.85, 0.02, 0.02])
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict"])],
        "indicator": [StrOptions({"distance", "share", "spread", "leverage"})],
        "alarm_rate": [Interval(Real, 0, 1, closed="neither")],
        "held_out": [Interval(Real, 0, 1, closed="neither")],
        "space": [StrOptions({"auto", "tiles", "features"})],
        "max_tiles": [Interval(Integral, 2, None, closed="left"), None],
        "term": [str, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        *,
        indicator="distance",
        alarm_rate=0.05,
        held_out=0.2,
        space="auto",
        max_tiles=10_000,
        term=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.indicator = indicator
        self.alarm_rate = alarm_rate
        self.held_out = held_out
        self.space = space
        self.max_tiles = max_tiles
        self.term = term
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, *, groups=None):
        """Fit the estimator to part of the samples, and learn from the others what is usual.

        Parameters
        ----------
        X : what the estimator is fitted to
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Handed on to the estimator. A Pipeline takes none: give it parts that weigh themselves.
        groups : array-like of shape (n_samples,), default=None
            Groups are held back whole: samples of one group are more alike than others.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where too few samples would be held back for any to be named at this `alarm_rate`.
        TileModelError
            Where the spread of what is no committee is asked for.
        """
        self._validate_params()
        if y is None:
            raise ValueError(
                "This NoveltyGuard estimator requires y to be passed, but the target y is None."
            )
        rng = check_random_state(self.random_state)
        # Before samples are held back, which may leave out masked ones and goes past sources.
        y, sample_weight = in_memory(y, "y"), in_memory(sample_weight, "sample_weight")
        groups = in_memory(groups, "groups")
        X, y, sample_weight, groups = indexable(X, y, sample_weight, groups)
        splitter = ShuffleSplit if groups is None else GroupShuffleSplit
        split = splitter(1, test_size=self.held_out, random_state=rng.randint(2**31 - 1))
        kept, held = next(split.split(np.zeros(len(y)), groups=groups))
        if (len(held) + 1) * self.alarm_rate < 1:
            raise ValueError(
                f"alarm_rate={self.alarm_rate} needs {int(np.ceil(1 / self.alarm_rate)) - 1} or "
                f"more samples held back; held_out={self.held_out} of {len(y)} are {len(held)}. "
                "Raise either of the two, or give more samples."
            )
        weights = {}
        if sample_weight is not None:
            weights["sample_weight"] = _safe_indexing(sample_weight, kept)
        reference = _safe_indexing(X, kept)
        estimator = clone(self.estimator).fit(reference, _safe_indexing(y, kept), **weights)
        inner, fields = unwrap(estimator, reference)
        if self.indicator == "spread" and not isinstance(inner, EDNNCommittee):
            raise TileModelError(
                f"Only an EDNNCommittee has a spread, got {type(inner).__name__}: use "
                "indicator='distance'."
            )
        known = self._known(inner, fields, rng)
        usual = np.sort(self._indicate(estimator, known, _safe_indexing(X, held)))
        self.estimator_, self.reference_ = estimator, known
        self.usual_, self.held_out_ = usual, held
        return self

    def predict(self, X):
        """Predict totals; warn of samples unlike those of the fit.

        Parameters
        ----------
        X : what the estimator predicts

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            What the estimator inside predicts.

        Warns
        -----
        NoveltyWarning
            Names the samples.
        """
        check_is_fitted(self)
        y = self.estimator_.predict(X)
        found = self.novelty(X)
        strange = np.flatnonzero(found.novel)
        if len(strange):
            named = ", ".join(str(k) for k in strange[:_MOST_NAMED])
            more = ", ..." if len(strange) > _MOST_NAMED else ""
            warnings.warn(
                f"{len(strange)} of {len(found.p_value)} samples are unlike those of the fit "
                f"(number {named}{more}): at most {self.alarm_rate:.1%} of the usual ones would "
                "be as far from it. Do not trust their predictions before you have seen some of "
                "their kind; novelty(X) says how far each is.",
                NoveltyWarning,
                stacklevel=2,
            )
        return y

    def novelty(self, X):
        """Say how far samples are from those of the fit, without a warning.

        Parameters
        ----------
        X : what the estimator predicts

        Returns
        -------
        result : Bunch
            indicator : ndarray of shape (n_samples,)
                What `indicator` names: the larger, the less familiar.
            p_value : ndarray of shape (n_samples,)
                Share of the samples held back that were at least as far away, this one among them.
            novel : ndarray of bool of shape (n_samples,)
                Where that is at most `alarm_rate`.
        """
        check_is_fitted(self)
        found = self._indicate(self.estimator_, self.reference_, X)
        nearer = np.searchsorted(self.usual_, found, side="left")
        p_value = (len(self.usual_) - nearer + 1) / (len(self.usual_) + 1)
        # A product of floats may fall short of the whole number that is meant.
        novel = p_value <= self.alarm_rate * (1 + 1e-12)
        return Bunch(indicator=found, p_value=p_value, novel=novel)

    def _known(self, inner, fields, rng):
        if self.indicator == "leverage":
            return KnownSums(inner, fields, term=self.term)
        return TileNovelty(
            inner, fields, space=self.space, quantile=0.99, max_tiles=self.max_tiles,
            term=self.term, random_state=rng,
        )  # fmt: skip

    def _indicate(self, estimator, known, X) -> np.ndarray:
        inner, fields = unwrap(estimator, X)
        n_tiles = known.tiling.counts(known.tiling.check(fields))
        if self.indicator == "leverage":
            return np.sqrt(known.leverage(fields)) / n_tiles
        if self.indicator == "spread":
            _, spread = inner.predict(fields, return_std=True)
            return spread.reshape(len(spread), -1).max(axis=1) / n_tiles
        return known.compare(fields)[self.indicator]

    def __sklearn_tags__(self):
        """Say what scikit-learn may expect: what it may of the estimator inside."""
        return with_tags_of(super().__sklearn_tags__(), self.estimator)
