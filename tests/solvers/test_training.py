"""Training of networks: forms, gradients, symmetries, precision, checkpoints, memory."""

import copy
import os
import pickle
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from sklearn.model_selection import GridSearchCV  # noqa: E402
from skorch import NeuralNetRegressor  # noqa: E402
from skorch.callbacks import Callback, LRScheduler  # noqa: E402
from torch import nn  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling, files  # noqa: E402
from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.networks import ValidCNN  # noqa: E402
from sk_ednn.solvers import GradientSolver, _networks  # noqa: E402
from sk_ednn.solvers._skorch import bare_net  # noqa: E402


def waves(n, shape, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *shape))


def energy(X):
    """Return totals of coupled neighbours in an external potential, and their gradients."""
    axes = tuple(range(1, X.ndim))
    y = np.sin(2 * X).sum(axis=axes)
    gradients = 2 * np.cos(2 * X)
    for axis in axes:
        y = y + (X * np.roll(X, 1, axis)).sum(axis=axes)
        gradients = gradients + np.roll(X, 1, axis) + np.roll(X, -1, axis)
    return y, gradients


def convolutional(activation=nn.SiLU):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), activation(), nn.Conv2d(8, 8, 3), activation(), nn.Flatten(),
        nn.Linear(32, 1),
    )  # fmt: skip


def losses(model):
    return np.array(model.tile_model_.estimator.history[:, "train_loss"])


def weights(model):
    return [p.detach().numpy().copy() for p in model.tile_model_.estimator.module_.parameters()]


@pytest.mark.parametrize("boundary", ["periodic", "zero", "reflect", "nearest"])
def test_dense_and_tiled_form_give_the_same_training(boundary):
    X = waves(12, (8, 6))
    y, _ = energy(X)
    models = []
    for form, symmetries in (("dense", None), ("tiled", None), ("tiled", lambda fields: fields)):
        torch.manual_seed(0)
        fit = GradientSolver(
            max_epochs=3, batch_size=5, precision="float64", form=form, symmetries=symmetries
        )
        tiling = GridTiling(2, 2, boundary=boundary)
        model = EDNNRegressor(convolutional(), tiling, solver=fit, random_state=0)
        models.append(model.fit(X, y))
    for model in models[1:]:
        np.testing.assert_allclose(losses(model), losses(models[0]), rtol=1e-9)
        np.testing.assert_allclose(model.predict(X), models[0].predict(X), rtol=1e-9)


def test_ragged_fields_in_the_dense_form():
    X = [*waves(5, (8, 6)), *waves(4, (4, 10), seed=1), *waves(3, (8, 6), seed=2)]
    y = np.array([energy(x[None])[0][0] for x in X])
    models = []
    for form in ("dense", "tiled"):
        torch.manual_seed(0)
        fit = GradientSolver(max_epochs=3, batch_size=5, precision="float64", form=form)
        models.append(
            EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit, random_state=0).fit(X, y)
        )
    np.testing.assert_allclose(models[1].predict(X), models[0].predict(X), rtol=1e-9)


@pytest.mark.parametrize("baseline", [None, "size", "content"])
def test_predict_gradient_equals_finite_differences(baseline):
    X = waves(6, (6, 4))
    y, _ = energy(X)
    fit = GradientSolver(max_epochs=2, precision="float64")
    model = EDNNRegressor(
        convolutional(), GridTiling(2, 2), solver=fit, baseline=baseline, random_state=0
    ).fit(X, y)
    gradients, step = model.predict_gradient(X[:1])[0], 1e-5
    for index in np.ndindex(6, 4):
        ends = []
        for sign in (1, -1):
            moved = X[:1].copy()
            moved[0][index] += sign * step
            ends.append(model.predict(moved)[0])
        assert gradients[index] == pytest.approx(
            (ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-8
        )


def test_gradients_reduce_the_error():
    X, unseen = waves(24, (8, 8)), waves(20, (12, 12), seed=1)
    y, gradients = energy(X)
    results = {}
    for name, gradient in (("with", gradients), ("without", None)):
        torch.manual_seed(0)
        fit = GradientSolver(max_epochs=30, lr=2e-2, batch_size=4)
        model = EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit, random_state=0)
        model.fit(X, y, gradient=gradient)
        true, predicted = energy(unseen)[1], model.predict_gradient(unseen)
        results[name] = 1 - np.mean((true - predicted) ** 2) / np.var(true)
    assert results["with"] > 0.5 and results["without"] < results["with"] - 0.4


