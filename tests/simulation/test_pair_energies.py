"""Terms of one and two sites in place of the tiles: the same costs, and the same chains."""

from functools import partial

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.encoders import AngleFields, OneHotFields
from sk_ednn.simulation import Metropolis
from sk_ednn.simulation import _energies as energies_of_tiles
from sk_ednn.simulation import _pair_energies as pair_energies
from sk_ednn.simulation import _replicas as replicas
from sk_ednn.tiling import ChannelScaler

SPINS, STATES = (-1, 1), (0, 1, 3)
quadratic = partial(make_pipeline, PolynomialFeatures(2), Ridge(1e-3))
# Name: (tile model, tiling, shape of a field, values of a site).
SYSTEMS = {
    "chain": (quadratic(), GridTiling(1, 2), (9,), STATES),
    "window as wide as the ring": (quadratic(), GridTiling(1, 1), (3, 4), STATES),
    "focus": (quadratic(), GridTiling(2, 1), (6, 4), SPINS),
    "foci": (quadratic(), GridTiling((2, 1), (1, 0)), (4, 3), STATES),
    "space": (quadratic(), GridTiling(1, (1, 0, 1)), (3, 2, 4), SPINS),
    "no context": (quadratic(), GridTiling(1, 0), (4, 3), STATES),
    "linear": (LinearRegression(), GridTiling(1, 1), (4, 4), STATES),
    "kernel": (KernelRidge(kernel="poly", degree=2, alpha=1e-2), GridTiling(1, 1), (4, 4), SPINS),
    "scaled": (
        make_pipeline(
            ChannelScaler(), StandardScaler(), PCA(7), PolynomialFeatures((1, 2)), Ridge(1e-2)
        ),
        GridTiling(1, 1),
        (4, 5),
        (9.0, 12.0),
    ),
    "far from zero": (
        make_pipeline(StandardScaler(), PolynomialFeatures(2), Ridge(1e-2)),
        GridTiling(1, 1),
        (4, 4),
        (40_000.0, 40_008.0),
    ),
    "whole axis": (quadratic(), GridTiling((None, 2), (0, 1)), (3, 4), STATES),
    "two terms": (
        [("a", quadratic(), GridTiling(2, 1)), ("b", quadratic(), GridTiling(3, (0, 1)))],
        None,
        (6, 6),
        SPINS,
    ),
    "content": (quadratic(), GridTiling(1, 1, channel_axis=-1), (4, 3), ((0, 0), (1, 0), (-1, 2))),
}


def fitted(name):
    """Return a model of arbitrary energies, a field, and the values of a site."""
    tile_model, tiling, shape, values = SYSTEMS[name]
    rng = np.random.default_rng(3)
    X = np.asarray(values, dtype=float)[rng.integers(len(values), size=(80, *shape))]
    baseline = "content" if name == "content" else "size"
    model = EDNNRegressor(tile_model, tiling, baseline=baseline)
    sums = X.reshape(80, -1).sum(axis=1)
    return model.fit(X, rng.normal(size=80) + 0.3 * (sums - sums.mean())), X[0], values


@pytest.fixture
def ways(monkeypatch):
    """Record which way the energies are found."""
    used = []
    for name in ("TabulatedEnergies", "PairEnergies", "LedgerEnergies"):
        made = getattr(replicas, name)
        monkeypatch.setattr(
            replicas, name, lambda *args, made=made: used.append(made.__name__) or made(*args)
        )
    return used


