"""The training of networks on totals: normalisation, shifts of the tiles, batches of any sizes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from sk_ednn.images._batches import Sample, collated, shuffled_batches  # noqa: E402
from sk_ednn.images._geometry import FOCUS, Geometry, edge_factors  # noqa: E402
from sk_ednn.images._loss import mosaic_loss  # noqa: E402
from sk_ednn.images._member import Member  # noqa: E402
from sk_ednn.images._network import NORMS, folded, tile_network  # noqa: E402
from sk_ednn.images._samples import moments, prepared  # noqa: E402
from sk_ednn.images._training import bfloat16_pays  # noqa: E402

RNG = np.random.default_rng(0)


def sample(lengths, geometry, box=None, n_channels=2):
    values = RNG.normal(size=(*lengths, n_channels))
    zero, one = np.zeros(n_channels), np.ones(n_channels)
    inside = lengths if box is None else tuple(part.stop - part.start for part in box)
    around = prepared(values, lengths, geometry, zero, one, box)
    return Sample(around, inside, geometry, torch.tensor([3.0]), 1.0)


def normalised(geometry, n_outputs=1):
    """Return a network whose normalisations have seen something."""
    torch.manual_seed(0)
    network = tile_network(2, n_outputs, geometry, positive=True)
    size = (64, 72) if geometry.n_axes == 2 else (8, 64, 72)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, NORMS):
                layer.weight.uniform_(0.5, 2)
                layer.bias.normal_()
        body = [layer for layer in network if not isinstance(layer, torch.nn.Flatten)]
        torch.nn.Sequential(*body)(3 + 2 * torch.randn(2, 2, *size))
    return network


@pytest.mark.parametrize("n_axes", [2, 3])
def test_normalisations_fold_into_convolutions(n_axes):
    geometry = Geometry(1, n_axes)
    network = normalised(geometry)
    window = [f + 2 * c for f, c in zip(geometry.focus, geometry.context, strict=True)]
    tiles = torch.randn(3, 2, *window)
    with torch.no_grad():
        expected = network.eval()(tiles)
        result = folded(network)(tiles)
    assert not any(isinstance(layer, NORMS) for layer in folded(network))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reduction", [1, 2])
@pytest.mark.parametrize("shift", [(0, 0), (3, 1), (2, 3)])
def test_tiles_may_begin_anywhere(reduction, shift):
    """Weights add up to the picture, and values move by the shift."""
    geometry = Geometry(reduction)
    one = sample((37, 50), geometry)
    values, weights, _ = one.view(shift)
    assert weights.sum() * np.prod(geometry.focus) == pytest.approx(37 * 50)
    still, *_ = one.view()
    moved = still[:, : -shift[0] or None, : -shift[1] or None]
    np.testing.assert_array_equal(values[:, shift[0] :, shift[1] :], moved)
    assert values.shape == still.shape


def test_a_total_is_the_same_alone_and_in_a_batch_of_any_sizes():
    geometry = Geometry(1)
    member = Member(normalised(geometry).eval(), [2.0], [1.0], True, False)
    torch.nn.init.normal_(member.module.edges)
    box = (slice(5, 30), slice(8, 21))
    batch = [
        sample((20, 33), geometry),
        sample((61, 40), geometry),
        sample((50, 44), geometry, box),
    ]
    with torch.no_grad():
        for shift in [(0, 0), (1, FOCUS - 1)]:
            together = member.totals(member.module, *collated(batch, shift))
            alone = [member.totals(member.module, *collated([each], shift)) for each in batch]
            torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_tiles_near_an_edge_of_the_picture_have_factors_of_their_own():
    """A box has them where the picture ends, wherever its tiles begin."""
    geometry = Geometry(1)
    box = (slice(0, 24), slice(8, 40))
    one = sample((50, 40), geometry, box)
    one.open_sides = [(False, True), (True, False)]
    _, _, bands = one.view()
    first = [0, 1, 2, 3, 3, 3, 3]
    expected = np.add.outer(np.multiply(4, first), [3, 3, 3, 3, 3, 2, 1, 0, 0])
    np.testing.assert_array_equal(bands[0], expected)
    plain = [np.full(n, 3) for n in (10, 9)]
    assert [each.tolist() for each in edge_factors(plain, [5.0, 2.0, 1.0])] == [[1] * 10, [1] * 9]


def test_batches_contain_each_sample_once_and_similar_sizes():
    geometry = Geometry(1)
    samples = [sample((20 + 40 * (k % 2), 24), geometry) for k in range(32)]
    batches = shuffled_batches(samples, 4, np.random.default_rng(0))
    assert sorted(id(each) for batch in batches for each in batch) == sorted(map(id, samples))
    mixed = sum(len({each.values.shape for each in batch}) > 1 for batch in batches)
    assert mixed <= 1
    other = shuffled_batches(samples, 4, np.random.default_rng(1))
    assert [id(batch[0]) for batch in batches] != [id(batch[0]) for batch in other]


@pytest.mark.parametrize(
    ("capabilities", "pays"),
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx2": True}, False)],
)
def test_bfloat16_is_used_where_the_processor_multiplies_it(capabilities, pays, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert bfloat16_pays() is pays


def test_frozen_statistics_stay():
    member = Member(normalised(Geometry(1)).train(), [1.0], [1.0], True, False)
    batch = [sample((40, 40), Geometry(1)) for _ in range(2)]
    member.freeze([batch])
    before = {name: value.clone() for name, value in member.module.named_buffers()}
    member.totals(member.module, *collated([sample((40, 40), Geometry(1))] * 2))
    member.settle([batch[:1]])
    for module in (member.module, member.average):
        for name, value in module.named_buffers():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_averaged_weights_are_settled_by_what_they_see():
    """Their normalisations then have mean 0 and spread 1 over the batch."""
    geometry = Geometry(1)
    member = Member(normalised(geometry), [1.0], [1.0], True, False)
    batch = [sample((60, 60), geometry) for _ in range(3)]
    member.settle([batch])
    values, *_ = collated(batch)
    with torch.no_grad():
        first, norm = member.average[0](values), member.average[1]
        torch.testing.assert_close(norm.running_mean, first.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(norm.running_var, first.var((0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert not member.average.training


def test_totals_of_the_training_add_up():
    """Of each output; totals that are not known are left out."""
    geometry = Geometry(1)
    member = Member(normalised(geometry, n_outputs=2), [1.0, 1.0], [1.0, 1.0], True, False)
    samples = [sample((40, 44), geometry) for _ in range(3)]
    for one, totals in zip(samples, ([3.0, 40.0], [5.0, np.nan], [9.0, 60.0]), strict=True):
        one.totals = torch.tensor(totals, dtype=torch.float64)
    member.match(samples)
    result = member.predict(samples)
    np.testing.assert_allclose(result.sum(axis=0)[0], 17, rtol=1e-4)
    np.testing.assert_allclose(result[[0, 2], 1].sum(), 100, rtol=1e-4)


def loss_of_boxes(member, batch, seed=0):
    """Return the loss of boxes put together, and the gradient of the last bias."""
    tiles = collated(batch)
    member.module.zero_grad()
    result = member.contributions(member.module, *tiles).detach()
    units = torch.ones(len(batch), len(member.scale))
    loss = mosaic_loss(member, *tiles, result, units, np.random.default_rng(seed))
    if isinstance(loss, torch.Tensor):
        loss.backward()
    bias = next(layer.bias for layer in reversed(member.module) if hasattr(layer, "bias"))
    return float(loss.detach() if isinstance(loss, torch.Tensor) else loss), bias.grad


@pytest.mark.parametrize("n_axes", [2, 3])
def test_boxes_put_together_have_their_totals_in_true_surroundings(n_axes):
    """Where a picture is the same everywhere, so are the surroundings; else there is a loss."""
    geometry = Geometry(1, n_axes)
    member = Member(normalised(geometry, n_outputs=2).eval(), [2.0] * 2, [1.0] * 2, True, False)
    lengths = (64, 72) if n_axes == 2 else (3, 64, 72)
    batch = [sample(lengths, geometry) for _ in range(2)]
    loss, gradient = loss_of_boxes(member, batch)
    assert loss > 0 and (gradient != 0).any()
    for each in batch:
        each.values = np.ones_like(each.values)
    loss, gradient = loss_of_boxes(member, batch)
    assert loss < 1e-6


def test_pictures_without_an_interior_are_not_put_together():
    geometry = Geometry(1)
    member = Member(normalised(geometry).eval(), [2.0], [1.0], True, False)
    assert loss_of_boxes(member, [sample((30, 64), geometry)] * 2) == (0.0, None)


def test_balanced_boxes_have_their_totals_in_true_surroundings():
    """The sum of the bands of boxes with mirror images around; the interior does not change."""
    geometry = Geometry(1)
    member = Member(normalised(geometry).eval(), [2.0], [1.0], True, False)
    samples = [sample((64, 64), geometry) for _ in range(3)]
    before = member.predict(samples)
    member.balance(samples)
    edges = member.average.edges.detach().numpy()
    assert (edges != 0).any() and (np.abs(edges) <= 0.5).all()
    assert (member.predict(samples) != before).all()
    for each in samples:
        each.values = np.ones_like(each.values)
    member.balance(samples)
    np.testing.assert_allclose(member.average.edges.detach(), 0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint32])
def test_small_differences_of_large_numbers_are_learned_from(dtype):
    """As from those numbers without their level."""
    geometry = Geometry(1, 2)
    plain = np.random.default_rng(0).integers(0, 200, (20, 24, 1))
    level = 10**9
    shifted = (plain + level).astype(dtype)
    mean, scale, _ = moments([plain])
    expected = prepared(plain, (20, 24), geometry, mean, scale)
    mean, scale, _ = moments([shifted])
    assert mean[0] == pytest.approx(plain.mean() + level, abs=1e-6)
    np.testing.assert_allclose(
        prepared(shifted, (20, 24), geometry, mean, scale), expected, atol=1e-5
    )