class Pulled:
    """The gradient with respect to a common factor of all sites."""

    def __init__(self, x, gradient):
        self.x, self.values = x, np.array([np.sum(gradient * x)])

    def pull(self, gradient):
        x = self.x[None] if isinstance(gradient, np.ndarray) else gradient.new_tensor(self.x[None])
        return (gradient * x).sum()[None]


def test_gradients_with_pull():
    X = waves(24, (8, 8))
    y, gradients = energy(X)
    pulled = [Pulled(x, s) for x, s in zip(X, gradients, strict=True)]
    fit = GradientSolver(max_epochs=30, lr=2e-2, batch_size=4)
    model = EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit, random_state=0)
    true = np.array([k.values[0] for k in pulled])
    explained = {}
    for name, gradient in (("with", pulled), ("without", None)):
        torch.manual_seed(0)
        model.fit(X, y, gradient=gradient, sample_weight=np.linspace(0, 2, 24))
        predicted = (model.predict_gradient(X) * X).sum(axis=(1, 2))
        explained[name] = 1 - np.mean((true - predicted) ** 2) / np.var(true)
    # The same training on totals alone is the control.
    assert explained["with"] > 0.7 and explained["without"] < explained["with"] - 0.1


def test_gradient_weight_as_a_function_of_the_epoch():
    X = waves(8, (4, 4))
    y, gradients = energy(X)
    seen = []

    def weight(epoch):
        seen.append(epoch)
        return 0.5 * epoch

    fit = GradientSolver(max_epochs=3, batch_size=4, gradient_weight=weight)
    EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit).fit(X, y, gradient=gradients)
    assert seen == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradient": np.zeros((8, 4, 3))}, "must have its shape"),
        ({"gradient": np.full((8, 4, 4), np.nan)}, r"gradient\[0\] contains NaN"),
        ({"gradient": np.zeros((7, 4, 4))}, "inconsistent numbers"),
        ({"y": np.zeros((8, 2)), "gradient": np.zeros((8, 4, 4))}, "one total per sample only"),
        ({"tile_model": None, "gradient": np.zeros((8, 4, 4))}, "fits totals only"),
        ({"device": "cuda:7"}, "is not available. Available are cpu"),
        ({"form": "dense", "tile_model": nn.Sequential(
            nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(36, 1))}, "pads its input"),
        ({"tile_model": nn.Sequential(nn.Flatten(), nn.Linear(9, 1))},
         r"not accept a tile of shape \(1, 6, 6\).* focus \+ 2 \* context sites"),
        ({"lr": 1e30}, "The loss became"),
    ],
)  # fmt: skip
def test_invalid_trainings_are_rejected(change, message):
    X = waves(8, (4, 4))
    given = {"y": energy(X)[0], "gradient": None, "tile_model": convolutional(), **change}
    parts = {key: given.pop(key) for key in ("device", "form", "lr") if key in given}
    fit = None if given["tile_model"] is None else GradientSolver(max_epochs=5, **parts)
    model = EDNNRegressor(given["tile_model"], GridTiling(2, 2), solver=fit)
    with pytest.raises(ValueError, match=message):
        model.fit(X, given["y"], gradient=given["gradient"])
    assert not hasattr(model, "tile_model_")


