"""Fits that are kept: found again by what they depend on, and by nothing else."""

import os
import signal

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_ednn import EDNNRegressor, GridTiling, files
from sk_ednn.datasets import make_ising
from sk_ednn.exceptions import TileModelError
from sk_ednn.solvers import BoostingSolver


class Counted(Ridge):
    """Count fits, and kill the process in the one after `least`."""

    fits, least = 0, np.inf

    def fit(self, X, y, sample_weight=None):
        Counted.fits += 1
        if Counted.fits > Counted.least:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y, sample_weight)


@pytest.fixture
def spins():
    return make_ising(60, (6, 6), random_state=0, return_X_y=True)


@pytest.fixture(autouse=True)
def none_counted(monkeypatch):
    monkeypatch.setattr(Counted, "fits", 0)


def search(folder, X, y):
    # Boosted, since what fits linear models takes their parameters and not their fit.
    solver = BoostingSolver(n_stages=2)
    model = EDNNRegressor(Counted(), solver=solver, memory=folder, random_state=0)
    grid = {"tile_model__alpha": [1e-6, 1.0], "tiling": [GridTiling(1, 1), GridTiling(2, 1)]}
    return GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
def test_a_killed_grid_search_fits_nothing_twice(tmp_path, spins):
    whole = search(None, *spins)
    n_fits, Counted.fits = Counted.fits, 0
    least = n_fits // 2
    child = os.fork()
    if child == 0:
        try:
            Counted.least = least
            search(tmp_path, *spins)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    resumed = search(str(tmp_path), *spins)
    # The fit that was killed is made again, from its beginning.
    assert n_fits - least <= Counted.fits < n_fits - least + 2
    for name in (f"split{k}_test_score" for k in range(3)):
        np.testing.assert_array_equal(resumed.cv_results_[name], whole.cv_results_[name])
    np.testing.assert_array_equal(resumed.predict(spins[0]), whole.predict(spins[0]))
    Counted.fits = 0
    search(joblib.Memory(str(tmp_path), verbose=0), *spins)
    assert Counted.fits == 0


def changed(model, X, y, what):
    X, y, fit_params = X.copy(), y.copy(), {}
    if what == "X":
        X[3, 2, 2] *= -1
    elif what == "y":
        y[3] += 1
    elif what == "sample_weight":
        fit_params["sample_weight"] = np.linspace(1, 2, len(y))
    else:
        model.set_params(**what)
    return model, X, y, fit_params


@pytest.mark.parametrize(
    "what",
    ["X", "y", "sample_weight", {"tile_model__alpha": 1e-3}, {"tiling__context": 2},
     {"baseline": None}, {"tile_model": Ridge(1e-2)}],
    ids=str,
)  # fmt: skip
def test_the_key_depends_on_data_and_parameters(tmp_path, spins, what):
    model = EDNNRegressor(KernelRidge(kernel="rbf", alpha=1e-6), GridTiling(1, 1), memory=tmp_path)
    model.fit(*spins)
    model, X, y, fit_params = changed(model, *spins, what)
    kept = model.fit(X, y, **fit_params).predict(X)
    anew = model.set_params(memory=None).fit(X, y, **fit_params).predict(X)
    np.testing.assert_array_equal(kept, anew)


@pytest.mark.parametrize("what", [{"verbose": 1}, {"n_jobs": 2}])
def test_the_key_ignores_verbose_and_n_jobs(tmp_path, spins, what):
    model = EDNNRegressor(
        Counted(), solver=BoostingSolver(n_stages=1), memory=tmp_path, random_state=0
    )
    model.fit(*spins)
    n_fits = Counted.fits
    assert n_fits > 0
    model.set_params(**what).fit(*spins)
    assert Counted.fits == n_fits
    assert all(model.get_params()[name] == value for name, value in what.items())
    assert all(getattr(model.evaluation_, name) == value for name, value in what.items())


def test_the_key_of_a_warm_start_differs_from_that_of_a_fit(tmp_path, spins):
    forest = RandomForestRegressor(3, max_depth=3)

    def boosted(memory):
        model = EDNNRegressor(
            forest, solver=BoostingSolver(n_stages=3), memory=memory, random_state=0
        )
        first = model.fit(*spins).predict(spins[0])
        return first, model.set_params(warm_start=True).fit(*spins).predict(spins[0])

    plain, kept, result = boosted(None), boosted(tmp_path), boosted(tmp_path)
    assert not np.array_equal(*plain)
    for one, other in ((kept, plain), (result, plain)):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_damaged_cache_is_fitted_again(tmp_path, spins):
    model = EDNNRegressor(Ridge(), memory=tmp_path)
    expected = model.fit(*spins).predict(spins[0])
    (kept,) = tmp_path.rglob("output.pkl")
    kept.write_bytes(kept.read_bytes()[:50])
    np.testing.assert_array_equal(model.fit(*spins).predict(spins[0]), expected)
    assert len(kept.read_bytes()) > 50


def test_memory_rejects_lazy_fields(tmp_path):
    da = pytest.importorskip("dask.array")
    model = EDNNRegressor(Ridge(), memory=tmp_path)
    with pytest.raises(ValueError, match="read piece by piece"):
        model.fit(da.ones((4, 6, 6)), np.ones(4))
    assert not hasattr(model, "tile_model_")


def defined_within():
    class Inner(Ridge):
        pass

    return Inner()


@pytest.mark.parametrize(
    ("tile_model", "named"),
    [
        (make_pipeline(FunctionTransformer(lambda tiles: tiles**2), Ridge()), "<lambda>"),
        (defined_within(), r"defined_within\.<locals>\.Inner"),
    ],
    ids=["lambda", "class in a function"],
)
def test_memory_names_the_unhashable_parameter(tmp_path, spins, tile_model, named):
    model = EDNNRegressor(tile_model, memory=tmp_path / "memory")
    words = f"^memory caches each fit .*{named}.* define them in a module.* Or set memory=None"
    with pytest.raises(TileModelError, match=words) as caught:
        model.fit(*spins)
    assert len(str(caught.value)) < 500  # and not all that the fit was given
    assert not hasattr(model, "tile_model_") and not (tmp_path / "memory").exists()
    model.set_params(memory=None).fit(*spins)


def test_a_failed_fit_is_not_cached(tmp_path, spins):
    X, y = spins
    model = EDNNRegressor(Ridge(), memory=tmp_path)
    for _ in range(2):
        with pytest.raises(ValueError, match="inconsistent"):
            model.fit(X, y[:-1])
    assert not hasattr(model, "tile_model_")


def test_networks_are_cached(tmp_path, spins):
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    def fitted(memory):
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(9, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        )
        fit = GradientSolver(max_epochs=2)
        return EDNNRegressor(net, GridTiling(1, 1), solver=fit, memory=memory, random_state=0).fit(
            *spins
        )

    expected = fitted(None).predict(spins[0])
    for _ in range(2):
        np.testing.assert_array_equal(fitted(tmp_path).predict(spins[0]), expected)
    assert len(list(tmp_path.rglob("output.pkl"))) == 1


def test_a_model_file_does_not_contain_the_cache_folder(tmp_path, spins):
    pytest.importorskip("skops")
    model = EDNNRegressor(Ridge(), memory=tmp_path / "memory").fit(*spins)
    files.save(model, tmp_path / "model.ednn")
    loaded = files.load(tmp_path / "model.ednn")
    assert loaded.memory is None
    np.testing.assert_array_equal(loaded.predict(spins[0]), model.predict(spins[0]))
