"""Active learning: label those systems of a pool on which a committee disagrees."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples

from ..estimators import EDNNCommittee, EDNNRegressor
from ..exceptions import NoveltyWarning
from ..fields._samples import require_samples, sample_at, samples_at

_STRATEGIES = ("committee", "random")


class ActiveLearning:
    """Label the most informative systems of a pool: fields, bags or structures.

    A committee is fitted to the labels so far. The next systems are drawn with probabilities that
    grow with the spread of its members, since the systems with the largest spreads resemble each
    other.

    Parameters
    ----------
    model : EDNNRegressor or other estimator, default=None
        Cloned: `n_members` times for the committee, once for `model_`.
    pool : array-like of shape (n_samples, *field_shape), or list of fields or structures
    labeller : callable
        Takes one element of the pool and returns its total. If it raises an error or does not
        return a finite number, the system is listed in `failed_` and not learned.
    n_initial : int, default=10
        Number of systems that are drawn at random first.
    batch_size : int, default=5
        Number of labels between two fits.
    strategy : {"committee", "random"}, default="committee"
        "random" for a comparison with equally many labels.
    n_members : int, default=5
    sharpness : float, default=4.0
        Probabilities are proportional to the spread to this power.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    model_ : estimator
        Fitted to all labels.
    indices_ : list of int
        Systems with a label, in the order of the requests.
    totals_ : list of float
    failed_ : dict of int to str
        Reasons why systems have no label.

    References
    ----------
    Kirsch et al., Stochastic batch acquisition: a simple baseline for deep active learning, TMLR
    2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import PolynomialFeatures
    >>> from sk_ednn import EDNNRegressor, GridTiling
    >>> from sk_ednn.search import ActiveLearning
    >>> fields = np.random.default_rng(0).normal(size=(100, 8))
    >>> tile_model = make_pipeline(PolynomialFeatures(2), Ridge(1e-6))
    >>> model = EDNNRegressor(tile_model, GridTiling(focus=1, context=1))
    >>> learning = ActiveLearning(
    ...     model, fields, lambda field: np.sum(field * np.roll(field, 1)), random_state=0
    ... ).run(30)
    >>> len(learning.indices_), len(set(learning.indices_))
    (30, 30)
    """

    def __init__(
        self, model=None, pool=None, labeller=None, *, n_initial=10, batch_size=5,
        strategy="committee", n_members=5, sharpness=4.0, random_state=None,
    ):  # fmt: skip
        self.model = model
        self.pool = pool
        self.labeller = labeller
        self.n_initial = n_initial
        self.batch_size = batch_size
        self.strategy = strategy
        self.n_members = n_members
        self.sharpness = sharpness
        self.random_state = random_state

    def run(self, n_labels, callback=None):
        """Label systems up to a number of labels; a second call continues.

        Parameters
        ----------
        n_labels : int
            Total number of labels, without failed ones. Fewer if the pool has no more systems.
        callback : callable, default=None
            Called with this object after each fit.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the strategy is unknown, the pool is not an array or a list, or none of the first
            `n_initial` labels succeeded.
        """
        if self.strategy not in _STRATEGIES:
            raise ValueError(f"Expected a strategy of {_STRATEGIES}, got {self.strategy!r}.")
        require_samples(self.pool, "pool")
        if not hasattr(self, "indices_"):
            self._rng = check_random_state(self.random_state)
            self.indices_, self.totals_, self.failed_ = [], [], {}
        n_before = len(self.failed_) + self.n_initial
        while len(self.indices_) < n_labels:
            left = self._left()
            if not len(left) or (not self.indices_ and len(self.failed_) >= n_before):
                break  # labels may be slow: one that never succeeds is not asked for all systems
            n = self.batch_size if self.indices_ else self.n_initial
            for k in self._choose(left, min(n, n_labels - len(self.indices_), len(left))):
                self._label(int(k))
            if self.indices_:
                self._fit()
                if callback is not None:
                    callback(self)
        if not self.indices_:
            raise ValueError(
                f"None of {len(self.failed_)} labels succeeded; the last one: "
                f"{list(self.failed_.values())[-1] if self.failed_ else 'the pool is empty'}."
            )
        return self

    def _left(self) -> np.ndarray:
        labelled = [*self.indices_, *self.failed_]
        return np.setdiff1d(np.arange(_num_samples(self.pool)), labelled)

    def _choose(self, left, n) -> np.ndarray:
        chances = None
        if self.strategy == "committee" and len(self.indices_) > 1:
            spread = self._spread(left)
            chances = (spread / spread.max()) ** self.sharpness if spread.max() > 0 else None
        if chances is not None and np.count_nonzero(chances) >= n:
            return self._rng.choice(left, n, replace=False, p=chances / chances.sum())
        return self._rng.choice(left, n, replace=False)

    def _spread(self, left) -> np.ndarray:
        seed = self._rng.randint(np.iinfo(np.int32).max)
        committee = EDNNCommittee(self._member(), self.n_members, random_state=seed)
        labelled, totals = self._labelled(), np.array(self.totals_)
        with warnings.catch_warnings():
            # The spread is computed to find where predictions are extrapolations.
            warnings.simplefilter("ignore", NoveltyWarning)
            committee.fit(labelled, totals)
            return committee.predict(samples_at(self.pool, left), return_std=True)[1]

    def _label(self, k):
        field = sample_at(self.pool, k)
        try:
            total = float(self.labeller(field))
        except Exception as error:  # whatever a reference method fails with
            self.failed_[k] = f"{type(error).__name__}: {error}"
            return
        if not np.isfinite(total):
            self.failed_[k] = f"the total is {total}"
            return
        self.indices_.append(k)
        self.totals_.append(total)

    def _fit(self):
        self.model_ = self._member().fit(self._labelled(), np.array(self.totals_))

    def _labelled(self):
        return samples_at(self.pool, np.array(self.indices_))

    def _member(self):
        return EDNNRegressor() if self.model is None else clone(self.model)
