"""Small linear fits use one thread: on a busy machine others would wait for each other."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import Lasso, Ridge
from threadpoolctl import threadpool_info

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn._utils import threads


def pools():
    return [each["num_threads"] for each in threadpool_info()]


class Watched:
    """A mixin of regressors that notes how many threads their fits may use."""

    seen: list = []

    def fit(self, *args, **kwargs):
        self.seen.append(set(pools()))
        return super().fit(*args, **kwargs)


class WatchedRidge(Watched, Ridge):
    pass


class WatchedLasso(Watched, Lasso):
    pass


class WatchedProcess(Watched, GaussianProcessRegressor):
    pass


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("kind", [WatchedRidge, WatchedLasso, WatchedProcess])
def test_small_fits_use_one_thread_and_leave_the_number_as_it_was(kind, intercept):
    X = np.random.default_rng(0).normal(size=(12, 4, 4))
    options = {} if kind is WatchedProcess else {"fit_intercept": intercept}
    before = pools()
    Watched.seen.clear()
    EDNNRegressor(kind(**options), GridTiling(2, 1)).fit(X, X.sum(axis=(1, 2)))
    assert Watched.seen and all(each == {1} for each in Watched.seen)
    assert pools() == before


def test_large_fits_use_what_they_find(monkeypatch):
    monkeypatch.setattr(threads, "_WORTH_THREADS", 1.0)
    X = np.random.default_rng(0).normal(size=(12, 4, 4))
    with threads.limited_threads(2):
        found = set(pools())
        Watched.seen.clear()
        EDNNRegressor(WatchedRidge(), GridTiling(2, 1)).fit(X, X.sum(axis=(1, 2)))
    assert Watched.seen and all(each == found for each in Watched.seen)