def test_symmetries_augment_the_training():
    # Totals change under no shift, though the tiling is bound to one.
    X = waves(40, (8, 8))
    y, _ = energy(X)
    shifted = np.roll(X, (1, 3), axis=(1, 2))
    differs = {}
    for symmetries in (None, ("shift", "reflect", "rotate")):
        torch.manual_seed(0)
        fit = GradientSolver(max_epochs=60, lr=5e-3, batch_size=8, symmetries=symmetries)
        model = EDNNRegressor(
            nn.Sequential(nn.Flatten(), nn.Linear(36, 32), nn.SiLU(), nn.Linear(32, 1)),
            GridTiling(4, 1), solver=fit, random_state=0,
        ).fit(X, y)  # fmt: skip
        differs[symmetries] = np.std(model.predict(X) - model.predict(shifted))
    assert differs[("shift", "reflect", "rotate")] < 0.6 * differs[None]


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("bfloat16", 3e-2)])
@pytest.mark.parametrize("form", ["dense", "tiled"])
def test_precision_of_training_and_prediction(precision, tolerance, form):
    X = waves(6, (8, 8))
    y, _ = energy(X)
    fit = GradientSolver(max_epochs=2, precision=precision, form=form)
    model = EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit, random_state=0).fit(X, y)
    module = model.tile_model_.estimator.module_
    parameters = {p.dtype for p in module.parameters()}
    assert parameters == {torch.float64 if precision == "float64" else torch.float32}
    tiles = torch.from_numpy(model.tiling_.tiles(X).array())[:, None]
    tiles = (tiles - X.mean()) / X.std()
    with torch.no_grad():
        exact = module.double()(tiles).reshape(6, -1).sum(1).numpy()
    module.to(next(iter(parameters)))
    exact = exact * np.ravel(model.tile_model_.scale)[0] + y.mean()
    # The scale of rounding errors is that of contributions, of which there are 16 in a total.
    np.testing.assert_allclose(model.predict(X), exact, rtol=0, atol=tolerance * 16 * np.std(y))


class Kill(Callback):
    """Kill the process in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == self.epoch and len(net.history[-1, "batches"]) == 2:
            os.kill(os.getpid(), signal.SIGKILL)


class WithDropout(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.SiLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 1)
        )


def checkpointed(path, kill_in_epoch):
    """Train with everything that uses random numbers or depends on the epoch."""
    X = waves(20, (8, 8))
    rate = LRScheduler(
        torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-2, total_steps=25, step_every="batch"
    )
    net = NeuralNetRegressor(
        WithDropout, optimizer=torch.optim.Adam, lr=1e-2, max_epochs=6, batch_size=5, verbose=0,
        iterator_train__shuffle=True, train_split=None, callbacks=[Kill(kill_in_epoch), rate],
    )  # fmt: skip
    fit = GradientSolver(symmetries=("shift", "reflect"), checkpoint=path)
    model = EDNNRegressor(net, GridTiling(2, 2), solver=fit, random_state=0)
    return model.fit(X, energy(X)[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
def test_killed_training_resumes_with_equal_weights(tmp_path):
    whole, path = checkpointed(None, 0), tmp_path / "training.ckpt"
    for epoch in (3, 5):
        child = os.fork()
        if child == 0:
            try:
                checkpointed(path, epoch)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    resumed = checkpointed(path, 0)
    again = checkpointed(path, 0)  # it has ended: nothing is trained again
    for other in (resumed, again):
        np.testing.assert_array_equal(losses(other), losses(whole))
        for a, b in zip(weights(other), weights(whole), strict=True):
            np.testing.assert_array_equal(a, b)


def test_checkpoint_of_another_training_is_rejected(tmp_path):
    X = waves(8, (4, 4))
    path = tmp_path / "training.ckpt"
    fit = GradientSolver(max_epochs=2, checkpoint=path)
    model = EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit, random_state=0)
    model.fit(X, energy(X)[0])
    with pytest.raises(TileModelError, match="another training"):
        model.fit(X, energy(X)[0][::-1])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TileModelError, match="damaged"):
        model.fit(X, energy(X)[0])


def test_checkpoint_with_other_max_epochs_is_rejected(tmp_path):
    X = waves(8, (4, 4))
    fit = GradientSolver(max_epochs=2, checkpoint=tmp_path / "training.ckpt")
    model = EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit, random_state=0)
    model.fit(X, energy(X)[0])
    with pytest.raises(TileModelError, match="another training"):
        model.set_params(solver__max_epochs=4).fit(X, energy(X)[0])


class Watched(Callback):
    """Count epochs, and kill the process after a given number."""

    epochs, least = 0, np.inf

    def on_epoch_begin(self, net, **kwargs):
        Watched.epochs += 1

    def on_batch_end(self, net, **kwargs):
        if Watched.epochs > Watched.least:
            os.kill(os.getpid(), signal.SIGKILL)


def searched(folder):
    X = waves(18, (8, 8))
    net = NeuralNetRegressor(
        WithDropout, optimizer=torch.optim.Adam, lr=1e-2, max_epochs=3, batch_size=5, verbose=0,
        iterator_train__shuffle=True, train_split=None, callbacks=[Watched()],
    )  # fmt: skip
    fit = GradientSolver(checkpoint=folder)
    model = EDNNRegressor(net, GridTiling(2, 2), solver=fit, random_state=0)
    # All but one of these change no shape of a weight.
    grid = {
        "tile_model__optimizer__weight_decay": [0.0, 0.1],
        "solver__symmetries": [None, ("shift",), ("reflect",)],
    }
    return GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, energy(X)[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
def test_killed_grid_search_resumes_with_equal_results(tmp_path, monkeypatch):
    whole = searched(None)
    n_epochs, killed_after = 3 * (3 * 6 + 1), (10, 14)
    assert Watched.epochs == n_epochs
    for least in killed_after:
        child = os.fork()
        if child == 0:
            try:
                Watched.epochs, Watched.least = 0, least
                searched(f"{tmp_path / 'trainings'}/")
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    monkeypatch.setattr(Watched, "epochs", 0)
    resumed = searched(tmp_path / "trainings")
    assert Watched.epochs == n_epochs - sum(killed_after)
    for name in (f"split{k}_test_score" for k in range(3)):
        np.testing.assert_array_equal(resumed.cv_results_[name], whole.cv_results_[name])
    best = (search.best_estimator_ for search in (resumed, whole))
    for a, b in zip(*map(weights, best), strict=True):
        np.testing.assert_array_equal(a, b)


def test_checkpoint_folder_rejects_unhashable_parameters(tmp_path):
    X = waves(8, (4, 4))
    fit = GradientSolver(max_epochs=1, checkpoint=tmp_path, symmetries=lambda fields: fields)
    model = EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit, random_state=0)
    words = r"is a folder.*<lambda>.*define them in a module.* Or give a file\.$"
    with pytest.raises(TileModelError, match=words) as caught:
        model.fit(X, energy(X)[0])
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
    model.set_params(solver__checkpoint=tmp_path / "training.ckpt").fit(X, energy(X)[0])


class Interrupt(Callback):
    """Raise KeyboardInterrupt in the second batch of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == self.epoch and len(net.history[-1, "batches"]) == 2:
            raise KeyboardInterrupt


