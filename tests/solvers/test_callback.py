"""Functions that see each epoch of a training, and may end it."""

import numpy as np
import pytest

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.datasets import make_ising
from sk_ednn.files import load, save

pytest.importorskip("skorch")

import torch
from torch import nn

from sk_ednn.solvers import GradientSolver

X, y = make_ising(40, (6, 6), random_state=0, return_X_y=True)


def model(callback=None, **params):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.SiLU(), nn.Linear(8, 1))
    params = {"max_epochs": 6, **params}
    return EDNNRegressor(
        net, GridTiling(1, 1), solver=GradientSolver(callback=callback, **params), random_state=0
    )


def test_each_epoch_is_reported_and_nothing_else_changes():
    rows = []
    followed = model(rows.append, early_stopping=20).fit(X, y)
    history = followed.tile_model_.estimator.history
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for name in ("train_loss", "valid_loss"):
        assert [row[name] for row in rows] == history[:, name]
    assert np.diff([row["seconds"] for row in rows]).min() > 0
    assert {"epoch", "train_loss", "valid_loss", "learning_rate", "seconds"} == set(rows[0])
    alone = model(early_stopping=20).fit(X, y)
    np.testing.assert_array_equal(followed.predict(X), alone.predict(X))
    names = [name for name, _ in followed.tile_model_.estimator.callbacks_]
    assert names == [name for name, _ in alone.tile_model_.estimator.callbacks_]


def test_true_ends_the_training_and_keeps_the_best_epoch():
    losses = []

    def callback(row):
        losses.append(row["train_loss"])
        return row["epoch"] == 4

    ended = model(callback, lr=1.0, schedule="constant").fit(X, y)  # the loss goes up and down
    history = ended.tile_model_.estimator.history
    assert len(history) == 4
    best = 1 + int(np.argmin(losses))
    assert 1 <= best < 4
    alone = model(lambda row: row["epoch"] == best, lr=1.0, schedule="constant").fit(X, y)
    np.testing.assert_array_equal(ended.predict(X), alone.predict(X))


def test_an_ended_training_resumes_from_its_checkpoint(tmp_path):
    path = tmp_path / "a.ckpt"
    rows = []
    model(lambda row: row["epoch"] == 2, checkpoint=path).fit(X, y)
    resumed = model(rows.append, checkpoint=path).fit(X, y)
    assert [row["epoch"] for row in rows] == [3, 4, 5, 6]
    np.testing.assert_array_equal(resumed.predict(X), model().fit(X, y).predict(X))
    # What is finished is not trained again, with a callback or without.
    again = model(checkpoint=path).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), resumed.predict(X))


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupt_after_an_epoch_is_not_its_end(epoch, tmp_path):
    """Ctrl-C may come between the last callback of an epoch and the next."""

    def callback(row):
        if row["epoch"] == epoch:
            raise KeyboardInterrupt

    path = tmp_path / "a.ckpt"
    model(callback, checkpoint=path).fit(X, y)
    resumed = model(checkpoint=path).fit(X, y)
    assert len(resumed.tile_model_.estimator.history) == 6
    np.testing.assert_array_equal(resumed.predict(X), model().fit(X, y).predict(X))


def test_early_stopping_is_an_end(tmp_path):
    path = tmp_path / "a.ckpt"
    params = {"early_stopping": 1, "lr": 1.0, "schedule": "constant", "max_epochs": 50}
    first = model(checkpoint=path, **params).fit(X, y)
    n_epochs = len(first.tile_model_.estimator.history)
    assert n_epochs < 50
    rows = []
    again = model(rows.append, checkpoint=path, **params).fit(X, y)
    assert rows == []
    np.testing.assert_array_equal(again.predict(X), first.predict(X))


def test_callback_is_not_written_to_files(tmp_path):
    pytest.importorskip("skops")
    fitted = model(print, max_epochs=1).fit(X, y)
    with pytest.warns(UserWarning, match="callback is a function, which cannot be stored"):
        save(fitted, tmp_path / "a.ednn")
    assert load(tmp_path / "a.ednn").solver.callback is None