@pytest.mark.parametrize("moves", ["change", "exchange"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_chains_are_those_of_the_tiles(name, moves, ways, monkeypatch):
    """With the same random numbers: no cost differs by more than round-off."""
    model, start, values = fitted(name)
    chains = []
    for pairs in (True, False):
        monkeypatch.setattr(replicas, "has_pairs", pair_energies.has_pairs if pairs else _never)
        sampler = Metropolis(
            model, [0.5, 3.0], values=values, moves=moves, n_replicas=3, swap_interval=2,
            random_state=0, max_states=1,
        )  # fmt: skip
        chains.append(sampler.run(start, 12))
    assert ways == ["PairEnergies", "LedgerEnergies"]
    one, other = chains
    np.testing.assert_array_equal(one.fields, other.fields)
    np.testing.assert_allclose(one.energies, other.energies, atol=1e-8)
    np.testing.assert_allclose(one.acceptance, other.acceptance, atol=1e-8)
    fields = one.fields.reshape(-1, *start.shape)
    np.testing.assert_allclose(one.energies[-1].ravel(), model.predict(fields), atol=1e-8)
    assert len(np.unique(fields, axis=0)) > 1


def _never(*_):
    return False


@pytest.mark.parametrize("n_replicas", [1, 7])
def test_parts_of_sublattices_change_nothing(n_replicas, monkeypatch):
    """Costs of moves that are made together add up, in pieces of any size."""
    model, _, values = fitted("focus")
    start = np.random.default_rng(1).choice(values, size=(24, 12)).astype(float)
    for in_hand in (1, 1 << 16):
        monkeypatch.setattr(pair_energies, "_IN_HAND", in_hand)
        sampler = Metropolis(
            model, 2.0, values=values, n_replicas=n_replicas, random_state=0, max_states=1
        )
        chain = sampler.run(start, 4)
        np.testing.assert_allclose(chain.energies[-1, 0], model.predict(chain.fields[0]), atol=1e-8)


def test_planar_spins_at_a_temperature_of_many_are_those_of_the_tiles(ways):
    """Clock values by the model, and by numbers of its formula."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, size=(150, 6, 6))
    energy = -sum(np.cos(angles - np.roll(angles, 1, axis)).sum((1, 2)) for axis in (1, 2))
    model = make_pipeline(
        AngleFields(),
        EDNNRegressor(quadratic(), GridTiling(1, 1, channel_axis=-1)),
    ).fit(angles, energy)
    values = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    chain = Metropolis(model, [0.5, 2.0], values=values, n_replicas=4, random_state=0).run(
        np.zeros((12, 12)), 5
    )
    assert ways == ["PairEnergies"]
    fields = chain.fields.reshape(-1, 12, 12)
    np.testing.assert_allclose(chain.energies[-1].ravel(), model.predict(fields), rtol=1e-9)
    exact = -sum(np.cos(fields - np.roll(fields, 1, axis)).sum((1, 2)) for axis in (1, 2))
    np.testing.assert_allclose(chain.energies[-1].ravel(), exact, atol=0.05)


@pytest.mark.parametrize(
    "tile_model, tiling, shape, n_values",
    [
        (quadratic(), GridTiling(1, 1, boundary="zero"), (4, 4), 2),
        (quadratic(), GridTiling(1, 1, boundary="reflect"), (4, 4), 2),
        (quadratic(), GridTiling(1, 3), (4, 5), 2),  # a tile sees a site twice
        (make_pipeline(PolynomialFeatures(3), Ridge()), GridTiling(1, 1), (4, 4), 2),
        (KernelRidge(kernel="rbf"), GridTiling(1, 1), (4, 4), 2),
        (make_pipeline(MinMaxScaler(clip=True), Ridge()), GridTiling(1, 1), (4, 4), 2),
    ],
)  # fmt: skip
def test_other_models_are_evaluated(tile_model, tiling, shape, n_values, ways):
    rng = np.random.default_rng(0)
    X = rng.choice(np.arange(float(n_values)), size=(30, *shape))
    model = EDNNRegressor(tile_model, tiling).fit(X, rng.normal(size=30))
    chain = Metropolis(model, 1.0, n_replicas=2, random_state=0, max_states=1).run(X[0], 2)
    assert ways == ["LedgerEnergies"]
    np.testing.assert_allclose(chain.energies[-1, 0], model.predict(chain.fields[0]), atol=1e-8)


def test_tables_come_first(ways):
    """For few states they are the fastest way."""
    model, start, values = fitted("focus")
    Metropolis(model, 1.0, values=values, random_state=0).run(start, 1)
    assert ways == ["TabulatedEnergies"]
    assert energies_of_tiles.has_tables([[np.zeros((1, 2), dtype=int)]], 2, 4)


def test_labels_have_pairs(ways):
    """As many labels as no table of tiles can have."""
    rng = np.random.default_rng(0)
    X = rng.integers(12, size=(200, 6, 6))
    y = sum((X == np.roll(X, 1, axis)).sum(axis=(1, 2)) for axis in (1, 2)).astype(float)
    model = make_pipeline(
        OneHotFields(), EDNNRegressor(quadratic(), GridTiling(1, (1, 0), channel_axis=-1))
    ).fit(X, y)
    chain = Metropolis(model, 1.0, values=np.arange(12), random_state=0, max_states=99).run(X[0], 3)
    assert ways == ["PairEnergies"]
    np.testing.assert_allclose(chain.energies[-1, 0], model.predict(chain.fields[0]), atol=1e-8)