def bare_checkpointed(path, interrupted_in=0, **params):
    def interrupted_net(*args):
        net = bare_net(*args)
        return net.set_params(callbacks=[*net.callbacks, Interrupt(interrupted_in)])

    X = waves(40, (6, 6))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(25, 64), nn.ReLU(), nn.Linear(64, 1))
    fit = GradientSolver(lr=3e-2, batch_size=8, checkpoint=path, **params)
    model = EDNNRegressor(net, GridTiling(1, 2), solver=fit, random_state=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_networks, "bare_net", interrupted_net)
        return model.fit(X, energy(X)[0])


@pytest.mark.parametrize("interrupted_in", [3, 9])
def test_interrupted_training_resumes(tmp_path, interrupted_in):
    # With the constant rate it gets worse after its best epoch, whose weights are kept.
    params = {"max_epochs": 40, "schedule": "constant", "early_stopping": 6}
    whole, path = bare_checkpointed(None, **params), tmp_path / "training.ckpt"
    interrupted = bare_checkpointed(path, interrupted_in, **params)
    assert "train_loss" not in interrupted.tile_model_.estimator.history[-1]
    resumed = bare_checkpointed(path, **params)
    np.testing.assert_array_equal(losses(resumed), losses(whole))
    for a, b in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_checkpoint_keeps_the_weights_of_the_best_epoch(tmp_path):
    params = {"max_epochs": 40, "schedule": "constant", "early_stopping": 6}
    whole = bare_checkpointed(None, **params)
    valid = whole.tile_model_.estimator.history[:, "valid_loss"]
    best = int(np.argmin(valid)) + 1
    assert best < len(valid) - 2  # or the test would not see them lost
    path = tmp_path / "training.ckpt"
    bare_checkpointed(path, best + 2, **params)
    for a, b in zip(weights(bare_checkpointed(path, **params)), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_checkpoint_with_other_gradients_is_rejected(tmp_path):
    X = waves(8, (4, 4))
    y, gradients = energy(X)
    fit = GradientSolver(max_epochs=1, checkpoint=tmp_path / "training.ckpt")
    model = EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit, random_state=0)
    model.fit(X, y, gradient=gradients).fit(X, y, gradient=gradients)
    with pytest.raises(TileModelError, match="another training"):
        model.fit(X, y, gradient=2 * gradients)
    with pytest.raises(TileModelError, match="another training"):  # it begins elsewhere
        model.set_params(warm_start=True).fit(X, y, gradient=gradients)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
