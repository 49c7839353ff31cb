"""A meta-estimator that warns about samples unlike the training data."""

from __future__ import annotations

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.results import Result
from .._utils.stacklevel import outside_package
from ..estimators._committee import EDNNCommittee
from ..estimators._delegation import with_tags_of
from ..estimators._targets import ScoredByTotals, require_targets
from ..estimators._unwrap import unwrap
from ..exceptions import NoveltyWarning, TileModelError
from ..fields._samples import samples_at, with_samples
from ._leverage import TrainingSums
from ._novelty import TileNovelty

# The warning lists at most this many samples by index.
_MAX_LISTED = 8


class NoveltyGuard(MetaEstimatorMixin, ScoredByTotals, BaseEstimator):
    """Warn in `predict` about samples unlike the training data.

    `fit` holds back part of the samples, fits the estimator to the rest, and records an indicator
    of novelty for each sample held back. `predict` returns the predictions of the estimator and
    warns about each sample whose indicator exceeds all but a few of the recorded ones. A sample
    drawn like the training data triggers the warning with a probability of at most `alarm_rate`.
    This is exact for any estimator, indicator and distribution, provided that samples are
    exchangeable.

    Parameters
    ----------
    estimator : EDNNRegressor, EDNNCommittee or Pipeline that ends in one
        Cloned and fitted. A `sklearn.frozen.FrozenEstimator` is not refitted; `fit` then only
        records the indicators.
    indicator : {"distance", "share", "spread", "leverage"}, default="distance"
        "distance" is the mean distance of a sample's tiles to those of the fit, "share" the share
        of tiles that are novel (see `novelty`). "spread" is the spread of a committee and
        "leverage" the square root of a ridge's `leverage`, both per tile, so that samples of
        different sizes can be compared.
    alarm_rate : float, default=0.05
        Largest probability of a warning about a sample drawn like the training data.
    held_out : float, default=0.2
        Share of the samples held back. At least ``1 / alarm_rate - 1`` samples are needed.
    space : {"auto", "tiles", "features"}, default="auto"
        Space of the distances, as for `novelty`.
    max_tiles : int or None, default=10_000
        Largest number of distinct training tiles to compare with, drawn at random; None for all.
    term : str, default=None
        Which term to examine, if the estimator has several.
    random_state : int, RandomState or None, default=None
        Draws the samples held back, and the tiles.

    Attributes
    ----------
    estimator_ : estimator
        Fitted to the samples that are not held back.
    held_out_ : ndarray of int of shape (n_held_out,)
        Indices of the samples held back.
    usual_ : ndarray of shape (n_held_out,)
        Indicators of these samples, in ascending order.

    See Also
    --------
    novelty, leverage : The indicators, for one set of samples.
    error_ranking : Test whether an indicator ranks predictions by their error.

    References
    ----------
    V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", Springer 2005:
    the p-values are those of a conformal predictor.

    Examples
    --------
    Four fields drawn like the training data, and two that are not:

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
        """Fit the estimator to part of the samples and record the indicators of the others.

        Parameters
        ----------
        X : as for the estimator's `fit`
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Passed to the estimator's `fit`, which a Pipeline does not accept.
        groups : array-like of shape (n_samples,), default=None
            Groups are held back whole, since samples of one group resemble each other.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If too few samples would be held back for a warning at this `alarm_rate`.
        TileModelError
            If ``indicator="spread"`` and the estimator is not a committee.
        """
        self._validate_params()
        rng = check_random_state(self.random_state)
        # Before splitting: indexing would drop masks and does not accept sources.
        y, sample_weight, groups = require_targets(self, y, sample_weight, groups)
        X, y, sample_weight, groups = with_samples(X, y, sample_weight, groups)
        splitter = ShuffleSplit if groups is None else GroupShuffleSplit
        split = splitter(1, test_size=self.held_out, random_state=rng.randint(2**31 - 1))
        kept, held_out = next(split.split(np.zeros(len(y)), groups=groups))
        if (len(held_out) + 1) * self.alarm_rate < 1:
            raise ValueError(
                f"alarm_rate={self.alarm_rate} needs at least "
                f"{int(np.ceil(1 / self.alarm_rate)) - 1} samples held back, but held_out="
                f"{self.held_out} of {len(y)} samples are {len(held_out)}. Increase either of "
                "the two, or pass more samples."
            )
        weights = {}
        if sample_weight is not None:
            weights["sample_weight"] = _safe_indexing(sample_weight, kept)
        reference = samples_at(X, kept)
        estimator = clone(self.estimator).fit(reference, _safe_indexing(y, kept), **weights)
        inner, fields = unwrap(estimator, reference)
        if self.indicator == "spread" and not isinstance(inner, EDNNCommittee):
            raise TileModelError(
                f"indicator='spread' needs an EDNNCommittee, got {type(inner).__name__}. Use "
                "indicator='distance'."
            )
        training = self._reference(inner, fields, rng)
        usual = np.sort(self._indicate(estimator, training, samples_at(X, held_out)))
        self.estimator_, self.reference_ = estimator, training
        self.usual_, self.held_out_ = usual, held_out
        return self

    def predict(self, X):
        """Predict totals; warn about samples unlike the training data.

        Parameters
        ----------
        X : as for the estimator's `predict`

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions of the estimator.

        Warns
        -----
        NoveltyWarning
            Lists the indices of the samples.
        """
        check_is_fitted(self)
        y = self.estimator_.predict(X)
        result = self.novelty(X)
        novel = np.flatnonzero(result.novel)
        if len(novel):
            listed = ", ".join(str(k) for k in novel[:_MAX_LISTED])
            more = ", ..." if len(novel) > _MAX_LISTED else ""
            warnings.warn(
                f"{len(novel)} of {len(result.p_value)} samples are unlike the training data "
                f"(samples {listed}{more}): at most {self.alarm_rate:.1%} of samples like it are "
                "this far away. Do not trust these predictions until you have validated the model "
                "on similar samples. novelty(X) returns the distances.",
                NoveltyWarning,
                stacklevel=outside_package(),
            )
        return y

    def novelty(self, X):
        """Measure how far samples are from the training data, without a warning.

        Parameters
        ----------
        X : as for the estimator's `predict`

        Returns
        -------
        result : Bunch
            indicator : ndarray of shape (n_samples,)
                The number that `indicator` selects; larger is less familiar.
            p_value : ndarray of shape (n_samples,)
                Share of samples at least as far away, among those held back and the sample itself.
            novel : ndarray of bool of shape (n_samples,)
                Whether `p_value` is at most `alarm_rate`.
        """
        check_is_fitted(self)
        indicator = self._indicate(self.estimator_, self.reference_, X)
        nearer = np.searchsorted(self.usual_, indicator, side="left")
        p_value = (len(self.usual_) - nearer + 1) / (len(self.usual_) + 1)
        # Round-off in the product must not turn equality into "less than".
        novel = p_value <= self.alarm_rate * (1 + 1e-12)
        return Result(indicator=indicator, p_value=p_value, novel=novel)

    def _reference(self, inner, fields, rng):
        if self.indicator == "leverage":
            return TrainingSums(inner, fields, term=self.term)
        return TileNovelty(
            inner, fields, space=self.space, quantile=0.99, max_tiles=self.max_tiles,
            term=self.term, random_state=rng,
        )  # fmt: skip

    def _indicate(self, estimator, reference, X) -> np.ndarray:
        inner, fields = unwrap(estimator, X)
        n_tiles = reference.tiling.counts(reference.tiling.check(fields))
        if self.indicator == "leverage":
            return np.sqrt(reference.leverage(fields)) / n_tiles
        if self.indicator == "spread":
            _, spread = inner.predict(fields, return_std=True)
            return spread.reshape(len(spread), -1).max(axis=1) / n_tiles
        return reference.compare(fields)[self.indicator]

    def __sklearn_tags__(self):
        """Return the tags of the estimator."""
        return with_tags_of(super().__sklearn_tags__(), self.estimator)
