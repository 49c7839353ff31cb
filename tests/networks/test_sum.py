"""Batches of tiles in torch, compared with the sum operator."""

import numpy as np
import pytest
from scipy.sparse import csr_array

torch = pytest.importorskip("torch")

from sk_ednn import GridTiling  # noqa: E402
from sk_ednn.networks import TileSums  # noqa: E402
from sk_ednn.networks._sum import _SparseSum, network_input  # noqa: E402


def spins(n, shape, seed=0):
    return np.random.default_rng(seed).choice([-1, 1], size=(n, *shape)).astype(np.int8)


def served(tiles, y, weights, batch_size):
    return TileSums(tiles, lambda a: network_input(a, False), y, weights, batch_size)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("kind", ["table", "gathered"])
def test_batch_totals_equal_the_sum_operator(kind, on_device):
    fields = spins(20, (4, 4))
    tiles = GridTiling(1, 1).tiles(fields)
    tiles = tiles if kind == "gathered" else tiles.unique()[0]
    sums = served(tiles, np.arange(20.0)[:, None], None, 2 if kind == "gathered" else 20)
    chosen = [7, 3, 11]
    batch, y = sums[chosen]
    assert y.ravel().tolist() == chosen and len(batch) == 3
    if on_device:  # sums take the form they have on an accelerator; numbers need none to compare
        shape = batch.to("meta")
        assert shape.tiles.device.type == "meta" and isinstance(shape.sums, tuple)
        coordinates = batch.sums.tocoo()
        batch.sums = tuple(map(torch.as_tensor, (*coordinates.coords, coordinates.data)))
    contributions = batch.tiles.reshape(len(batch.tiles), -1) @ torch.arange(9.0)[:, None]
    windows = GridTiling(1, 1).tiles(fields[chosen]).array().reshape(-1, 9)
    expected = (windows @ np.arange(9.0)).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(batch.total(contributions)[:, 0].numpy(), expected, rtol=1e-6)


def test_sum_has_second_derivatives():
    matrix = csr_array(np.random.default_rng(0).integers(0, 3, size=(3, 5)).astype(float))
    contributions = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: _SparseSum.apply(c, matrix), contributions)
    assert torch.autograd.gradgradcheck(lambda c: _SparseSum.apply(c**2, matrix), contributions)


def test_batch_contains_no_tile_twice():
    fields = spins(50, (6,))
    tiles = GridTiling(1, 1).tiles(fields).unique()[0]
    batch, _ = served(tiles, np.zeros((50, 1)), None, 4)[np.arange(4)]
    rows = batch.tiles.reshape(len(batch.tiles), -1).numpy()
    assert len(np.unique(rows, axis=0)) == len(rows) <= 8


def test_batch_contains_the_weights_of_its_samples():
    tiles = GridTiling(1, 0).tiles(spins(6, (3,)))
    weights = np.arange(6.0)
    batch, _ = served(tiles, np.zeros((6, 1)), weights, 6)[[5, 2]]
    assert batch.weights.ravel().tolist() == [5.0, 2.0]


def test_network_input_puts_channels_first():
    tiles = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert network_input(tiles, True).shape == (2, 5, 3, 4)
    assert network_input(tiles, False).shape == (2, 1, 3, 4, 5)
    assert network_input(tiles, True)[1, 4, 2, 3] == tiles[1, 2, 3, 4]