@pytest.mark.parametrize("from_file", [False, True])
def test_killed_warm_start_resumes_with_equal_weights(tmp_path, monkeypatch, from_file):
    X = waves(20, (8, 8))
    y, _ = energy(X)
    net = NeuralNetRegressor(
        convolutional(), optimizer=torch.optim.Adam, lr=1e-2, max_epochs=4, batch_size=5,
        verbose=0, iterator_train__shuffle=True, train_split=None, callbacks=[Watched()],
    )  # fmt: skip
    first = EDNNRegressor(net, GridTiling(2, 2), solver=GradientSolver(), random_state=0)
    first.fit(X, y)

    def gone_on(checkpoint):
        model = copy.deepcopy(first)
        if from_file:  # which keeps weights, not the state of the optimizer
            del model.tile_model_.estimator.optimizer_
        model.set_params(warm_start=True, solver__checkpoint=checkpoint)
        return model.fit(X, y)

    whole, path = gone_on(None), tmp_path / "training.ckpt"
    child = os.fork()
    if child == 0:
        try:
            Watched.epochs, Watched.least = 0, 2
            gone_on(path)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    monkeypatch.setattr(Watched, "epochs", 0)
    resumed = gone_on(path)
    assert Watched.epochs == 2
    assert len(losses(resumed)) == 8
    np.testing.assert_array_equal(losses(resumed), losses(whole))
    for a, b in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", ["auto", "tiled"])
def test_compiled_net(tmp_path, form):
    X = waves(12, (8, 8))
    y, _ = energy(X)

    def trained(**params):
        torch.manual_seed(0)
        net = NeuralNetRegressor(
            convolutional(), optimizer=torch.optim.Adam, lr=1e-2, max_epochs=2, batch_size=5,
            verbose=0, train_split=None, **params,
        )  # fmt: skip
        fit = GradientSolver(form=form)
        model = EDNNRegressor(net, GridTiling(2, 2), solver=fit, random_state=0)
        return model.fit(X, y), model

    (plain, _), (compiled, model) = trained(), trained(compile=True, compile__backend="eager")
    np.testing.assert_allclose(losses(compiled), losses(plain), rtol=1e-6)
    expected = plain.predict(X)
    for each in (compiled, copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        np.testing.assert_allclose(each.predict(X), expected, rtol=1e-5)
    files.save(compiled, tmp_path / "model.ednn")
    np.testing.assert_array_equal(
        files.load(tmp_path / "model.ednn").predict(X), compiled.predict(X)
    )
    assert compiled.tile_model_.has_dense_form(compiled.tiling_)
    assert len(losses(model.set_params(warm_start=True).fit(X, y))) == 4


@pytest.mark.parametrize("form", ["auto", "tiled"])
@pytest.mark.parametrize("several", [False, True])
def test_compiled_bare_modules(form, several, monkeypatch):
    X = waves(12, (8, 8))
    y, gradients = energy(X)
    kinds = []
    plain = torch.compile

    def compiled(module, **options):
        kinds.append(type(module).__name__)
        assert options in ({"backend": "eager"}, {})
        return plain(module, **options)

    monkeypatch.setattr(torch, "compile", compiled)

    def trained(**params):
        torch.manual_seed(0)
        net = [("a", convolutional(), GridTiling(2, 2)), ("b", convolutional(), GridTiling(2, 2))]
        net = net if several else convolutional()
        fit = GradientSolver(max_epochs=2, batch_size=5, form=form, **params)
        model = EDNNRegressor(net, None if several else GridTiling(2, 2), solver=fit)
        return model.set_params(random_state=0)

    expected = trained().fit(X, y).predict(X)
    assert not kinds
    result = trained(compile={"backend": "eager"}).fit(X, y).predict(X)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    assert ("DenseForm" in kinds) == (form == "auto")
    with pytest.raises(TileModelError, match=r"second derivatives.* Set compile=False"):
        trained(compile=True).fit(X, y, gradient=gradients)


@pytest.mark.parametrize("seed", range(3))
def test_schedules_are_long_enough_for_all_groups(seed):
    X = waves(40, (4, 4))
    groups = np.r_[np.zeros(30), np.arange(1, 11)]  # a small one may be all that is held back
    fit = GradientSolver(max_epochs=3, batch_size=4, early_stopping=5, random_state=seed)
    model = EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit)
    assert len(losses(model.fit(X, energy(X)[0], groups=groups))) == 3


