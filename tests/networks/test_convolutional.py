"""Dense forms: contributions and gradients equal those of the tiled network."""

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling  # noqa: E402
from sk_ednn.evaluation import AutoEvaluation, Direct, Network, Unique  # noqa: E402
from sk_ednn.networks import NotConvolutional, as_convolution  # noqa: E402
from sk_ednn.networks._sum import network_input  # noqa: E402
from sk_ednn.solvers import GradientSolver  # noqa: E402


class Residual(nn.Module):
    """A network with crops, sums, concatenations, view and normalisation."""

    def __init__(self, n_channels, n_outputs=1):
        super().__init__()
        self.first = nn.Conv2d(n_channels, 4, 3)
        self.second = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.wide = nn.Linear(8 * 8 * 8, 6)
        self.layer_norm = nn.LayerNorm(6)
        self.last = nn.Linear(6, n_outputs)

    def forward(self, x):
        h = torch.relu(self.first(x))
        h = 0.5 * self.norm(self.second(h)) + h[:, :, 1:-1, 1:-1]
        h = torch.cat([h, nn.functional.silu(h)], dim=1)
        h = torch.tanh(self.wide(h.view(h.size(0), -1)))
        return self.last(self.layer_norm(h))


def cases():
    torch.manual_seed(0)
    return {
        "residual, two channels": (
            Residual(2, 3), GridTiling(4, 4, channel_axis=-1), (16, 12, 2)),
        "strides and pools": (
            nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.SiLU(), nn.AvgPool2d(2),
                          nn.Conv2d(3, 5, 2), nn.Flatten(), nn.Linear(45, 7), nn.ReLU(),
                          nn.Linear(7, 1)), GridTiling(8, 5), (16, 24)),
        "dilated, max pool": (
            nn.Sequential(nn.Conv2d(1, 3, 3, dilation=2), nn.MaxPool2d(2, stride=1), nn.Tanh(),
                          nn.Flatten(), nn.Linear(3 * 25, 1)), GridTiling(2, 4), (6, 8)),
        "global average, 1-D": (
            nn.Sequential(nn.Conv1d(1, 3, 3), nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                          nn.Linear(3, 1)), GridTiling(4, 2), (16,)),
        "perceptron, 3-D": (
            nn.Sequential(nn.Flatten(), nn.Linear(125, 4), nn.Tanh(), nn.Linear(4, 1)),
            GridTiling(1, 2), (5, 4, 6)),
        "to one place, 1-D": (
            nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU(), nn.Conv1d(4, 2, 4), nn.Flatten()),
            GridTiling(2, 3), (8,)),
        "one focus an axis": (
            nn.Sequential(nn.Conv2d(1, 3, (3, 2)), nn.ELU(), nn.Flatten(), nn.Linear(3 * 2 * 8, 1)),
            GridTiling((2, 3), (1, 3)), (8, 9)),
    }  # fmt: skip


BOUNDARIES = ("periodic", "zero", "reflect", "nearest")


def both_forms(module, tiling, shape):
    """Return contributions of the tiled and of the dense form, (n, n_outputs, *tile_grid)."""
    X = np.random.default_rng(0).normal(size=(2, *shape))
    fields = tiling.check(X)
    (block,) = tiling.plan(fields, 10**9)
    has_channels = tiling.channel_axis is not None
    tiles = tiling.tiles(X)
    out = module(network_input(tiles.array(), has_channels, torch.float64))
    grid = tiles.values.shape[: tiles.values.ndim - len(tiles.tile_shape)]
    dense = as_convolution(module, tiling, tiles.tile_shape)
    padded = network_input(tiling.padded(fields, block), has_channels, torch.float64)
    return out.reshape(*grid, -1).movedim(-1, 1), dense(padded)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", cases())
def test_contributions_and_gradients_of_both_forms_are_equal(name, boundary):
    module, tiling, shape = cases()[name]
    module = module.double().eval()
    tiling.set_params(boundary=boundary)
    tiled, dense = both_forms(module, tiling, shape)
    assert dense.shape == tiled.shape
    np.testing.assert_allclose(dense.detach(), tiled.detach(), rtol=1e-12, atol=1e-12)
    gradients = []
    for out in (tiled, dense):
        module.zero_grad()
        (out**2).sum().backward()
        gradients.append([copy.deepcopy(p.grad) for p in module.parameters()])
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11)


