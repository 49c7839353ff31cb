"""Networks in files: weights, architecture, and what the user must supply."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("skorch")
pytest.importorskip("skops")

import skorch
import torch
from skorch.callbacks import EpochScoring, LRScheduler
from torch import nn

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import describe, load, save
from sk_ednn.networks import PaperCNN, PaperDenseNet, ValidCNN
from sk_ednn.solvers import GradientSolver

RNG = np.random.default_rng(0)
X, LARGER = RNG.normal(size=(12, 8, 8)), RNG.normal(size=(2, 12, 8))
Y = np.sin(X).sum(axis=(1, 2))
FIT = GradientSolver(max_epochs=2, early_stopping=True)


class Mine(nn.Module):
    """A user's own network."""

    def __init__(self, width=8, tile_shape=(3, 3)):
        super().__init__()
        self.inner = nn.Linear(int(np.prod(tile_shape)), width)
        self.outer = nn.Linear(width, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x.flatten(1))))


class Squared(nn.Module):
    """A user's own layer."""

    def forward(self, x):
        return x**2


class MyNet(skorch.NeuralNetRegressor):
    """A user's own net."""


def convolutions():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten(), nn.Linear(144, 1)
    )


def small_cnn(kind):
    extra = {"layers": [(4, 3, 2), (4, 3, 1)], "hidden": 8} if kind is ValidCNN else {}
    extra = {f"module__{name}": value for name, value in extra.items()}
    return skorch.NeuralNetRegressor(kind, max_epochs=1, verbose=0, train_split=None, **extra)


FAMILIES = {
    "layers": EDNNRegressor(
        nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.Dropout(0.1), nn.GELU(), nn.Linear(8, 1)),
        solver=FIT,
    ),
    "convolutions": EDNNRegressor(convolutions(), GridTiling(4, 2), solver=FIT),
    "PaperDenseNet": EDNNRegressor(PaperDenseNet, solver=FIT),
    "PaperDenseNet, made": EDNNRegressor(PaperDenseNet((3, 3)), solver=FIT),
    "ValidCNN": EDNNRegressor(small_cnn(ValidCNN), GridTiling(4, 2)),
    "user's class": EDNNRegressor(Mine, solver=FIT),
    "user's module": EDNNRegressor(Mine(), solver=FIT),
    "user's layer": EDNNRegressor(
        nn.Sequential(nn.Flatten(), nn.Linear(9, 4), Squared(), nn.Linear(4, 1)), solver=FIT
    ),
    "skorch": EDNNRegressor(
        skorch.NeuralNetRegressor(
            Mine,
            module__width=5,
            max_epochs=2,
            lr=1e-3,
            optimizer=torch.optim.AdamW,
            verbose=0,
            callbacks=[LRScheduler("StepLR", step_size=1)],
        )
    ),
    "user's net": EDNNRegressor(MyNet(Mine(), max_epochs=1, verbose=0)),
    "scaled": EDNNRegressor(
        make_pipeline(StandardScaler(), skorch.NeuralNetRegressor(Mine, max_epochs=1, verbose=0))
    ),
    "doubles": EDNNRegressor(Mine, solver=GradientSolver(max_epochs=1, precision="float64")),
    "terms": EDNNRegressor(
        [("near", PaperDenseNet, GridTiling(1, 1)), ("far", convolutions(), GridTiling(4, 2))],
        solver=FIT,
    ),
    "perceptron": EDNNRegressor(MLPRegressor(hidden_layer_sizes=(8,), max_iter=2)),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_and_gradients_are_the_same_to_the_last_bit(family, tmp_path):
    path = tmp_path / "a.ednn"
    model = clone(FAMILIES[family]).set_params(random_state=0).fit(X, Y)
    digest = save(model, path)
    loaded = load(path, modules=[Mine, MyNet, Squared])
    for fields in (X, LARGER):
        np.testing.assert_array_equal(loaded.predict(fields), model.predict(fields))
        maps, expected = (m.predict_contributions(fields) for m in (loaded, model))
        for name in maps if isinstance(maps, dict) else [...]:
            np.testing.assert_array_equal(maps[name], expected[name])
        if family not in ("scaled", "perceptron"):
            np.testing.assert_array_equal(
                loaded.predict_gradient(fields), model.predict_gradient(fields)
            )
    assert save(loaded, path) == digest
    assert save(model, path) == digest  # whatever has been predicted since
    again = loaded.fit(X, Y).predict(X)
    np.testing.assert_array_equal(again, model.fit(X, Y).predict(X))


