"""SumOverTiles in both forms and any number of parts, compared with sums over tiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.test_convolutional import BOUNDARIES, cases

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from sk_ednn import GridTiling  # noqa: E402
from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.networks import NotConvolutional, RandomSymmetry, SumOverTiles  # noqa: E402
from sk_ednn.networks._field_sums import field_input  # noqa: E402
from sk_ednn.networks._padding import padded  # noqa: E402
from sk_ednn.networks._sum import network_input  # noqa: E402
from sk_ednn.tile_models._baseline import Baseline  # noqa: E402


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 9)), min_size=1, max_size=3
    ),
    st.sampled_from(BOUNDARIES),
)
def test_padding_equals_that_of_the_tiling(axes, boundary):
    shape = tuple(n * focus for n, focus, _ in axes)
    tiling = GridTiling(tuple(f for _, f, _ in axes), tuple(c for *_, c in axes), boundary=boundary)
    X = np.random.default_rng(0).normal(size=(2, *shape))
    fields = tiling.check(X)
    (block,) = tiling.plan(fields, 10**9)
    ours = padded(field_input(X, None, torch.float64), tiling.padded_positions(shape))
    np.testing.assert_array_equal(ours[:, 0], tiling.padded(fields, block))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_padding_has_second_derivatives(boundary):
    positions = GridTiling((1, 2), (7, 1), boundary=boundary).padded_positions((3, 4))
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: padded(x, positions), x)
    assert torch.autograd.gradgradcheck(lambda x: padded(x**2, positions), x)


def totals_and_gradients(totals, module):
    module.zero_grad()
    (totals**2).sum().backward()
    return totals.detach(), [p.grad.clone() for p in module.parameters()]


@pytest.mark.parametrize(
    ("boundary", "parts"),
    [*((boundary, "whole") for boundary in BOUNDARIES), ("zero", "small"),
     ("periodic", "checkpointed")],
)  # fmt: skip
@pytest.mark.parametrize("form", ["dense", "tiled"])
@pytest.mark.parametrize("name", cases())
def test_totals_and_gradients_equal_those_of_tiles(name, boundary, form, parts):
    module, tiling, shape = cases()[name]
    module = module.double().eval()
    tiling.set_params(boundary=boundary)
    X = np.random.default_rng(1).normal(size=(3, *shape))
    tiles = tiling.tiles(X)
    has_channels = tiling.channel_axis is not None
    by_tile = module(network_input(tiles.array(), has_channels, torch.float64))
    expected = totals_and_gradients(by_tile.reshape(3, -1, by_tile.shape[1]).sum(1), module)

    sums = SumOverTiles(
        module, tiling, tiles.tile_shape, form=form,
        max_bytes=1 if parts == "checkpointed" else 2**30,
        max_tiles=1 if parts == "small" else None,
    )  # fmt: skip
    result = totals_and_gradients(sums(field_input(X, tiling.channel_axis, torch.float64)), module)
    torch.testing.assert_close(result[0], expected[0], rtol=1e-12, atol=1e-12)
    for a, b in zip(result[1], expected[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("form", ["dense", "tiled"])
@pytest.mark.parametrize("name", cases())
def test_both_forms_are_one_graph_for_torch_compile(name, form):
    module, tiling, shape = cases()[name]
    module = module.double().eval()
    X = np.random.default_rng(1).normal(size=(3, *shape))
    X = field_input(X, tiling.channel_axis, torch.float64)
    tile_shape = tiling.tile_shape(shape)
    if tiling.channel_axis is not None:
        tile_shape = tiling.tiles(np.zeros((1, *shape))).tile_shape
    plain = SumOverTiles(module, tiling, tile_shape, form=form)
    expected = totals_and_gradients(plain(X), module)
    torch._dynamo.reset()
    # A graph that breaks would raise; "aot_eager" is all of it but the code that is generated.
    options = {"backend": "aot_eager", "fullgraph": True}
    compiled = SumOverTiles(module, tiling, tile_shape, form=form, compile=options)
    result = totals_and_gradients(compiled(X), module)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(compiled(X), expected[0], rtol=1e-12, atol=1e-12)
    assert dict(compiled.named_parameters()).keys() == dict(plain.named_parameters()).keys()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dense", "tiled"])
def test_compiled_code_gives_equal_totals(form):
    torch._dynamo.reset()
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 2), nn.SiLU(), nn.Flatten(), nn.Linear(27, 1))
    fields = torch.randn(2, 1, 8, 6)
    sums = [
        SumOverTiles(module, GridTiling(2, 1), (4, 4), form=form, compile=options)
        for options in (None, {"fullgraph": True})
    ]
    expected, result = (totals_and_gradients(each(fields), module) for each in sums)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("max_bytes", [1, 2**30])
@pytest.mark.parametrize("form", ["dense", "tiled"])
def test_fields_and_weights_have_second_derivatives(form, max_bytes):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(27, 1)).double()
    sums = SumOverTiles(module, GridTiling(2, 1), (4, 4), form=form, max_bytes=max_bytes)
    fields = torch.randn(2, 1, 4, 2, dtype=torch.float64, requires_grad=True)
    weight = module[0].weight

    def squared_slope(fields, weight):
        (gradient,) = torch.autograd.grad(sums(fields).sum(), fields, create_graph=True)
        return gradient

    assert torch.autograd.gradcheck(lambda x: sums(x), fields)
    loss = squared_slope(fields, weight).square().sum()
    (exact,) = torch.autograd.grad(loss, weight)
    step, numerical = 1e-5, torch.zeros_like(weight)
    for index in np.ndindex(*weight.shape):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[index] += sign * step
            ends.append(squared_slope(fields, weight).square().sum().detach())
            with torch.no_grad():
                weight[index] -= sign * step
        numerical[index] = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(exact, numerical, rtol=1e-5, atol=1e-7)


def test_form_is_chosen_by_its_saving():
    convolution = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 1))
    assert SumOverTiles(convolution, GridTiling(2, 2), (6, 6)).form_ == "dense"
    perceptron = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    chosen = SumOverTiles(perceptron, GridTiling(2, 1), (4, 4))
    assert chosen.form_ == "tiled" and "saves no work" in chosen.reason_
    padding = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(32, 1))
    chosen = SumOverTiles(padding, GridTiling(2, 1), (4, 4))
    assert chosen.form_ == "tiled" and "pads" in chosen.reason_
    with pytest.raises(NotConvolutional, match="pads"):
        SumOverTiles(padding, GridTiling(2, 1), (4, 4), form="dense")


@pytest.mark.parametrize("boundary", [*BOUNDARIES, "nearest, padded"])
@pytest.mark.parametrize("kind", ["size", "content"])
def test_gradient_of_the_baseline_is_exact(kind, boundary):
    remainder = "pad" if "padded" in boundary else "error"
    shape = (4, 3, 2) if remainder == "error" else (3, 5, 2)
    tiling = GridTiling(
        (2, 3), (1, 2), boundary=boundary.partition(",")[0], channel_axis=-1, remainder=remainder
    )
    coefficients = np.arange(1.0, 2.0 if kind == "size" else 4.0)[:, None]
    tile_shape = tiling.tile_shape(shape)
    baseline = Baseline(coefficients, tiling.focus_sites(tile_shape), kind, 3)

    def total(x):
        return tiling.tiles(x[None]).total(baseline.predict(tiling.tiles(x[None]).values))[0, 0]

    x = np.random.default_rng(0).normal(size=shape)
    gradient = baseline.gradient(tiling, shape)
    for index in np.ndindex(*shape):
        moved = x.copy()
        moved[index] += 1.0
        assert gradient[index] == pytest.approx(total(moved) - total(x), abs=1e-9)


class TestSymmetries:
    tiling = GridTiling(2, 1)

    def test_results_are_all_images_under_the_symmetries(self):
        field = torch.randn(1, 1, 4, 4)
        torch.manual_seed(0)
        seen = set()
        for _ in range(300):
            changed = RandomSymmetry(self.tiling, (4, 4), ("shift", "reflect", "rotate"))(field)
            assert sorted(changed.ravel().tolist()) == sorted(field.ravel().tolist())
            seen.add(tuple(changed.ravel().tolist()))
        assert len(seen) == 4 * 8  # four shifts below the focus, eight symmetries of a square

    def test_all_fields_of_a_batch_are_transformed_equally(self):
        torch.manual_seed(1)
        field = torch.randn(1, 3, 8)
        both = RandomSymmetry(GridTiling(4, 1, channel_axis=0), (6, 3), "shift")(
            torch.cat([field, 2 * field])
        )
        torch.testing.assert_close(both[1], 2 * both[0])

    @pytest.mark.parametrize(
        ("tiling", "kinds", "message"),
        [
            (GridTiling(2, 1, boundary="zero"), "shift", "has ends"),
            (GridTiling((2, 1), 1), ("rotate",), "change their shape"),
            (GridTiling(2, 1), ("mirror",), "among"),
        ],
    )
    def test_unsuitable_symmetries_are_rejected(self, tiling, kinds, message):
        with pytest.raises(TileModelError, match=message):
            RandomSymmetry(tiling, tiling.tile_shape((4, 4)), kinds)

    def test_rotation_of_oblong_fields_is_rejected(self):
        with pytest.raises(TileModelError, match="rotated"):
            RandomSymmetry(self.tiling, (4, 4), "rotate")(torch.zeros(1, 1, 4, 6))
