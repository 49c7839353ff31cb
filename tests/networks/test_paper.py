"""The networks of the paper: their sizes, and the dense form of the one without padding."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from sk_ednn import GridTiling  # noqa: E402
from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.networks import (  # noqa: E402
    NotConvolutional,
    PaperCNN,
    PaperDenseNet,
    SumOverTiles,
    ValidCNN,
    as_convolution,
    initialise_summed,
)


@pytest.mark.parametrize(("context", "n_parameters"), [(1, 25_601), (3, 183_041)])
def test_dense_net_has_the_published_number_of_parameters(context, n_parameters):
    net = PaperDenseNet((1 + 2 * context,) * 2)
    assert sum(p.numel() for p in net.parameters()) == n_parameters


def test_dense_net_with_channels_and_outputs():
    net = PaperDenseNet((4, 4), n_channels=2, n_outputs=3)
    assert net(torch.zeros(5, 2, 4, 4)).shape == (5, 3)


def convolutions(net):
    return [layer for layer in net if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d))]


def test_paper_cnn_has_the_published_sizes():
    net = PaperCNN((128, 128))
    assert sum(p.numel() for p in net.parameters()) == 8_520_673
    assert len(convolutions(net)) == 13
    flattened = next(layer for layer in net if isinstance(layer, nn.Linear)).in_features
    assert flattened == 32 * 16 * 16  # strides alone make the map smaller


@pytest.mark.parametrize("shape", [(9,), (17, 30), (8, 9, 10)])
def test_paper_cnn_padding(shape):
    net = PaperCNN(shape, n_channels=2, n_outputs=3, activation="silu")
    assert net(torch.zeros(2, 2, *shape)).shape == (2, 3)
    maps, x = [], torch.zeros(1, 2, *shape)
    for layer in net:
        x = layer(x)
        if layer in convolutions(net):
            maps.append(tuple(x.shape[2:]))
    expected = [shape]
    for layer in convolutions(net):
        expected.append(tuple(-(-n // layer.stride[0]) for n in expected[-1]))
    assert maps == expected[1:]


def test_paper_cnn_has_no_dense_form():
    with pytest.raises(NotConvolutional, match="pads its input"):
        as_convolution(PaperCNN((32, 32)), GridTiling(16, 8), (32, 32))


def test_valid_cnn_at_the_tile_of_the_paper():
    net = ValidCNN((128, 128), (64, 64))
    layers = convolutions(net)
    assert len(layers) >= 8 and sum(layer.stride == (2, 2) for layer in layers) == 3
    assert [layer.out_channels for layer in layers] == [64, 64, *[16] * 4, 64, *[32] * 4]


@pytest.mark.parametrize(
    ("window", "focus", "grid"),
    [
        ((16,), (8,), (3,)), ((17,), (1,), (5,)), ((38,), (6,), (3,)),
        ((16, 16), (8, 8), (2, 3)), ((40, 40), (8, 8), (2, 2)), ((48, 17), (16, 3), (2, 2)),
        ((16, 16, 16), (8, 8, 8), (2, 1, 2)), ((20, 16, 18), (4, 2, 8), (2, 2, 1)),
    ],
)  # fmt: skip
def test_valid_cnn_has_an_exact_dense_form_for_all_tiles(window, focus, grid):
    torch.manual_seed(0)
    tiling = GridTiling(
        focus, tuple((w - f) // 2 for w, f in zip(window, focus, strict=True)), channel_axis=0
    )
    window = tuple(f + 2 * c for f, c in zip(focus, tiling.context, strict=True))
    net = ValidCNN(window, focus, n_channels=2, n_outputs=2, activation="tanh").double()
    fields = torch.randn(
        1, 2, *(n * f for n, f in zip(grid, focus, strict=True)), dtype=torch.float64
    )
    dense, tiled = (
        SumOverTiles(net, tiling, (*window, 2), form=form)(fields) for form in ("dense", "tiled")
    )
    torch.testing.assert_close(dense, tiled, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ValidCNN((12, 16), (4, 8)), "at least 16 sites"),
        (lambda: ValidCNN((20, 20), (8, 8), layers=[(4, 5, 2), (4, 9, 1)]), "at least 21 sites"),
        (lambda: ValidCNN((32, 32), (6, 6), layers=[(4, 3, 2), (4, 3, 2)]), r"Layer 1 .*\(4, 4\)"),
        (lambda: ValidCNN((32, 32), (8, 8), activation="relax"), "activation must be one of"),
        (lambda: PaperCNN((8, 8, 8, 8)), "1 to 3 dimensions"),
    ],
)
def test_unsuitable_tiles_are_rejected(make, message):
    with pytest.raises(TileModelError, match=message):
        make()


def test_initialise_summed_preserves_the_spread():
    torch.manual_seed(0)
    layers = [part for _ in range(12) for part in (nn.Linear(256, 256), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(256, 1))
    x = torch.randn(500, 256)
    with torch.no_grad():
        before = float(net(x).std())
        after = float(initialise_summed(net)(x).std())
    assert 0.01 < after < 0.5 and before < after / 10  # torch's own loses what passes through
    assert all(np.all(layer.bias.detach().numpy() == 0) for layer in net if hasattr(layer, "bias"))
