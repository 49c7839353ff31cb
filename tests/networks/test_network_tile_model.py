"""NetworkTileModel, and the detection of labels."""

import traceback

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from torch import nn  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling  # noqa: E402
from sk_ednn.networks import NotConvolutional, PaperCNN, ValidCNN  # noqa: E402
from sk_ednn.networks._trial import reads_labels  # noqa: E402
from sk_ednn.solvers import GradientSolver  # noqa: E402


def test_cached_reason_raises_a_new_exception():
    """A cached exception would accumulate tracebacks."""
    X = np.random.default_rng(0).normal(size=(4, 6, 6))
    padding = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(18, 1))
    model = EDNNRegressor(padding, GridTiling(1, 1), solver=GradientSolver(max_epochs=1))
    tile_model = model.fit(X, X.sum(axis=(1, 2))).tile_model_
    raised, depths = [], []
    for _ in range(5):
        with pytest.raises(NotConvolutional, match=r"Layer '0' .* pads") as caught:
            tile_model.dense_form(model.tiling_)
        raised.append(caught.value)
        depths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(set(map(id, raised))) == 5 and len({str(error) for error in raised}) == 1
    assert depths[1:] == [depths[1]] * 4


class Calls(nn.Module):
    """A network that applies a function to its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


LABELS = {
    "long": lambda x: x.long(),
    "to": lambda x: x.to(torch.int32),
    "bool": lambda x: x.bool(),
    "type": lambda x: x.type(torch.LongTensor),
    "equal": lambda x: x == 1,
    "other": lambda x: x != 0,
    "round": lambda x: x.round(),
    "floor": lambda x: (2 * x).floor(),
    "remainder": lambda x: x % 2,
    "buckets": lambda x: torch.bucketize(x, torch.tensor([0.5, 1.5])),
}
NUMBERS = {
    "relu": lambda x: torch.where(x > 0, x, 0 * x),
    "largest": lambda x: x.amax(-1),
    "checked": lambda x: x * torch.isfinite(x).all(),
    "checked for nan": lambda x: x * ~torch.isnan(x).any(),
    "shape": lambda x: x * torch.arange(x.shape[-1]),
}


@pytest.mark.parametrize("name", [*LABELS, *NUMBERS])
def test_reads_labels_detects_operations_on_labels(name):
    module = Calls({**LABELS, **NUMBERS}[name])
    assert reads_labels(module, module, torch.ones(2, 1, 4, 4)) == (name in LABELS)


@pytest.mark.parametrize(
    "module",
    [
        PaperCNN((32, 32)),
        ValidCNN((16, 16), (8, 8)),
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), nn.GroupNorm(2, 4),
                      nn.BatchNorm2d(4), nn.Mish(), nn.AdaptiveMaxPool2d(2), nn.Dropout(),
                      nn.Upsample(scale_factor=2, mode="bilinear"), nn.Flatten(),
                      nn.LayerNorm(64), nn.Linear(64, 1)),
        nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(256, 4, 16, batch_first=True)),
    ],
    ids=lambda module: type(module[0]).__name__,
)  # fmt: skip
def test_reads_labels_accepts_layers_of_torch(module):
    size = 32 if isinstance(module, PaperCNN) else 16
    assert not reads_labels(module, module, torch.ones(2, 1, size, size))
