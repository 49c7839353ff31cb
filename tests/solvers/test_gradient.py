"""GradientSolver: networks and perceptrons fitted to sums."""

import copy
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

torch = pytest.importorskip("torch")
skorch = pytest.importorskip("skorch")

from skorch.dataset import ValidSplit  # noqa: E402
from torch import nn  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling  # noqa: E402
from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.solvers import AutoSolver, GradientSolver  # noqa: E402


def spins(n, shape=(6, 6), seed=0):
    fields = np.random.default_rng(seed).choice([-1, 1], size=(n, *shape)).astype(np.int8)
    energy = -sum((fields * np.roll(fields, 1, axis)).sum(axis=tuple(range(1, fields.ndim)))
                  for axis in range(1, fields.ndim))  # fmt: skip
    return fields, energy.astype(float)


def waves(n, length=12, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, length))
    return X, (X * np.roll(X, 1, axis=1)).sum(axis=1) + 3.0 * length


def small_net(n_inputs=9, n_outputs=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, 16), nn.SiLU(), nn.Linear(16, n_outputs))


class Shaped(nn.Module):
    """A module class with shape parameters."""

    def __init__(self, tile_shape, n_channels, n_hidden=16):
        super().__init__()
        n_inputs = n_channels * int(np.prod(tile_shape))
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(n_inputs, n_hidden), nn.SiLU(), nn.Linear(n_hidden, 1)
        )

    def forward(self, x):
        return self.layers(x)


def skorch_net(module, **params):
    defaults = {
        "max_epochs": 3,
        "batch_size": 16,
        "optimizer": torch.optim.Adam,
        "lr": 1e-2,
        "train_split": None,
        "verbose": 0,
    }
    return skorch.NeuralNetRegressor(module, **{**defaults, **params})


def quiet_fit(model, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


# --- the gradient --------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [spins(40)[0], np.random.default_rng(0).normal(size=(40, 6, 6))])
def test_one_step_equals_gradient_descent_on_naive_sums(fields):
    """One step of gradient descent equals that of a naive sum over all tiles."""
    y = np.random.default_rng(1).normal(size=40)
    module = small_net()
    reference = copy.deepcopy(module).double()
    net = skorch_net(module, optimizer=torch.optim.SGD, lr=1e-3, max_epochs=1, batch_size=-1)
    model = EDNNRegressor(net, GridTiling(1, 1), baseline=None).fit(fields, y)

    tiles = GridTiling(1, 1).tiles(fields).array().astype(float)
    inputs = torch.from_numpy((tiles - fields.mean()) / fields.std())[:, None]
    totals = reference(inputs).reshape(40, -1).sum(axis=1)
    # Outputs are in units of a tile, totals in the loss in units of their spread: 6 x 6 tiles.
    target = torch.from_numpy(y / model.tile_model_.scale) / 6
    np.testing.assert_allclose(torch.mean(target**2), 1.0)
    torch.nn.functional.mse_loss(totals / 6, target).backward()
    fitted = model.tile_model_.estimator.module_
    for ours, theirs in zip(fitted.parameters(), reference.parameters(), strict=True):
        step = theirs.detach() - 1e-3 * theirs.grad
        np.testing.assert_allclose(ours.detach(), step, rtol=1e-4, atol=1e-6)


def test_sample_weights_equal_repetitions():
    X, y = waves(30)
    weights = np.random.default_rng(0).integers(0, 4, size=30)
    net = skorch_net(small_net(3), optimizer=torch.optim.SGD, lr=1e-3, batch_size=-1, max_epochs=5)
    weighted = EDNNRegressor(net, GridTiling(1, 1)).fit(X, y, sample_weight=weights)
    repeated = EDNNRegressor(net, GridTiling(1, 1)).fit(X.repeat(weights, 0), y.repeat(weights))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-4)


