"""A moved atom costs what two full evaluations say, and Monte Carlo samples Boltzmann's law."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.exceptions import TileModelError, TilingError
from sk_ednn.simulation import AtomMetropolis, AtomUpdates
from sk_ednn.structures import Structure


def structures(n, cell, n_atoms=5, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Structure(rng.choice([5, 7], n_atoms), rng.random((n_atoms, 2)) * cell, list(cell))
        for _ in range(n)
    ]


def fitted(tile_model, tiling, channels=("B", "N"), dtype="float64", **options):
    train = structures(20, (3.2, 4.0))
    draw = GaussianRasterizer(0.2, 0.25, channels=channels, dtype=dtype)
    model = EDNNRegressor(tile_model, tiling, **options)
    return make_pipeline(draw, model).fit(train, np.random.default_rng(1).normal(size=20))


def network():
    torch = pytest.importorskip("torch")
    from sk_ednn.networks import ValidCNN
    from sk_ednn.solvers import GradientSolver

    torch.manual_seed(0)
    net = ValidCNN(
        (10, 10), focus=(4, 4), n_channels=2, activation="silu", layers=((4, 3, 2),), hidden=4
    )
    return fitted(
        net,
        GridTiling(4, 3, channel_axis=-1),
        dtype="float32",
        solver=GradientSolver(max_epochs=2),
    )


MODELS = {
    "kernel": lambda: fitted(KernelRidge(kernel="rbf"), GridTiling(4, 3, channel_axis=-1)),
    "one channel": lambda: fitted(KernelRidge(kernel="rbf"), GridTiling((2, 4), 1), None),
    "wide": lambda: fitted(Ridge(), GridTiling(4, 30, channel_axis=-1)),
    "network": network,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("cell", [(3.2, 4.0), (0.8, 1.6), (12.8, 4.0)])
def test_moves_cost_what_full_evaluations_say(name, cell, rng):
    model = MODELS[name]()
    (start,) = structures(1, cell, seed=3)
    local = AtomUpdates(model, start)
    tolerance = 2e-5 if name == "network" else 1e-9

    def energy(positions):
        return model.predict([Structure(start.numbers, positions, start.cell)])[0]

    now = energy(start.positions)
    assert local.total == pytest.approx(now, abs=tolerance)
    for k in range(12):
        atom, positions = int(rng.integers(5)), local.positions.copy()
        # Small steps, and large ones out of the cell.
        positions[atom] += rng.normal(size=2) * (0.1 if k % 2 else 3.0)
        change = local.propose(atom, positions[atom])
        then = energy(positions)
        assert change == pytest.approx(then - now, abs=tolerance)
        if k % 3:
            local.accept()
            now = then
            assert local.total == pytest.approx(now, abs=tolerance)
    with pytest.raises(ValueError, match="nothing to accept"):
        local.accept()
        local.accept()


def test_rounding_does_not_grow():
    model = MODELS["kernel"]()
    (start,) = structures(1, (3.2, 4.0), seed=3)
    local, rng = AtomUpdates(model, start), np.random.default_rng(0)
    for _ in range(300):
        atom = int(rng.integers(5))
        local.propose(atom, local.positions[atom] + rng.normal(size=2))
        local.accept()
    moved = Structure(start.numbers, local.positions, start.cell)
    assert local.total == pytest.approx(model.predict([moved])[0], abs=1e-9)


def test_what_is_evaluated_does_not_grow_with_the_cell():
    model, sizes = MODELS["kernel"](), []
    for cell in ((6.4, 8.0), (25.6, 32.0)):
        (start,) = structures(1, cell, n_atoms=30)
        local = AtomUpdates(model, start)
        (term,) = local._terms
        inner = term.evaluate
        term.evaluate = lambda patch, inner=inner: (sizes.append(patch.shape), inner(patch))[1]
        local.propose(0, local.positions[0] + 0.01)
    assert sizes[0] == sizes[1] or np.abs(np.subtract(*sizes)).max() <= 4  # one tile more or less
    assert sizes[1][0] < 60


def test_one_atom_in_a_well_follows_boltzmann():
    """One atom over a fixed one: the sampled mean energy is that of an integral over the cell."""
    rng = np.random.default_rng(0)
    cell = (1.6, 1.6)
    train = [Structure([5, 7], np.vstack([[0, 0], rng.random(2) * 1.6]), [1.6, 1.6])
             for _ in range(80)]  # fmt: skip
    draw = GaussianRasterizer(0.2, 0.3, channels=("B", "N"), dtype="float64")
    energies = [np.cos(2 * np.pi * s.positions[1] / 1.6).sum() for s in train]
    tile_model = KernelRidge(kernel="poly", degree=2, gamma=0.1, alpha=1e-4)
    model = make_pipeline(draw, EDNNRegressor(tile_model, GridTiling(4, 4, channel_axis=-1)))
    model.fit(train, energies)
    chain = AtomMetropolis(model, 0.7, step=0.5, random_state=0).run(
        Structure([5, 7], [[0, 0], [0.8, 0.8]], list(cell)), 700, burn_in=30
    )
    grid = (np.arange(20) + 0.5) * 0.08
    # Both atoms move, so that all places relative to pixels are visited: average over those too.
    places = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    first = rng.random((400, 2)) * 1.6
    exact = model.predict(
        [Structure([5, 7], np.stack([a, a + b]), [1.6, 1.6])
         for a, b in zip(first, places, strict=True)]
    )  # fmt: skip
    weights = np.exp(-exact / 0.7)
    expected = (weights * exact).sum() / weights.sum()
    assert 0.2 < chain.acceptance < 0.9
    assert chain.energies.mean() == pytest.approx(expected, abs=0.15)


def test_atoms_are_kept_apart_and_seeds_repeat():
    model = MODELS["kernel"]()
    start = Structure([5, 7, 5], [[0.5, 0.5], [1.7, 1.5], [2.9, 3.0]], [3.2, 4.0])
    sampler = AtomMetropolis(model, 100.0, step=0.6, closest=0.9, random_state=0)
    chain = sampler.run(start, 20, interval=2)
    assert chain.positions.shape == (10, 3, 2) and chain.energies.shape == (10,)
    for positions in chain.positions:
        away = positions[:, None] - positions
        away -= start.cell * np.round(away / start.cell)
        assert np.hypot(*away[np.triu_indices(3, 1)].T).min() >= 0.9
    again = sampler.run(start, 20, interval=2)
    np.testing.assert_array_equal(chain.positions, again.positions)


def test_bad_input():
    model = MODELS["kernel"]()
    (start,) = structures(1, (3.2, 4.0))
    local = AtomUpdates(model, start)
    with pytest.raises(ValueError, match="finite position"):
        local.propose(0, [np.nan, 0.0])
    with pytest.raises(ValueError, match="atom from 0 to 4, got 5"):
        local.propose(5, [0.0, 0.0])
    with pytest.raises(TileModelError, match="Pipeline of a GaussianRasterizer"):
        AtomUpdates(KernelRidge(), start)
    with pytest.raises(TilingError, match="expected a periodic tiling"):
        AtomUpdates(fitted(Ridge(), GridTiling(4, 1, boundary="zero", channel_axis=-1)), start)
    with pytest.raises(ValueError, match="n_sweeps must be"):
        AtomMetropolis(model, 1.0).run(start, 0)