def test_net_that_overrides_infer_gets_tiles():
    class Own(NeuralNetRegressor):
        def infer(self, x, **fit_params):
            assert x.shape[1:] == (1, 6, 6)
            return super().infer(x, **fit_params)

    X = waves(6, (8, 8))
    net = Own(convolutional(), max_epochs=1, train_split=None, verbose=0)
    model = EDNNRegressor(net, GridTiling(2, 2), solver=GradientSolver())
    model.fit(X, energy(X)[0])
    with pytest.raises(TileModelError, match="overrides `infer`"):
        model.set_params(solver__form="dense").fit(X, energy(X)[0])


def test_early_stopping_restores_the_best_epoch():
    X = waves(40, (6, 6))
    y = energy(X)[0]
    fit = GradientSolver(
        max_epochs=200, lr=3e-2, schedule="constant", early_stopping=5, validation_fraction=0.25,
        max_norm=1.0,
    )  # fmt: skip
    model = EDNNRegressor(
        nn.Sequential(nn.Flatten(), nn.Linear(25, 64), nn.ReLU(), nn.Linear(64, 1)),
        GridTiling(1, 2), solver=fit, random_state=0,
    ).fit(X, y)  # fmt: skip
    valid = model.tile_model_.estimator.history[:, "valid_loss"]
    assert len(valid) < 200 and int(np.argmin(valid)) == len(valid) - 6


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_schedules_span_the_training(schedule, monkeypatch):
    X = waves(10, (4, 4))
    rates = []

    class Watched(torch.optim.Adam):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Watched)
    fit = GradientSolver(max_epochs=5, batch_size=3, lr=1e-2, schedule=schedule)
    EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit).fit(X, energy(X)[0])
    assert len(rates) == 5 * 4
    assert max(rates) == pytest.approx(1e-2, rel=0.02)
    assert rates[-1] == (1e-2 if schedule == "constant" else pytest.approx(0, abs=4e-4))


@pytest.mark.parametrize("form", ["dense", "tiled"])
def test_out_of_memory_halves_max_bytes(form):
    X = waves(6, (8, 8))
    y = energy(X)[0]
    sizes, enough = [], 2**28

    class Scarce(NeuralNetRegressor):
        def train_step_single(self, batch, **fit_params):
            sizes.append(self.solver_.max_bytes)
            if self.solver_.max_bytes > enough:
                raise torch.OutOfMemoryError("out of memory")
            return super().train_step_single(batch, **fit_params)

    def net(kind):
        torch.manual_seed(0)
        return kind(convolutional(), max_epochs=1, train_split=None, verbose=0)

    predictions = [
        EDNNRegressor(
            net(kind), GridTiling(2, 2), solver=GradientSolver(form=form), random_state=0
        ).fit(X, y).predict(X)
        for kind in (NeuralNetRegressor, Scarce)
    ]  # fmt: skip
    assert sizes == [2**30, 2**29, 2**28]
    np.testing.assert_allclose(*predictions, rtol=1e-6)
    enough = 0
    with pytest.raises(torch.OutOfMemoryError):
        EDNNRegressor(net(Scarce), GridTiling(2, 2), solver=GradientSolver(form=form)).fit(X, y)


@pytest.mark.parametrize("form", ["dense", "tiled"])
def test_recomputed_layers_give_the_same_training(form):
    X = waves(6, (8, 8))
    results = []
    for max_bytes in (1, 2**30):
        torch.manual_seed(0)
        fit = GradientSolver(max_epochs=2, precision="float64", form=form, max_bytes=max_bytes)
        model = EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit, random_state=0)
        results.append(weights(model.fit(X, energy(X)[0])))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_warm_start_restarts_the_schedule(schedule):
    X = waves(12, (8, 8))
    y = energy(X)[0]
    fit = GradientSolver(max_epochs=15, lr=1e-2, batch_size=4, schedule=schedule)
    model = EDNNRegressor(
        convolutional(), GridTiling(2, 2), solver=fit, random_state=0, warm_start=True
    ).fit(X, y)
    first = losses(model)[-1]
    model.fit(X, y)
    assert len(losses(model)) == 30 and losses(model)[-1] < first


