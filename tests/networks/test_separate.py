"""Networks whose output for a tile depends on others, on chance, or is no real number."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from torch import nn  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling  # noqa: E402
from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.solvers import GradientSolver  # noqa: E402

X = np.random.default_rng(0).normal(size=(8, 4, 4))
TOTALS = X.sum(axis=(1, 2))


class Applied(nn.Module):
    """A layer, and a function of its outputs."""

    def __init__(self, function):
        super().__init__()
        self.layer = nn.Linear(9, 4)
        self.last = nn.Linear(4, 1)
        self.function = function

    def forward(self, x):
        return self.last(self.function(self.layer(x.flatten(1))))


class Complex(Applied):
    def forward(self, x):
        return self.layer(x.flatten(1))[:, :1] * 1j


def fitted(module, fields=X):
    solver = GradientSolver(max_epochs=1)
    return EDNNRegressor(module, GridTiling(1, 1), solver=solver, random_state=0).fit(
        fields, TOTALS
    )


DEPENDENT = {
    "mean": lambda h: h - h.mean(),
    "mean of the batch": lambda h: h - h.mean(0),
    "softmax": lambda h: torch.softmax(h, 0),
    "running sum": lambda h: h.cumsum(0),
    "neighbour": lambda h: h + h.roll(1, 0),
    "largest": lambda h: h / h.abs().max(),
    "batch norm": nn.BatchNorm1d(4, track_running_stats=False),
}
SEPARATE = {
    "layer norm": nn.LayerNorm(4),
    "batch norm": nn.BatchNorm1d(4),
    "group norm": nn.GroupNorm(2, 4),
    "dropout": nn.Dropout(0.5),
    "softmax": lambda h: torch.softmax(h, 1),
    "largest": lambda h: h / h.abs().amax(1, keepdim=True),
}


@pytest.mark.parametrize("fields", [X, np.ones_like(X), np.zeros_like(X)], ids=["any", "1", "0"])
@pytest.mark.parametrize("name", DEPENDENT)
def test_outputs_that_depend_on_other_tiles_are_refused(name, fields):
    with pytest.raises(TileModelError, match="depends on the other tiles of a batch"):
        fitted(Applied(DEPENDENT[name]), fields)


@pytest.mark.parametrize("name", SEPARATE)
def test_layers_of_each_tile_are_accepted(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*another output")
        model = fitted(Applied(SEPARATE[name]))
    np.testing.assert_allclose(
        model.predict(np.tile(X, (1, 2, 1))), 2 * model.predict(X), rtol=1e-4, atol=1e-4
    )


def test_random_outputs_are_named():
    with pytest.warns(UserWarning, match="another output for a tile at each call"):
        fitted(Applied(lambda h: nn.functional.dropout(h, 0.5)))


def test_complex_outputs_are_refused():
    with pytest.raises(TileModelError, match="returns complex numbers"):
        fitted(Complex(None))