@pytest.mark.slow
def test_the_papers_network(tmp_path):
    fields = RNG.normal(size=(4, 32, 32))
    model = EDNNRegressor(small_cnn(PaperCNN), GridTiling(16, 8), random_state=0)
    model.fit(fields, fields.sum(axis=(1, 2)))
    save(model, tmp_path / "a.ednn")
    loaded = load(tmp_path / "a.ednn")
    np.testing.assert_array_equal(loaded.predict(fields), model.predict(fields))


def test_a_learning_curve_is_kept(tmp_path):
    model = clone(FAMILIES["layers"]).fit(X, Y)
    save(model, tmp_path / "a.ednn")
    loaded = load(tmp_path / "a.ednn")
    history, kept = (m.tile_model_.estimator.history for m in (model, loaded))
    assert kept[:, "train_loss"] == history[:, "train_loss"]
    training = describe(tmp_path / "a.ednn")["training"]
    assert training["epochs"] == 2
    assert training["train_loss"]["last"] == history[-1, "train_loss"]


def test_a_users_network_is_built_by_the_user(tmp_path):
    path = tmp_path / "a.ednn"
    model = EDNNRegressor(Mine(5), solver=FIT).fit(X, Y)
    save(model, path)
    with pytest.raises(ModelFileError, match=r"load\(path, modules=\[Mine\]\)"):
        load(path)
    # Its settings are not known: they were those of an object.
    with pytest.raises(ModelFileError, match="Build it with the same parameters"):
        load(path, modules=[Mine])
    loaded = load(path, modules={"Mine": lambda: Mine(5)})
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ModelFileError, match="which is not a torch module"):
        load(path, modules={"Mine": lambda: 3})
    with pytest.raises(ModelFileError, match="cannot be built"):
        load(path, modules={"Mine": lambda width: Mine(width)})


def test_what_is_left_out_of_a_net_is_reported(tmp_path):
    callbacks = [EpochScoring(lambda net, X, y: 0.0, name="mine")]
    net = skorch.NeuralNetRegressor(Mine, max_epochs=1, verbose=0, callbacks=callbacks)
    model = EDNNRegressor(net).fit(X, Y)
    with pytest.warns(UserWarning, match=r"tile_model: callbacks of the net cannot be stored"):
        save(model, tmp_path / "a.ednn")
    loaded = load(tmp_path / "a.ednn", modules=[Mine])
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_hooks_are_refused(tmp_path):
    model = clone(FAMILIES["layers"]).fit(X, Y)
    model.tile_model_.estimator.module_[1].register_forward_hook(lambda *args: None)
    with pytest.raises(ModelFileError, match="has hooks, which are code"):
        save(model, tmp_path / "a.ednn")


def test_frozen_weights_stay_frozen(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, 1))
    net[1].weight.requires_grad_(False)
    model = EDNNRegressor(net, solver=GradientSolver(max_epochs=1)).fit(X, Y)
    save(model, tmp_path / "a.ednn")
    module = load(tmp_path / "a.ednn").tile_model_.estimator.module_
    frozen = [name for name, weight in module.named_parameters() if not weight.requires_grad]
    assert frozen == ["1.weight"]


def test_functions_that_serve_the_fit_alone_are_left_out(tmp_path):
    fit = GradientSolver(
        max_epochs=1, gradient_weight=lambda epoch: 1 / (1 + epoch), symmetries=lambda x: x
    )
    model = EDNNRegressor(nn.Sequential(nn.Flatten(), nn.Linear(9, 1)), solver=fit).fit(X, Y)
    with pytest.warns(UserWarning, match=r"gradient_weight is a function") as caught:
        save(model, tmp_path / "model.ednn")
    assert any("symmetries is a function" in str(each.message) for each in caught)
    loaded = load(tmp_path / "model.ednn")
    np.testing.assert_array_equal(loaded.predict(LARGER), model.predict(LARGER))
    assert loaded.solver.gradient_weight == GradientSolver().gradient_weight
    assert loaded.solver.max_epochs == 1