def test_search_over_focus_and_context_with_a_module_class():
    from sklearn.model_selection import GridSearchCV

    X = waves(9, (16, 16))
    search = GridSearchCV(
        EDNNRegressor(ValidCNN, GridTiling(8, 4), solver=GradientSolver(max_epochs=1)),
        {"tiling__focus": [8, 16], "tiling__context": [4, 6]},
        cv=3,
        error_score="raise",
    ).fit(X, energy(X)[0])
    assert len(search.cv_results_["params"]) == 4


class TestBranches:
    """Several networks with different focus and context, trained as one."""

    X = waves(16, (8, 8))

    def terms(self):
        torch.manual_seed(0)
        far = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(1, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(16, 1)
        )
        return [("near", convolutional(), GridTiling(2, 2)), ("far", far, GridTiling(4, 2))]

    def fitted(self, terms, **params):
        fit = GradientSolver(max_epochs=20, lr=1e-2, precision="float64", **params)
        return EDNNRegressor(terms, solver=fit, random_state=0).fit(self.X, energy(self.X)[0])

    @pytest.mark.parametrize("params", [{}, {"form": "tiled"}, {"symmetries": "shift"}])
    def test_branches_add_up_to_extensive_totals(self, params):
        model = self.fitted(self.terms(), **params)
        maps = model.predict_contributions(self.X)
        assert maps["near"].shape == (16, 4, 4) and maps["far"].shape == (16, 2, 2)
        total = sum(part.reshape(16, -1).sum(1) for part in maps.values())
        np.testing.assert_allclose(model.predict(self.X), total, rtol=1e-10)
        np.testing.assert_allclose(
            model.predict(np.concatenate([self.X, self.X], axis=2)), 2 * total, rtol=1e-10
        )
        trained = model.tile_model_[1].estimator.module_
        assert trained[1].weight.shape == (4, 1, 3, 3)

    def test_branches_are_trained_together(self):
        apart = self.fitted(self.terms()[:1])
        together = self.fitted(self.terms())
        assert losses_of(together)[-1] < losses_of(apart)[-1]
        moved = together.tile_model_[1].estimator.module_[1].weight
        assert not torch.equal(moved, self.terms()[1][1][1].weight.double())

    def test_warm_start_of_branches(self):
        model = self.fitted(self.terms())
        before = losses_of(model)[-1]
        model.set_params(warm_start=True, solver__max_epochs=1, solver__lr=1e-6)
        model.fit(self.X, energy(self.X)[0])
        history = losses_of(model)
        assert len(history) == 21 and history[-1] < 1.5 * before

    def test_branches_with_poisson_loss(self):
        counts = np.random.default_rng(0).poisson(3, size=(30, 8, 8))
        X = counts + 0.1 * waves(30, (8, 8))
        fit = GradientSolver("poisson", max_epochs=30, lr=1e-2)
        model = EDNNRegressor(self.terms(), solver=fit, baseline=None, random_state=0)
        y = counts.sum(axis=(1, 2))
        predicted = model.fit(X, y).predict(X)
        assert np.mean(predicted) == pytest.approx(np.mean(y), rel=0.1)

    def test_skorch_nets_as_branches_are_rejected(self):
        terms = self.terms()
        terms[0] = ("near", NeuralNetRegressor(terms[0][1]), terms[0][2])
        with pytest.raises(TileModelError, match="term 'near'"):
            self.fitted(terms)


def losses_of(model):
    return model.tile_model_[0].estimator.history[:, "train_loss"]


def test_verbose_shows_a_progress_bar(capsys):
    X = waves(6, (4, 4))
    fit = GradientSolver(max_epochs=3, verbose=1)
    EDNNRegressor(convolutional(), GridTiling(2, 2), solver=fit).fit(X, energy(X)[0])
    assert "3/3" in capsys.readouterr().err