def unsupported():
    return {
        r"'0' \(Conv2d\) pads its input": nn.Conv2d(1, 1, 3, padding=1),
        r"total stride of \(3, 3\), which does not divide the focus \(4, 4\)": nn.Conv2d(
            1, 1, 3, stride=3
        ),
        r"\(InstanceNorm2d\) is not supported": nn.InstanceNorm2d(1),
        r"\(Softmax\) is not supported": nn.Softmax(dim=-1),
        r"\(MaxPool2d\) rounds its output up": nn.MaxPool2d(3, 1, ceil_mode=True),
        r"\(AdaptiveAvgPool2d\) adapts": nn.AdaptiveAvgPool2d(2),
        r"mixes samples while training": nn.BatchNorm2d(1),
        r"draws different numbers": nn.Dropout(0.5),
    }


@pytest.mark.parametrize("message", unsupported())
def test_error_names_the_unsupported_layer(message):
    module = nn.Sequential(unsupported()[message], nn.Flatten(), nn.LazyLinear(1))
    module(torch.zeros(2, 1, 8, 8))
    with pytest.raises(NotConvolutional, match=message):
        as_convolution(module, GridTiling(4, 2), (8, 8))


def test_branch_on_values_cannot_be_traced():
    class Branch(nn.Module):
        def forward(self, x):
            return x.flatten(1) if x.sum() > 0 else -x.flatten(1)

    with pytest.raises(NotConvolutional, match="cannot be traced"):
        as_convolution(Branch(), GridTiling(1, 0), (1, 1))


def fitted(module, tiling, X, **params):
    y = (X**2).sum(axis=tuple(range(1, X.ndim)))
    fit = GradientSolver(max_epochs=2)
    return EDNNRegressor(module, tiling, solver=fit, random_state=0, **params).fit(X, y)


@pytest.mark.parametrize("baseline", [None, "size", "content"])
@pytest.mark.parametrize("max_tiles", [None, 1, 3])
def test_network_evaluation_equals_direct_evaluation(baseline, max_tiles):
    X = np.random.default_rng(0).normal(size=(6, 16, 24))
    module, tiling, _ = cases()["strides and pools"]
    model = fitted(module, tiling, X, baseline=baseline)
    fields = model.tiling_.check(X)
    arguments = (model.tile_model_, model.tiling_, fields)
    direct, dense = Direct(), Network(max_tiles=max_tiles)
    np.testing.assert_allclose(dense.totals(*arguments), direct.totals(*arguments), rtol=1e-5)
    np.testing.assert_allclose(
        dense.contributions(*arguments)[0],
        direct.contributions(*arguments)[0],
        rtol=1e-4,
        atol=1e-5,
    )
    two = Network(2, max_tiles=max_tiles).totals(*arguments)
    np.testing.assert_array_equal(two, dense.totals(*arguments))


def test_auto_evaluation_selects_the_dense_form():
    X = np.random.default_rng(0).normal(size=(6, 16, 24))
    module, tiling, _ = cases()["strides and pools"]
    model = fitted(module, tiling, X)
    auto = AutoEvaluation()
    chosen = auto.select(model.tile_model_, model.tiling_, X)
    assert isinstance(chosen, Network)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    padded = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(18 * 18, 1))
    model = fitted(padded, tiling, X)
    assert isinstance(auto.select(model.tile_model_, model.tiling_, X), Direct)


def test_auto_evaluation_weighs_repetition_against_the_dense_form():
    X = np.random.default_rng(0).normal(size=(6, 16, 24))
    module, tiling, _ = cases()["strides and pools"]
    model = fitted(module, tiling, X)
    dense = model.tile_model_.dense_form(model.tiling_)
    saving = dense.tiled_work / dense.dense_work
    assert saving > 1.5
    for copies in (1, 2, 3, 6, 12, 24):
        supercell = np.tile(X[:1], (1, copies, 1))
        chosen = AutoEvaluation().select(model.tile_model_, model.tiling_, supercell)
        assert isinstance(chosen, Unique if copies >= 2 * saving else Network)


def test_position_dependent_network_has_no_dense_form():
    """Tracing succeeds, but a trial shows that the dense form differs."""

    class Position(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x):
            return self.layer(torch.flatten(x, 1)) * (x.shape[-1] / 4)

    X = np.random.default_rng(0).normal(size=(6, 8))
    model = fitted(Position(), GridTiling(2, 1), X)
    with pytest.raises(NotConvolutional, match="differs from the tiled one"):
        model.tile_model_.dense_form(model.tiling_)
    chosen = AutoEvaluation().select(model.tile_model_, model.tiling_, X)
    assert isinstance(chosen, Direct)