def test_merging_equal_tiles_does_not_change_the_training():
    """Spins have equal tiles; spins with a little noise have none."""
    X, y = spins(60, (4, 4))
    noisy = X + 1e-7 * np.random.default_rng(0).normal(size=X.shape)
    losses = []
    for fields in (X, noisy):
        net = skorch_net(small_net(), max_epochs=4)
        model = EDNNRegressor(net, random_state=0).fit(fields, y)
        losses.append(model.tile_model_.estimator.history[:, "train_loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


# --- what may be a tile model --------------------------------------------------------------------


def tile_models():
    return {
        "module": small_net(),
        "class": Shaped,
        "skorch": skorch_net(Shaped, max_epochs=30),
        "pipeline": make_pipeline(StandardScaler(), skorch_net(small_net(), max_epochs=30)),
        "perceptron": MLPRegressor(
            hidden_layer_sizes=(16,), max_iter=100, learning_rate_init=1e-2, batch_size=32
        ),
    }


@pytest.mark.parametrize("name", tile_models())
def test_training_on_small_fields_predicts_large_fields(name):
    X, y = spins(400)
    large, truth = spins(20, (12, 18), seed=1)
    fit = GradientSolver(max_epochs=30, lr=1e-2)
    model = EDNNRegressor(tile_models()[name], solver=fit, random_state=0)
    quiet_fit(model, X, y)
    assert model.score(large, truth) > 0.9
    totals = model.predict_contributions(large).sum(axis=(1, 2))
    np.testing.assert_allclose(totals, model.predict(large), rtol=1e-9)


@pytest.mark.parametrize("name", tile_models())
def test_doubling_an_axis_doubles_the_total(name):
    X, y = spins(50)
    fit = GradientSolver(max_epochs=3)
    model = quiet_fit(EDNNRegressor(tile_models()[name], solver=fit, random_state=0), X, y + 7)
    doubled = np.concatenate([X, X], axis=1)
    np.testing.assert_allclose(model.predict(doubled), 2 * model.predict(X), rtol=1e-12)


@pytest.mark.parametrize("name", tile_models())
def test_equal_random_states_give_equal_weights(name):
    X, y = spins(50)
    predictions = []
    for _ in range(2):
        torch.rand(3)  # the global generator must not matter
        fit = GradientSolver(max_epochs=3)
        model = EDNNRegressor(tile_models()[name], solver=fit, random_state=3)
        predictions.append(quiet_fit(model, X, y).predict(X))
    np.testing.assert_array_equal(*predictions)


def test_global_generator_is_not_changed():
    X, y = spins(20)
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    EDNNRegressor(small_net(), solver=GradientSolver(max_epochs=2)).fit(X, y)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(4), expected)
    state = torch.get_rng_state()
    EDNNRegressor(Shaped, solver=GradientSolver(max_epochs=2), random_state=0).fit(X, y)
    assert torch.equal(torch.get_rng_state(), state)


def test_users_module_is_not_changed():
    X, y = spins(20)
    module = small_net()
    before = copy.deepcopy(module.state_dict())
    EDNNRegressor(module, solver=GradientSolver(max_epochs=2)).fit(X, y)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_fitted_net_has_the_users_class():
    class Mine(skorch.NeuralNetRegressor):
        pass

    X, y = spins(30)
    net = Mine(Shaped, max_epochs=2, verbose=0, batch_size=8, train_split=None)
    fitted = EDNNRegressor(net).fit(X, y).tile_model_.estimator
    assert type(fitted) is Mine and len(fitted.history) == 2
    tiles = np.ones((5, 1, 3, 3), dtype=np.float32)
    assert fitted.predict(tiles).shape == (5, 1)
    assert not hasattr(net, "module_")


def test_modules_get_channels_first_and_shape_parameters():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 6, 6, 2)).astype(np.float32)
    seen = {}

    class Spy(Shaped):
        def __init__(self, tile_shape, n_channels):
            seen.update(tile_shape=tile_shape, n_channels=n_channels)
            super().__init__(tile_shape, n_channels)

        def forward(self, x):
            seen["input"] = tuple(x.shape[1:])
            return super().forward(x)

    tiling = GridTiling(2, 1, channel_axis=-1)
    fit = GradientSolver(max_epochs=1)
    EDNNRegressor(Spy, tiling, solver=fit).fit(X, X.sum(axis=(1, 2, 3)))
    assert seen == {"tile_shape": (4, 4), "n_channels": 2, "input": (2, 4, 4)}


