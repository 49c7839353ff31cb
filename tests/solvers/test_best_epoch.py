"""The best epoch of interrupted trainings, and no effect on completed ones."""

import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from torch import nn  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling  # noqa: E402
from sk_ednn.solvers import GradientSolver  # noqa: E402
from sk_ednn.solvers._best_epoch import BestEpoch, keep_best, n_finished  # noqa: E402

X = np.random.default_rng(0).normal(size=(24, 4, 4))
Y = (X**2).sum(axis=(1, 2))


class StopsAt(nn.Module):
    """A network whose training is interrupted by Ctrl-C, in a batch or after an epoch."""

    def __init__(self, call):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.SiLU(), nn.Linear(6, 1))
        self.call, self.n_calls = call, 0

    def forward(self, x):
        if self.training:
            self.n_calls += 1
            if self.n_calls == self.call:
                raise KeyboardInterrupt
        return self.layers(x)


def trained(stop=None, max_epochs=8, **params):
    torch.manual_seed(0)
    # A rate at which the loss does not always fall.
    params = {"lr": 0.5, "schedule": "constant", "batch_size": 8, "form": "tiled", **params}
    solver = GradientSolver(max_epochs=max_epochs, random_state=0, **params)
    return EDNNRegressor(StopsAt(stop), GridTiling(1, 1), solver=solver).fit(X, Y)


def weights(model):
    state = model.tile_model_.estimator.module_.state_dict()
    return np.concatenate([value.numpy().ravel() for value in state.values()])


@pytest.mark.parametrize("after", [1, 3, 6])
@pytest.mark.parametrize("batch", [2, 3])
def test_keep_best_loads_the_best_epoch_of_an_interrupted_training(after, batch):
    model = trained(stop=3 * after + batch)
    net = model.tile_model_.estimator
    assert n_finished(net) == after
    losses = [row["train_loss"] for row in net.history if "train_loss" in row]
    best = 1 + int(np.argmin(losses))
    assert not np.array_equal(weights(model), weights(trained(max_epochs=best)))
    assert keep_best(net) == best
    np.testing.assert_array_equal(weights(model), weights(trained(max_epochs=best)))
    assert np.isfinite(model.predict(X)).all()


def test_completed_training_is_not_affected():
    last = []

    def after_step(optimizer, *_):
        last[:] = [p.detach().clone() for p in optimizer.param_groups[0]["params"]]

    hook = register_optimizer_step_post_hook(after_step)
    try:
        model = trained()
    finally:
        hook.remove()
    net = model.tile_model_.estimator
    assert keep_best(net) is None
    callbacks = [callback for _, callback in net.callbacks_ if isinstance(callback, BestEpoch)]
    assert [callback.weights_ for callback in callbacks] == [{}]
    losses = net.history[:, "train_loss"]
    assert np.argmin(losses) < len(losses) - 1  # the last epoch is not the best one
    of_last_step = np.concatenate([p.numpy().ravel() for p in last])
    np.testing.assert_array_equal(weights(model), of_last_step)


def test_keep_best_before_the_first_epoch():
    model = trained(stop=2)
    before = weights(model)
    assert keep_best(model.tile_model_.estimator) == 0
    np.testing.assert_array_equal(weights(model), before)


def test_keep_best_with_early_stopping():
    # On other samples: two thirds of a batch are two batches an epoch.
    model = trained(stop=2 * 4 + 1, early_stopping=5, validation_fraction=0.4)
    net = model.tile_model_.estimator
    losses = [row["valid_loss"] for row in net.history if "valid_loss" in row]
    assert keep_best(net) == 1 + int(np.argmin(losses))


def test_copies_of_a_net_do_not_contain_best_weights():
    net = trained(stop=13).tile_model_.estimator
    again = dict(pickle.loads(pickle.dumps(net.callbacks_)))
    assert again["BestEpoch"].weights_ == {}


def test_checkpoint_keeps_the_best_epoch(tmp_path):
    path = tmp_path / "net.ckpt"
    trained(stop=3 * 3 + 2, checkpoint=path)
    whole = trained()
    losses = whole.tile_model_.estimator.history[:, "train_loss"]
    model = trained(stop=3 * 2 + 2, checkpoint=path)  # counted anew: in epoch 6
    net = model.tile_model_.estimator
    assert n_finished(net) == 5
    best = 1 + int(np.argmin(losses[:5]))
    assert keep_best(net) == best
    np.testing.assert_array_equal(weights(model), weights(trained(max_epochs=best)))
    # The training resumes from its last epoch, not from its best.
    np.testing.assert_array_equal(weights(trained(checkpoint=path)), weights(whole))


@pytest.mark.parametrize("verbose", [0, 1])
def test_model_files_contain_the_other_callbacks(verbose, tmp_path):
    pytest.importorskip("skops")
    from sk_ednn import files

    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 1))
    solver = GradientSolver(max_epochs=2, max_norm=1.0, verbose=verbose)
    model = EDNNRegressor(net, GridTiling(1, 1), solver=solver).fit(X, Y)
    files.save(model, tmp_path / "a.ednn")
    loaded = files.load(tmp_path / "a.ednn").tile_model_.estimator
    names = [type(callback).__name__ for callback in loaded.callbacks]
    assert names == ["LRScheduler", "GradientNormClipping"]
