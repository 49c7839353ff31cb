"""A committee: several models of the same data, whose spread measures uncertainty."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._utils.hashing import sent_to_processes
from .._utils.stored import stored
from .._utils.warned_once import warned_once
from ..fields._fields import check_fields
from ..fields._in_memory import in_memory
from ..fields._samples import samples_at, with_samples
from ..tiling import AbstractTiling
from ._delegation import copy_feature_names, with_tags_of
from ._held_out_errors import HeldOutErrors
from ._regressor import EDNNRegressor
from ._sizes import sizes_of
from ._targets import ScoredByTotals, require_targets


@stored("EDNNCommittee")
class EDNNCommittee(MetaEstimatorMixin, ScoredByTotals, BaseEstimator):
    """Average several models, fitted to bootstrap samples, and return their spread.

    Each member is fitted to samples (or groups of samples) drawn with replacement, with its own
    random seed. The spread of their predictions shows where the data do not determine the model.

    Parameters
    ----------
    estimator : estimator, default=None
        Cloned for each member. None for ``EDNNRegressor()``.
    n_members : int, default=8
    bootstrap : bool, default=True
        Whether to draw samples with replacement. If False, all members see all samples and differ
        only by their random seeds.
    n_jobs : int or None, default=None
        Number of members fitted in parallel.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    estimators_ : list of estimators
    estimators_samples_ : list of ndarray
        Indices of the samples that each member was fitted to.
    oob_prediction_ : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Out-of-bag prediction: the mean over members that were not fitted to the sample; NaN if
        all were.
    held_out_ : HeldOutErrors
        Out-of-bag errors and the spread of the members that they are of, from which
        `sk_ednn.uncertainty.predict_interval` follows. Only if `bootstrap`, and if two members
        had not seen some sample.

    Examples
    --------
    Members agree on fields like those of the fit and disagree on others:

    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNCommittee, EDNNRegressor
    >>> rng = np.random.default_rng(0)
    >>> seen, unseen = rng.normal(size=(80, 6, 6)), 2 * rng.normal(size=(80, 6, 6))
    >>> member = EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge(1e-3)))
    >>> committee = EDNNCommittee(member, random_state=0)
    >>> committee = committee.fit(seen, (seen**4).sum(axis=(1, 2)))
    >>> std_seen = committee.predict(seen, return_std=True)[1]
    >>> std_unseen = committee.predict(unseen, return_std=True)[1]
    >>> bool(np.median(std_unseen) > 5 * np.median(std_seen))
    True
    """

    _takes_systems = True  # see `_unwrap.unwrap`

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_members": [Interval(Integral, 2, None, closed="left")],
        "bootstrap": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        n_members=8,
        *,
        bootstrap=True,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.n_members = n_members
        self.bootstrap = bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None, *, groups=None, gradient=None):
        """Fit the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
        groups : array-like of shape (n_samples,), default=None
            Groups are drawn whole, and members do not split them either.
        gradient : array-like like X, or list of n_samples objects, default=None
            Known gradients of the totals; see `EDNNRegressor.fit`.

        Returns
        -------
        self
        """
        self._validate_params()
        # Before drawing: indexing would drop masks and does not accept sources.
        y, sample_weight, groups = require_targets(self, y, sample_weight, groups)
        gradient = in_memory(gradient, "gradient")
        X, y, sample_weight, groups, gradient = with_samples(X, y, sample_weight, groups, gradient)
        template = EDNNRegressor() if self.estimator is None else self.estimator
        n_samples = _n_samples(X, template, self)
        random_state = check_random_state(self.random_state)
        members = [
            _seeded(clone(template), random_state.randint(np.iinfo(np.int32).max))
            for _ in range(self.n_members)
        ]
        everything = np.arange(n_samples)
        samples = [
            _drawn(n_samples, groups, random_state) if self.bootstrap else everything
            for _ in members
        ]
        with sent_to_processes(), warned_once():
            estimators = Parallel(
                n_jobs=self.n_jobs,
                verbose=self.verbose,
                prefer="threads" if _is_sequential(self) else None,
            )(
                delayed(_fit_member)(
                    member, X, y, drawn,
                    sample_weight=sample_weight, groups=groups, gradient=gradient,
                )
                for member, drawn in zip(members, samples, strict=True)
            )  # fmt: skip
        y = np.asarray(y, dtype=float)
        oob, oob_std = _out_of_bag(estimators, samples, X, y)
        # A spread takes two members.
        true, held_out = np.where(np.isnan(oob_std), np.nan, y), None
        if np.isfinite(true).any():
            held_out = HeldOutErrors.of(true, oob, sizes_of(estimators[0], X), std=oob_std)
        self.__dict__.pop("held_out_", None)
        if held_out is not None:
            self.held_out_ = held_out
        self.estimators_ = estimators
        self.estimators_samples_ = samples
        self.oob_prediction_ = oob
        copy_feature_names(self, estimators[0])
        return self

    def predict(self, X, return_std=False):
        """Predict totals, optionally with the standard deviation between members.

        Parameters
        ----------
        X : array-like of shape (n_samples, *field_shape), or list of such fields
        return_std : bool, default=False

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        std : ndarray like y
            Only if `return_std`.
        """
        check_is_fitted(self)
        with warned_once():
            predictions = np.stack([estimator.predict(X) for estimator in self.estimators_])
        mean = predictions.mean(axis=0)
        return (mean, predictions.std(axis=0, ddof=1)) if return_std else mean

    def __sklearn_tags__(self):
        """Return the tags of the members."""
        inner = EDNNRegressor() if self.estimator is None else self.estimator
        return with_tags_of(super().__sklearn_tags__(), inner)


def _n_samples(X, template, caller) -> int:
    """Return the number of samples, with X checked as the members will check it."""
    if isinstance(template, EDNNRegressor):
        _, _, tiling = template._terms()[0]
        if isinstance(tiling, AbstractTiling) and not tiling.is_grid:
            return tiling.check(X).n_samples
    return check_fields(X, caller=caller).n_samples


def _is_sequential(committee) -> bool:
    """Return whether members are fitted one after the other, which needs no processes."""
    return effective_n_jobs(committee.n_jobs) == 1


def _seeded(member, seed):
    if "random_state" in member.get_params(deep=False):
        member.set_params(random_state=seed)
    return member


def _drawn(n_samples, groups, random_state) -> np.ndarray:
    if groups is None:
        return random_state.randint(n_samples, size=n_samples)
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            "Members differ by the groups that they are drawn from, but all samples are of one "
            "group, so that their spread would be 0. Give several groups, or groups=None to draw "
            "samples."
        )
    drawn = random_state.randint(len(names), size=len(names))
    return np.concatenate([np.flatnonzero(group_of == name) for name in drawn])


def _fit_member(member, X, y, drawn, **fit_params):
    fit_params = {
        name: _safe_indexing(values, drawn)
        for name, values in fit_params.items()
        if values is not None
    }
    return member.fit(samples_at(X, drawn), _safe_indexing(y, drawn), **fit_params)


def _out_of_bag(estimators, samples, X, y) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and the standard deviations of members that had not seen a sample."""
    predicted = np.full((len(estimators), *y.shape), np.nan)
    for of_member, estimator, drawn in zip(predicted, estimators, samples, strict=True):
        unseen = np.setdiff1d(np.arange(len(y)), drawn)
        if len(unseen):
            of_member[unseen] = np.asarray(estimator.predict(samples_at(X, unseen)))
    count = (~np.isnan(predicted)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(predicted, axis=0) / count
        squares = np.nansum((predicted - mean) ** 2, axis=0)
        return mean, np.sqrt(squares / np.where(count > 1, count - 1, np.nan))
