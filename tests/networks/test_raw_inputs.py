"""Networks that must see their input as it is, by what they do to it before they learn from it."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling  # noqa: E402
from sk_ednn.networks import PaperCNN, PaperDenseNet, ValidCNN  # noqa: E402
from sk_ednn.networks._raw_inputs import needs_raw_inputs  # noqa: E402
from sk_ednn.solvers import GradientSolver  # noqa: E402

TILES = torch.tensor(np.random.default_rng(0).uniform(0.1, 3, (2, 1, 4, 4)), dtype=torch.float32)


class Begins(nn.Module):
    """A network that begins with a function of its input; the layer behind it learns."""

    def __init__(self, function, example=TILES):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("table", torch.linspace(-1, 1, 80).reshape(16, 5))
        self.last = nn.Linear(int(np.prod(function(self, example).shape[1:])), 1)

    def forward(self, x):
        return self.last(self.function(self, x).flatten(1))


# An affine map of the input, or its order: a layer that learns can make up for the rest.
STANDARDISED = {
    "nothing": lambda net, x: x,
    "padding": lambda net, x: F.pad(x, (1, 1, 1, 1), mode="circular").roll(1, 2),
    "units": lambda net, x: (x - 3.0) / 255 + 0.5,
    "means": lambda net, x: F.avg_pool2d(x, 2),
    "maxima": lambda net, x: F.max_pool2d(x, 2),
    "order": lambda net, x: (x > x.roll(1, 2)).to(x),
    "sorted": lambda net, x: x.flatten(1).sort(1)[0],
    "fixed filter": lambda net, x: x.flatten(1) @ net.table,
    "patches": lambda net, x: F.unfold(x, 2),
    "between sites": lambda net, x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "learned threshold": lambda net, x: (x > net.weight).to(x),
    "learned frequency": lambda net, x: torch.cos(x * net.weight),
    "normalised": lambda net, x: F.layer_norm(x, x.shape[1:]),
    "normalised by hand": lambda net, x: (
        (x - x.mean((1, 2, 3), keepdim=True)) / (x.std((1, 2, 3), keepdim=True) + 1e-6)
    ),
    "by its variance": lambda net, x: (x - x.mean()) * torch.rsqrt(x.var() + 1e-6),
    "a check": lambda net, x: torch.where(torch.isfinite(x), x, torch.zeros_like(x)),
    "squares beside numbers": lambda net, x: torch.cat([x, x**2, x * x.roll(1, 2)], 1),
}
# Functions with constants in the units of the data.
RAW = {
    "threshold": lambda net, x: (x > 1.5).to(x),
    "threshold as a tensor": lambda net, x: (x >= torch.full_like(x, 1.5)).to(x),
    "threshold in other units": lambda net, x: (x.flatten(1) / 2 - 1 < 0).to(x),
    "clamped": lambda net, x: x.clamp(0, 1),
    "clamped in place": lambda net, x: x.clone().clamp_(min=1),
    "no less than": lambda net, x: torch.maximum(x, torch.ones(1)),
    "angles": lambda net, x: torch.cat([x.cos(), x.sin()], 1),
    "fixed Fourier features": lambda net, x: torch.cos(x.flatten(1) @ net.table),
    "decay": lambda net, x: torch.exp(-2 * x),
    "logarithm": lambda net, x: x.log1p(),
    "root": lambda net, x: x.sqrt(),
    "power": lambda net, x: x**-6,
    "base": lambda net, x: 2**x,
    "inverse": lambda net, x: 1 / x,
    "absolute": lambda net, x: (x - 1).abs(),
    "floor division": lambda net, x: x // 2,
    "division to the floor": lambda net, x: torch.div(x, 2, rounding_mode="floor"),
    "hard threshold": lambda net, x: F.threshold(x, 1.0, 0.0),
}
# What may be meant either way.
DOUBTFUL = {
    "silu": lambda net, x: F.silu(x),
    "relu": lambda net, x: F.relu(x.clone(), inplace=True),
    "tanh": lambda net, x: torch.tanh(F.pad(x, (1, 1, 1, 1))),
    "prelu_kernel": lambda net, x: F.prelu(x, net.weight),
    "softmax": lambda net, x: x.flatten(1).softmax(1),
    "mul": lambda net, x: x * x.roll(1, 2),
    "pow": lambda net, x: x.square(),
    "bmm": lambda net, x: torch.einsum("bchw,bchw->bch", x, x),
}


@pytest.mark.parametrize("begins", STANDARDISED)
def test_affine_maps_and_layers_that_learn_are_standardised(begins):
    module = Begins(STANDARDISED[begins])
    assert not needs_raw_inputs(module, module, TILES)


@pytest.mark.parametrize("begins", RAW)
def test_functions_with_constants_of_their_own_see_raw_numbers(begins):
    module = Begins(RAW[begins])
    assert needs_raw_inputs(module, module, TILES)


@pytest.mark.parametrize("begins", DOUBTFUL)
def test_what_may_be_meant_either_way_is_named(begins):
    module = Begins(DOUBTFUL[begins])
    with pytest.warns(UserWarning, match=rf"applies {begins} to its .*standardize=False"):
        assert not needs_raw_inputs(module, module, TILES)
    assert not needs_raw_inputs(module, module, TILES, warn=False)


def test_functions_beside_layers_that_learn_are_named():
    module = Begins(lambda net, x: torch.cat([x, x.cos()], 1))
    with pytest.warns(UserWarning, match=r"applies cos, .*as well as.*standardize=False"):
        assert needs_raw_inputs(module, module, TILES)


@pytest.mark.parametrize(
    ("module", "size"),
    [
        (nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular"), nn.ReLU()), 4),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.SiLU(), nn.Linear(3, 1)), 4),
        (nn.Sequential(nn.BatchNorm2d(1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 1)), 4),
        (nn.Sequential(nn.Dropout(), nn.Flatten(), nn.LayerNorm(16), nn.GELU()), 4),
        (nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(16, 2, 8, batch_first=True)), 4),
        (PaperCNN(tile_shape=(8, 8)), 8),
        (PaperDenseNet(tile_shape=(4, 4)), 4),
        (ValidCNN(tile_shape=(16, 16), focus=(8, 8)), 16),
    ],
)  # fmt: skip
def test_usual_networks_are_standardised_without_a_word(module, size):
    assert not needs_raw_inputs(module, module, torch.rand(2, 1, size, size))


# --- fits ----------------------------------------------------------------------------------------

X = np.random.default_rng(0).integers(0, 4, size=(60, 6, 6))
Y = (X > 1).sum(axis=(1, 2)).astype(float)


class Threshold(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(9, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, x):
        return self.layers((x > 1.5).to(x))


def fitted(module, **params):
    fit = GradientSolver(max_epochs=20, lr=2e-2, batch_size=8, **params)
    return EDNNRegressor(module, GridTiling(1, 1), solver=fit, random_state=0).fit(X, Y)


def test_a_threshold_is_learned_as_well_as_without_standardisation():
    model, raw = fitted(Threshold), fitted(Threshold, standardize=False)
    assert model.tile_model_.standardization is None
    np.testing.assert_array_equal(model.predict(X), raw.predict(X))
    assert model.score(X, Y) > 0.9


def test_an_activation_first_is_standardised_with_a_word():
    module = nn.Sequential(nn.SiLU(), nn.Flatten(), nn.Linear(9, 1))
    with pytest.warns(UserWarning, match="applies silu to its input before any learned layer"):
        model = fitted(module)
    assert model.tile_model_.standardization.mean == pytest.approx(X.mean())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fitted(module, standardize=False).tile_model_.standardization is None
