"""Strips and cuts of dense forms do not change their results."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from sk_ednn import GridTiling  # noqa: E402
from sk_ednn.networks import (  # noqa: E402
    ValidCNN,
    _convolve,
    as_convolution,
    initialise_summed,
)
from sk_ednn.networks._convolutional import NotConvolutional  # noqa: E402
from sk_ednn.networks._convolve import Convolution  # noqa: E402
from sk_ednn.networks._dense_run import tiles_of  # noqa: E402
from sk_ednn.networks._layout import laid_out, lay_out  # noqa: E402


def networks():
    torch.manual_seed(0)
    return {
        "the paper's, without padding": (ValidCNN((32, 32), (16, 16)), 16, 8, 2),
        "pools, in 1-D": (
            nn.Sequential(nn.Conv1d(1, 12, 3), nn.SiLU(), nn.MaxPool1d(2), nn.Conv1d(12, 6, 3),
                          nn.Tanh(), nn.Conv1d(6, 6, 3), nn.Flatten(), nn.Linear(18, 1)), 8, 4, 1),
        "a dilated one, in 3-D": (
            nn.Sequential(nn.Conv3d(1, 16, 2, dilation=2), nn.ReLU(inplace=True),
                          nn.Conv3d(16, 4, 2, stride=2), nn.ReLU(inplace=True),
                          nn.Flatten(), nn.Linear(32, 1)), 4, 1, 3),
    }  # fmt: skip


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("layout", [False, True])
def test_strips_of_any_height_equal_the_tiled_form(name, layout):
    module, focus, context, ndim = networks()[name]
    module = initialise_summed(module).double().eval()
    window = (focus + 2 * context,) * ndim
    if layout:
        lay_out(module, (1, *window))
    dense = as_convolution(module, GridTiling(focus, context), window)
    assert dense._strips is not None
    n_tiles = 5
    fields = torch.rand(2, 1, *(n_tiles * focus + 2 * context,) * ndim, dtype=torch.float64)
    fields = laid_out(fields) if layout else fields
    tiles = tiles_of(fields, window, (focus,) * ndim).reshape(-1, 1, *window)
    with torch.no_grad():
        tiled = module(tiles).reshape(2, *(n_tiles,) * ndim, 1).movedim(-1, 1)
    with_gradient = dense(fields.requires_grad_())
    torch.testing.assert_close(with_gradient, tiled, rtol=1e-11, atol=1e-11)
    before = fields.detach().clone()
    heights, first = [], dense._strips.layers[0]

    def watched(strip):
        heights.append(strip.shape[2])
        return first(strip)

    layers = (watched, *dense._strips.layers[1:])
    for numbers, rows in [(1, 1), (2000, 2), (1, 8)]:
        dense._strips = replace(
            dense._strips, layers=layers, strip_numbers=numbers, min_strips=2, min_rows=rows
        )
        with torch.no_grad():
            torch.testing.assert_close(dense(fields), tiled, rtol=1e-11, atol=1e-11)
    assert len(set(heights)) > 1  # several heights were tried
    assert torch.equal(fields, before)  # what works in place does not work on the field


def test_last_layers_run_tile_by_tile_for_small_windows():
    module = ValidCNN((128, 128), (64, 64))
    dense = as_convolution(module.eval(), GridTiling(64, 32), (128, 128))
    # By hand: places of each layer for a tile by itself, and for each tile of a large field.
    works = []
    size, stride = 128, 1
    for layer in module:
        if isinstance(layer, nn.Conv2d):
            size = (size - layer.kernel_size[0]) // layer.stride[0] + 1
            stride *= layer.stride[0]
            per_place = layer.weight.numel()
            works.append((per_place * (64 // stride) ** 2, per_place * size**2))
    head = 32 * 1024 + 1024
    dense_only = sum(work for work, _ in works) + head
    mixed = min(
        sum(work for work, _ in works[:k]) + sum(work for _, work in works[k:]) + head
        for k in range(1, len(works) + 1)
    )
    assert dense.dense_work == mixed < 0.95 * dense_only
    assert dense.tiled_work == sum(work for _, work in works) + head
    assert dense.numbers_in_strips == 64 * 16**2 and dense.numbers_per_tile == 64 * 32**2


def test_no_cut_before_a_skip_connection_ends():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)
            self.third, self.last = nn.Conv2d(8, 8, 3), nn.Linear(8, 1)

        def forward(self, x):
            h = self.first(x)
            return self.last((self.third(self.second(h)) + h[:, :, 2:-2, 2:-2]).flatten(1))

    dense = as_convolution(Skips().eval(), GridTiling(3, 2), (7, 7))
    assert dense._cut is None or dense._cut.name not in ("second", "third")
    x = torch.as_tensor(np.random.default_rng(0).random((1, 1, 13, 13)), dtype=torch.float32)
    tiles = tiles_of(x, (7, 7), (3, 3)).reshape(-1, 1, 7, 7)
    with torch.no_grad():
        torch.testing.assert_close(
            dense(x).ravel(), dense.module(tiles).ravel(), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("layout", [False, True])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 2), (1, 2, 4)])
def test_single_small_map_in_3d_equals_torch(layout, stride, dilation, groups):
    torch.manual_seed(0)
    layer = nn.Conv3d(4, 8, 3, stride=stride, dilation=dilation, groups=groups)
    x = torch.rand(1, 4, 9, 10, 11)
    x = (laid_out(x) if layout else x).requires_grad_()
    result, expected = Convolution(layer)(x), layer(x)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    wanted = [x, layer.weight, layer.bias]
    gradients = []
    for out in (result, expected):
        first = torch.autograd.grad(out.square().sum(), wanted, create_graph=True)
        second = torch.autograd.grad(first[0].square().sum(), layer.weight)
        gradients.append([*first, *second])
    for ours, torchs in zip(*gradients, strict=True):
        largest = float(torchs.detach().abs().max())
        torch.testing.assert_close(ours, torchs, rtol=1e-4, atol=1e-4 * largest)


def test_onednn_settings_are_respected():
    x, layer = torch.rand(1, 1, 8, 8, 8), nn.Conv3d(1, 2, 3)
    assert _convolve._uses_onednn(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert Convolution(layer)(x).dtype == torch.bfloat16
    exported = torch.export.export(_Convolves(layer), (x,))
    called = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert called == {"aten.conv3d.default"}
    torch.testing.assert_close(exported.module()(x), layer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_hooks_of_weight_norm_are_rejected_or_current(ndim):
    layer = (nn.Conv2d, nn.Conv3d)[ndim - 2](1, 3, 3)
    head, hooked = nn.Linear(3 * 2**ndim, 1), pytest.warns(FutureWarning, match="weight_norm")
    with hooked:
        normed = nn.Sequential(nn.utils.weight_norm(layer), nn.Flatten(), head)
    tiling, window = GridTiling(2, 1), (4,) * ndim
    dense = as_convolution(normed.eval(), tiling, window)
    x = torch.rand(1, 1, *(6,) * ndim)
    with torch.no_grad():
        for weight in normed.parameters():
            weight.add_(0.3)  # as an optimiser does
        tiles = tiles_of(x, window, (2,) * ndim).reshape(-1, 1, *window)
        torch.testing.assert_close(dense(x).ravel(), normed(tiles).ravel(), rtol=1e-4, atol=1e-4)
    with hooked:
        net = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.Flatten(), nn.utils.weight_norm(nn.Linear(12, 1))
        )
    with pytest.raises(NotConvolutional, match=r"has hooks.*parametrizations"):
        as_convolution(net.eval(), GridTiling(2, 1), (4, 4))


class _Convolves(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return Convolution(self.layer)(x)
