"""Weights by last errors: what they equal in linear models, kernels and networks."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import TileModelError
from sk_ednn.files import load, save
from sk_ednn.solvers import LossWeights


def fields(rng, n=40):
    """Return fields of two sizes and totals that no linear model gives."""
    X = [rng.uniform(-1, 1, size=4 + 4 * (k % 2)) for k in range(n)]
    return X, np.array([np.exp(1.5 * x).sum() for x in X])


MODELS = {
    "linear": make_pipeline(PolynomialFeatures(2, include_bias=False), Ridge(1e-3)),
    "kernel": KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-2),
    "forest": RandomForestRegressor(5, max_depth=3, random_state=0),
}


def regressor(tile_model, **params):
    return EDNNRegressor(clone(tile_model), GridTiling(1, 0), random_state=0, **params)


@pytest.mark.parametrize("name", MODELS)
def test_second_fit_is_weighted_by_the_errors_of_the_first(rng, name):
    X, y = fields(rng)
    base = rng.uniform(0.5, 2, size=len(y))
    model = regressor(MODELS[name], weighting=LossWeights(1.5), baseline=None)
    first = regressor(MODELS[name], baseline=None).fit(X, y, sample_weight=base)
    weights = LossWeights(1.5)(first.predict(X) - y, sizes=[len(x) for x in X])
    expected = regressor(MODELS[name], baseline=None).fit(X, y, sample_weight=weights * base)
    model.fit(X, y, sample_weight=base)
    np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=1e-10)
    assert np.abs(model.predict(X) - first.predict(X)).max() > 1e-6


@pytest.mark.parametrize("name", MODELS)
def test_exponent_zero_changes_nothing(rng, name):
    X, y = fields(rng)
    model = regressor(MODELS[name], weighting=LossWeights(0.0)).fit(X, y)
    plain = regressor(MODELS[name]).fit(X, y)
    np.testing.assert_allclose(model.predict(X), plain.predict(X), rtol=1e-10)


def test_errors_of_a_rare_kind_become_smaller(rng):
    X = rng.uniform(-1, 1, size=(200, 8))
    X[:20] += 1.5
    y = np.exp(X).sum(axis=1)
    errors = [
        np.abs(regressor(MODELS["linear"], weighting=weighting).fit(X, y).predict(X) - y)
        for weighting in ("total", LossWeights(1.0), LossWeights(2.0))
    ]
    rare = [each[:20].mean() for each in errors]
    assert rare[0] > rare[1] > rare[2]


def test_several_outputs_and_the_user_s_object(rng):
    X, y = fields(rng)
    weighting = LossWeights(1.0)
    model = regressor(MODELS["linear"], weighting=weighting).fit(X, np.column_stack([y, 10 * y]))
    single = regressor(MODELS["linear"], weighting=weighting).fit(X, y)
    np.testing.assert_allclose(model.predict(X)[:, 1], 10 * single.predict(X), rtol=1e-8)
    assert not hasattr(weighting, "exponent_")
    assert clone(model).set_params(weighting__exponent=3.0).weighting.exponent == 3.0


def test_files_contain_the_weights(rng, tmp_path):
    X, y = fields(rng)
    model = regressor(MODELS["linear"], weighting=LossWeights(2.5, cap=9.0)).fit(X, y)
    save(model, tmp_path / "m.ednn")
    loaded = load(tmp_path / "m.ednn")
    assert loaded.weighting.get_params() == model.weighting.get_params()
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


# --- networks ---------------------------------------------------------------------------------


def network(**params):
    torch = pytest.importorskip("torch")
    from sk_ednn.solvers import GradientSolver

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(1, 8), torch.nn.SiLU(), torch.nn.Linear(8, 1)
    )
    weighting = params.pop("weighting", "total")
    solver = GradientSolver(**{"max_epochs": 6, "batch_size": 16} | params)
    return EDNNRegressor(
        net, GridTiling(1, 0), solver=solver, weighting=weighting, random_state=0
    )  # fmt: skip


@pytest.mark.parametrize("form", ["tiled", "dense"])
def test_exponent_zero_changes_no_network(rng, form):
    X, y = fields(rng)
    plain = network(form=form).fit(X, y)
    model = network(form=form, weighting=LossWeights(0.0)).fit(X, y)
    np.testing.assert_allclose(model.predict(X), plain.predict(X), rtol=1e-4)
    steep = network(form=form, weighting=LossWeights(2.0)).fit(X, y)
    assert np.abs(steep.predict(X) - plain.predict(X)).max() > 1e-3
    assert steep.tile_model_.estimator.history[-1]["exponent"] > 0


class Watched(LossWeights):
    """Weights that keep the errors that they are computed from."""

    errors = []

    def __call__(self, errors, **kwargs):
        Watched.errors.append(np.array(errors))
        return super().__call__(errors, **kwargs)


def test_weights_follow_the_errors_of_the_last_epoch(rng):
    X, y = fields(rng)
    Watched.errors.clear()
    # One batch, and a rate that leaves the network as it is: errors are those of the result.
    model = network(
        weighting=Watched(1.0), batch_size=64, lr=1e-12, schedule="constant", max_epochs=2
    )
    base = rng.uniform(0.5, 2.0, size=len(y))
    model.fit(X, y, sample_weight=base)
    (errors,) = Watched.errors  # none in the first epoch
    actual = np.abs(model.predict(X) - y)
    np.testing.assert_allclose(errors / errors.mean(), actual / actual.mean(), rtol=1e-4)
    weights = base * LossWeights(1.0)(actual, sizes=[len(x) for x in X])
    first, second = model.tile_model_.estimator.history[:, "train_loss"]
    expected = np.average(actual**2, weights=weights) / np.average(actual**2, weights=base)
    np.testing.assert_allclose(second / first, expected, rtol=1e-4)


def test_interrupted_training_resumes_with_its_weights(rng, tmp_path):
    X, y = fields(rng)
    whole = network(weighting=LossWeights(1.0)).fit(X, y)
    path = tmp_path / "run.ckpt"

    class Stop(Exception):
        pass

    class Dies(LossWeights):
        calls = 0

        def __call__(self, *args, **kwargs):
            Dies.calls += 1
            if Dies.calls == 4:
                raise Stop
            return super().__call__(*args, **kwargs)

    with pytest.raises(Stop):
        network(weighting=Dies(1.0), checkpoint=path).fit(X, y)
    resumed = network(weighting=LossWeights(1.0), checkpoint=path).fit(X, y)
    assert len(resumed.tile_model_.estimator.history) == 6
    np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))


def test_perceptrons_of_scikit_learn_refuse_the_weights(rng):
    X, y = fields(rng)
    model = regressor(MLPRegressor((4,), max_iter=5), weighting=LossWeights(1.0))
    with pytest.raises(TileModelError, match="LossWeights apply to torch networks"):
        model.fit(X, y)
    assert not hasattr(model, "tile_model_")
