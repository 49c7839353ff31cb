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


def test_potentials_use_one_thread_for_few_atoms(monkeypatch):
    pytest.importorskip("torch")
    from sk_ednn.atoms import EDNNPotential
    from sk_ednn.networks._atomic import AtomicPotential

    rng, seen = np.random.default_rng(0), []
    sites = 2.5 * np.indices((2, 2, 2)).reshape(3, -1).T
    cells = [
        {"numbers": [14] * 8, "positions": sites + shifts, "cell": 5 * np.eye(3), "pbc": True}
        for shifts in rng.normal(0, 0.1, (6, 8, 3))
    ]
    potential = EDNNPotential(cutoff=3.0, max_epochs=1, random_state=0).fit(cells, rng.random(6))
    predict = AtomicPotential._predict_listed

    def watched(self, *args):
        seen.append(set(pools()))
        return predict(self, *args)

    monkeypatch.setattr(AtomicPotential, "_predict_listed", watched)
    with threads.limited_threads(2):
        many = set(pools())
    before = pools()
    potential.predict(cells)
    assert seen and all(each == {1} for each in seen) and pools() == before
    seen.clear()
    monkeypatch.setattr(AtomicPotential, "atoms_worth_threads", 0)
    with threads.limited_threads(2):
        potential.predict(cells)
    assert seen and all(each == many for each in seen)