def test_search_over_focus_and_context_of_module_classes():
    X, y = spins(60)
    model = EDNNRegressor(skorch_net(Shaped, max_epochs=2), GridTiling(), random_state=0)
    search = GridSearchCV(model, {"tiling__focus": [1, 2], "tiling__context": [0, 1]}, cv=2)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_several_outputs_of_networks():
    X, y = spins(300)
    Y = np.column_stack([y, X.sum(axis=(1, 2))])
    fit = GradientSolver(max_epochs=30, lr=1e-2)
    model = EDNNRegressor(small_net(9, 2), solver=fit, random_state=0).fit(X, Y)
    assert model.predict(X).shape == (300, 2)
    assert model.score(X, Y) > 0.95


def test_networks_on_fields_of_different_sizes():
    fields = [
        spins(1, shape, seed)[0][0] for seed, shape in enumerate([(4, 4), (6, 4), (8, 8)] * 40)
    ]
    y = [-(f * np.roll(f, 1, 0) + f * np.roll(f, 1, 1)).sum() for f in fields]
    fit = GradientSolver(max_epochs=30, lr=1e-2)
    model = EDNNRegressor(small_net(), solver=fit, random_state=0).fit(fields, y)
    assert model.score(fields, y) > 0.95


# --- skorch's own parts --------------------------------------------------------------------------


def test_validation_split_scheduler_and_callbacks():
    X, y = spins(100)
    seen = []

    class Watch(skorch.callbacks.Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(net.history[-1, "valid_loss"])

    net = skorch_net(Shaped, train_split=ValidSplit(4), max_epochs=5, callbacks=[Watch()])
    EDNNRegressor(net, random_state=0).fit(X, y)
    assert len(seen) == 5 and np.isfinite(seen).all()


def test_groups_stay_together_in_the_validation_split():
    X, y = spins(60)
    groups = np.repeat(np.arange(12), 5)
    parts = {}

    class Watch(skorch.callbacks.Callback):
        def on_train_begin(self, net, X=None, y=None, **kwargs):
            parts["train"], parts["valid"] = net.get_split_datasets(X, y)

    net = skorch_net(Shaped, train_split=ValidSplit(3), callbacks=[Watch()], max_epochs=1)
    EDNNRegressor(net).fit(X, y, groups=groups)
    train, valid = (set(groups[np.asarray(parts[k].indices)]) for k in ("train", "valid"))
    assert len(valid) == 4 and not train & valid


def test_warm_start_resumes():
    X, y = spins(100)
    model = EDNNRegressor(
        skorch_net(Shaped, max_epochs=4, iterator_train__shuffle=False), warm_start=True,
        random_state=0,
    )  # fmt: skip
    model.fit(X, y)
    history = list(model.tile_model_.estimator.history[:, "train_loss"])
    model.fit(X, y)
    longer = model.tile_model_.estimator.history[:, "train_loss"]
    assert longer[:4] == history and longer[4] < history[0]
    whole = clone(model).set_params(tile_model__max_epochs=8).fit(X, y)
    np.testing.assert_allclose(longer, whole.tile_model_.estimator.history[:, "train_loss"])


def test_poisson_counts_are_positive():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(500, 16))
    y = rng.poisson((X**2).sum(axis=1))
    fit = GradientSolver("poisson", max_epochs=60, lr=3e-2)
    model = EDNNRegressor(
        small_net(1), GridTiling(1, 0), solver=fit, baseline=None, random_state=0
    ).fit(X, y)
    assert model.predict_contributions(X).min() > 0
    x = np.linspace(0.05, 0.95, 16)[None]
    np.testing.assert_allclose(model.predict_contributions(x)[0], x[0] ** 2, atol=0.15)


# --- scikit-learn's perceptron -------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adam"},
        {"solver": "adam", "activation": "logistic", "beta_1": 0.8, "alpha": 0.1},
        {"solver": "sgd", "learning_rate": "invscaling", "activation": "tanh"},
        {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False, "shuffle": False},
        {"solver": "sgd", "learning_rate": "adaptive", "momentum": 0.0, "tol": 0.1},
        {"solver": "lbfgs"},
        {"solver": "adam", "early_stopping": True, "validation_fraction": 0.3},
        {"solver": "adam", "batch_size": 7, "hidden_layer_sizes": (5, 4)},
    ],
)
def test_one_tile_per_sample_equals_mlp_regressor(params):
    """All hyperparameters and random numbers have the effect that they have in scikit-learn."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 5))
    X = (X - X.mean()) / X.std()  # as it is standardised otherwise
    y = X[:, 0] * X[:, 1]
    y /= np.sqrt(np.mean(y**2))
    settings = {"hidden_layer_sizes": (6,), "max_iter": 15, "random_state": 0, **params}
    alone = quiet_fit(MLPRegressor(**settings), X, y)
    tiling = GridTiling(focus=None, context=0)
    model = quiet_fit(EDNNRegressor(MLPRegressor(**settings), tiling, baseline=None), X, y)
    ours = model.tile_model_.estimator
    assert isinstance(ours, MLPRegressor)
    for a, b in zip(ours.coefs_, alone.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    if params["solver"] != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, alone.loss_curve_, rtol=1e-9)


def test_perceptron_sample_weights_equal_repetitions():
    X, y = waves(40)
    weights = np.random.default_rng(0).integers(1, 4, size=40)
    tile_model = MLPRegressor(
        hidden_layer_sizes=(6,), solver="lbfgs", max_iter=20, random_state=0, alpha=0
    )
    one = quiet_fit(EDNNRegressor(tile_model), X, y, sample_weight=weights)
    two = quiet_fit(EDNNRegressor(tile_model), X.repeat(weights, 0), y.repeat(weights))
    np.testing.assert_allclose(one.predict(X), two.predict(X), rtol=1e-3)


# --- bad input -----------------------------------------------------------------------------------


def test_error_names_wrong_outputs():
    X, y = spins(10)
    with pytest.raises(TileModelError, match=r"2 output\(s\) per tile, but y has 1 column"):
        EDNNRegressor(small_net(9, 2)).fit(X, y)
    with pytest.raises(TileModelError, match="one row of outputs per tile"):
        EDNNRegressor(nn.Conv2d(1, 1, 1)).fit(X, y)


def test_diverging_loss_raises_and_does_not_change_the_estimator():
    X, y = waves(50)
    fit = GradientSolver(max_epochs=50, lr=1e-2)
    model = EDNNRegressor(small_net(3), solver=fit).fit(X, y)
    before = model.predict(X)
    bad = skorch_net(small_net(3), optimizer=torch.optim.SGD, lr=1e6, max_epochs=50)
    model.set_params(tile_model=bad)
    with pytest.raises(TileModelError, match=r"loss became (nan|inf) in epoch \d+"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.predict(X), before)


def test_poisson_rejects_baselines_and_negative_counts():
    X, y = spins(10)
    with pytest.raises(TileModelError, match="baseline=None"):
        EDNNRegressor(small_net(), solver=GradientSolver("poisson")).fit(X, abs(y))
    with pytest.raises(TileModelError, match="must not be negative"):
        EDNNRegressor(small_net(), solver=GradientSolver("poisson"), baseline=None).fit(X, -abs(y))


def test_auto_selects_gradient():
    for tile_model in tile_models().values():
        assert isinstance(AutoSolver().select(tile_model), GradientSolver)
