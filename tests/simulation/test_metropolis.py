"""Metropolis sampling against enumeration of all states, and what it promises besides."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import chi2, chisquare
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.encoders import AngleFields, IntensiveContext, OneHotFields
from sk_ednn.evaluation import LocalUpdates
from sk_ednn.exceptions import TileModelError, TilingError
from sk_ednn.simulation import Metropolis
from sk_ednn.simulation._replicas import Replicas
from tests._cases import fitted, make_ising

# Name: (tiling, shape of a field, values of a site).
SPINS, STATES = (-1, 1), (0, 1, 3)
SYSTEMS = {
    "1-D": (GridTiling(2, 1), (8,), SPINS),
    "1-D, three states": (GridTiling(1, 1), (6,), STATES),
    "2-D": (GridTiling(1, 1), (3, 3), SPINS),
    "2-D, oblong": (GridTiling(1, (1, 0)), (5, 2), SPINS),
    "2-D, zero": (GridTiling((2, 1), (1, 2), boundary="zero"), (4, 2), SPINS),
    "3-D, reflect": (GridTiling(2, 1, boundary="reflect"), (2, 2, 2), SPINS),
    "nearest": (GridTiling(1, (1, 0, 1), boundary="nearest"), (3, 2, 1), STATES),
    "padded": (GridTiling(3, 1, boundary="zero", remainder="pad"), (5, 2), SPINS),
    "wider than the grid": (GridTiling(1, 3), (2, 3), SPINS),
    "whole axis": (GridTiling((None, 2), (0, 1)), (3, 2), SPINS),
    "channels": (GridTiling(1, 1, channel_axis=0), (2, 2, 2), ((0, 0), (1, 0), (-1, 2))),
}
LARGE_TILES = ("2-D, zero", "3-D, reflect", "padded", "wider than the grid")


def all_fields(shape, values, channel_axis=None):
    """Return every field of a shape, in the order of the states of its sites as digits."""
    values = np.asarray(values, dtype=float)
    grid = [n for axis, n in enumerate(shape) if axis != channel_axis]
    states = np.array(list(product(range(len(values)), repeat=int(np.prod(grid)))))
    fields = values[states].reshape(len(states), *grid, *values.shape[1:])
    return fields if channel_axis is None else np.moveaxis(fields, -1, 1 + channel_axis)


def index_of(fields, every):
    """Return where each of some fields stands among all."""
    rows = {row.tobytes(): place for place, row in enumerate(every.reshape(len(every), -1))}
    fields = fields.reshape(-1, *every.shape[1:]).astype(float)
    return np.array([rows[row.tobytes()] for row in fields.reshape(len(fields), -1)])


def system(name):
    """Return a model with arbitrary energies, all its fields, and their energies."""
    tiling, shape, values = SYSTEMS[name]
    every = all_fields(shape, values, tiling.channel_axis)
    rng = np.random.default_rng(3)
    X = every[rng.integers(len(every), size=60)]
    model = EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.2, alpha=1e-3), tiling)
    model.fit(X, rng.normal(size=60) + 0.3 * X.sum(axis=tuple(range(1, X.ndim))))
    return model, every, model.predict(list(every))


def assert_distributed_as(counts, probability):
    """Chi-squared, with outcomes expected fewer than ten times put together."""
    order = np.argsort(probability)
    group = np.cumsum(probability[order] * counts.sum()) // 10
    group = np.unique(group, return_inverse=True)[1]
    observed, expected = (np.bincount(group, weights[order]) for weights in (counts, probability))
    if expected[-1] * counts.sum() < 10:
        observed, expected = (np.append(a[:-2], a[-2:].sum()) for a in (observed, expected))
    assert len(observed) > 3
    # Seeds are fixed: this fails for one seed in ten thousand, or if something is wrong.
    assert chisquare(observed, expected / expected.sum() * counts.sum()).pvalue > 1e-4


def boltzmann(energies, temperature):
    return np.exp(-energies / temperature - logsumexp(-energies / temperature))


# Contributions from tables, and of tiles that are evaluated.
WAYS = {"tables": 2**22, "tiles evaluated": 1}
ways = pytest.mark.parametrize("max_states", WAYS.values(), ids=WAYS)


# --- the distribution -------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYSTEMS)
def test_states_come_as_often_as_boltzmann_says(name):
    model, every, energies = system(name)
    temperature = np.ptp(energies) / 4  # so that nothing stays caught
    # Without a table, where tiles of many sites are evaluated, it takes longer.
    n_replicas = 1_000 if name in LARGE_TILES else 5_000
    sampler = Metropolis(
        model, temperature, values=SYSTEMS[name][2], n_replicas=n_replicas, random_state=1
    )
    chain = sampler.run(every[0], 15, interval=15)
    result = index_of(chain.fields, every)
    np.testing.assert_allclose(chain.energies[-1, 0], energies[result], rtol=1e-9, atol=1e-9)
    counts = np.bincount(result, minlength=len(every))
    assert_distributed_as(counts, boltzmann(energies, temperature))


@pytest.mark.parametrize("name", ["1-D", "1-D, three states", "2-D", "padded", "channels"])
def test_exchanges_keep_the_composition(name):
    model, every, energies = system(name)
    start = every[len(every) // 3]
    temperature = np.ptp(energies) / 4
    n_replicas = 1_000 if name in LARGE_TILES else 5_000
    sampler = Metropolis(
        model, temperature, moves="exchange", n_replicas=n_replicas, values=SYSTEMS[name][2],
        random_state=2,
    )  # fmt: skip
    chain = sampler.run(start, 20, interval=20)
    channel = SYSTEMS[name][0].channel_axis

    def content(field):
        sites = field[None] if channel is None else np.moveaxis(field, channel, 0)
        return sorted(map(tuple, sites.reshape(len(sites), -1).T))

    allowed = np.array([content(field) == content(start) for field in every])
    result = index_of(chain.fields, every)
    assert allowed[result].all()
    probability = np.where(allowed, np.exp(-energies / temperature), 0)
    counts = np.bincount(result, minlength=len(every))[allowed]
    assert_distributed_as(counts, probability[allowed] / probability.sum())


@pytest.mark.parametrize("moves", ["change", "exchange"])
def test_the_slow_way_has_the_same_distribution(moves):
    model, every, energies = system("2-D, oblong")
    sampler = Metropolis(
        model, energies.std(), values=SPINS, moves=moves, n_replicas=50, random_state=0
    )
    start = every[37]
    fast = sampler.run(start, 20)
    slow = sampler.set_params(max_states=1).run(start, 20)
    # With the same random numbers it is the same chain.
    np.testing.assert_allclose(fast.energies, slow.energies, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(fast.fields, slow.fields)


def test_detailed_balance_of_a_sweep():
    """From the stationary distribution, a sweep leads from a to b as often as from b to a."""
    model, every, energies = system("1-D, three states")
    weights = boltzmann(energies, energies.std())
    rng = np.random.default_rng(4)
    before = rng.choice(len(every), size=25_000, p=weights)
    sampler = Metropolis(
        model, energies.std(), values=STATES, n_replicas=len(before), random_state=5
    )
    after = index_of(sampler.run(every[before][None], 1).fields, every)
    # Put into a few classes of states, so that flows are large.
    kind = np.argsort(np.argsort(rng.random(len(every)))) % 12
    flows = np.zeros((12, 12))
    np.add.at(flows, (kind[before], kind[after]), 1)
    upper = np.triu_indices(12, 1)
    forth, back = flows[upper], flows.T[upper]
    assert min(forth.min(), back.min()) > 20
    statistic = ((forth - back) ** 2 / (forth + back)).sum()
    assert 1e-4 < chi2.sf(statistic, len(forth)) < 1 - 1e-4


def test_infinite_temperature_reaches_every_state():
    model, every, _ = system("2-D, oblong")
    sampler = Metropolis(model, np.inf, values=SPINS, n_replicas=8_000, random_state=0)
    chain = sampler.run(every[0], 20)
    counts = np.bincount(index_of(chain.fields, every), minlength=len(every))
    assert chisquare(counts).pvalue > 1e-4
    np.testing.assert_array_equal(chain.acceptance, [1.0])


# --- Ising systems against the exact partition function ----------------------------------------


@pytest.fixture(scope="module")
def ising():
    X, y = make_ising(400, (8, 8))
    return EDNNRegressor(KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-8)).fit(X, y)


def exact_moments(temperature):
    """Return <E>, C and <|M|> of the periodic 4 x 4 Ising system, from its 65,536 states."""
    spins = all_fields((4, 4), SPINS)
    energies = -sum((spins * np.roll(spins, 1, axis)).sum(axis=(1, 2)) for axis in (1, 2))
    weights = boltzmann(energies, temperature)
    mean = weights @ energies
    heat = weights @ (energies - mean) ** 2 / temperature**2
    return mean, heat, weights @ np.abs(spins.sum(axis=(1, 2)))


def test_a_model_of_totals_has_the_exact_thermodynamics(ising):
    """Trained on totals of 8 x 8 alone, on a lattice that can be enumerated."""
    temperatures = np.array([1.5, 2.0, 2.5, 3.0, 4.0])
    sampler = Metropolis(
        ising, temperatures, values=SPINS, n_replicas=200, swap_interval=2, random_state=0
    )
    chain = sampler.run(np.ones((4, 4)), 150, burn_in=60)
    energies, sizes = chain.energies, np.abs(chain.magnetisations)
    heats = energies.var(axis=0) / temperatures[:, None] ** 2
    for k, temperature in enumerate(temperatures):
        mean, heat, size = exact_moments(temperature)
        # Replicas are independent but for swaps: their means give the error bars.
        for values, exact in ((energies.mean(axis=0)[k], mean), (sizes.mean(axis=0)[k], size)):
            error = values.std(ddof=1) / np.sqrt(len(values))
            assert abs(values.mean() - exact) < 4 * error
            assert error < 0.06 * abs(exact)
        # The variance of all records together, with error bars from groups of replicas.
        groups = energies[:, k].reshape(150, 20, 10).transpose(1, 0, 2).reshape(20, -1)
        heats = groups.var(axis=1) / temperature**2
        assert abs(heats.mean() - heat) < 4 * heats.std(ddof=1) / np.sqrt(20) + 0.02 * heat
    assert np.all(np.diff(chain.acceptance) > 0)
    assert np.all((chain.swap_acceptance > 0.3) & (chain.swap_acceptance < 1))


def onsager(temperature):
    """Return energy, specific heat and magnetisation per spin of the infinite lattice.

    The first two from the free energy as an integral over one angle (Onsager 1944), differentiated
    numerically; the last from Yang 1952.
    """
    angle = np.pi * (np.arange(20_000) + 0.5) / 20_000

    def log_partition(beta):
        k = 2 * np.sinh(2 * beta) / np.cosh(2 * beta) ** 2
        root = np.sqrt(np.maximum(1 - (k * np.sin(angle)) ** 2, 0))
        return np.log(2 * np.cosh(2 * beta)) + np.log((1 + root) / 2).mean() / 2

    beta, step = 1 / temperature, 1e-3
    lower, middle, upper = (log_partition(beta + k * step) for k in (-1, 0, 1))
    order = max(1 - np.sinh(2 * beta) ** -4.0, 0) ** (1 / 8)
    heat = beta**2 * (upper - 2 * middle + lower) / step**2
    return -(upper - lower) / (2 * step), heat, order


def test_the_exact_solution_is_the_exact_solution():
    """By what is known in closed form: the critical energy, and the series of hot systems."""
    critical = 2 / np.log(1 + np.sqrt(2))
    assert abs(onsager(critical)[0] + np.sqrt(2)) < 1e-2  # smooth but for a logarithm
    energy, heat, order = onsager(20.0)
    t = np.tanh(1 / 20)
    assert abs(energy + 2 * t + 4 * t**3) < 20 * t**5
    assert abs(heat - (2 + 10 * t**2) / 20**2) < 100 / 20**6
    assert order == 0


@pytest.mark.slow
def test_large_lattices_approach_the_exact_solution(ising):
    """Away from the transition, where 64 x 64 spins are as good as infinitely many."""
    temperatures = [1.8, 2.0, 2.7, 3.5]
    sampler = Metropolis(ising, temperatures, values=SPINS, n_replicas=12, random_state=0)
    chain = sampler.run(np.ones((64, 64), dtype=np.int8), 400, burn_in=120, interval=2)
    sites = 64**2
    for k, temperature in enumerate(temperatures):
        energy, heat, order = onsager(temperature)
        energies = chain.energies[:, k] / sites
        records = {
            "energy": (energies.mean(axis=0), energy),
            "heat": (energies.var(axis=0) * sites / temperature**2, heat),
        }
        if order:
            sizes = np.abs(chain.magnetisations[:, k]).mean(axis=0) / sites
            records["magnetisation"] = (sizes, order)
        for name, (values, exact) in records.items():
            error = values.std(ddof=1) / np.sqrt(len(values))
            assert abs(values.mean() - exact) < 4 * error, (name, temperature)
            assert error < 0.06 * abs(exact), (name, temperature)


def test_replica_exchange_leaves_each_temperature_its_distribution():
    model, every, energies = system("2-D")
    temperatures = energies.std() * np.array([0.4, 0.8, 1.6])
    sampler = Metropolis(
        model, temperatures, values=SPINS, n_replicas=3_000, swap_interval=1, random_state=0
    )
    chain = sampler.run(every[5], 25, interval=25)
    for fields, temperature in zip(chain.fields, temperatures, strict=True):
        counts = np.bincount(index_of(fields, every), minlength=len(every))
        assert_distributed_as(counts, boltzmann(energies, temperature))
    np.testing.assert_allclose(
        chain.energies[-1].ravel(), model.predict(list(chain.fields.reshape(-1, 3, 3))), atol=1e-9
    )


def test_swaps_free_what_is_frozen(ising):
    """A cold system of all spins up is found upside down only if it may go through hot ones."""
    temperatures = [1.2, 1.6, 2.0, 2.4, 3.0, 4.0]
    turned = []
    for swap_interval in (None, 1):
        sampler = Metropolis(
            ising, temperatures, values=SPINS, n_replicas=60, random_state=0,
            swap_interval=swap_interval,
        )  # fmt: skip
        chain = sampler.run(np.ones((6, 6)), 100)
        turned.append(np.mean(chain.magnetisations[-1, 0] < 0))
    assert turned[0] < 0.1
    assert 0.3 < turned[1] < 0.7


# --- what moves cost ----------------------------------------------------------------------------


@ways
@pytest.mark.parametrize("moves", ["change", "exchange"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_costs_are_differences_of_totals(name, moves, max_states):
    model, every, energies = system(name)
    values = SYSTEMS[name][2]
    rng = np.random.default_rng(0)
    start = every[rng.integers(len(every), size=3)]
    running = Replicas(model, model.fitted_terms(), start, values, moves, np.ones(1), max_states)
    np.testing.assert_allclose(running.energies()[0], energies[index_of(start, every)], atol=1e-9)
    for sublattice in running.sublattices:
        for part, sites in sublattice:
            before = running.states[sites]
            after = running._proposed(before, rng)
            costs = running.energy.changes(part, before, after)
            now = running.energies()[0]
            for move in range(sites.shape[1]):
                kept = running.states.copy()
                running.states[sites[:, move]] = after[:, move]
                reached = energies[index_of(running.fields(), every)]
                np.testing.assert_allclose(costs[move], reached - now, atol=1e-9)
                running.states = kept
            made = rng.random(costs.shape) < 0.5
            running.energy.accept(made)
            running.states[sites] = np.where(made, after, before)
            # Moves that are made together cost the sum of what they cost alone.
            expected = energies[index_of(running.fields(), every)]
            np.testing.assert_allclose(running.energies()[0], expected, atol=1e-9)
            np.testing.assert_allclose(expected, now + (costs * made).sum(axis=0), atol=1e-9)


def test_terms_are_added_up():
    X, y = make_ising(100, (6, 6))
    terms = [
        ("near", KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3), GridTiling(1, 1)),
        ("far", LinearRegression(), GridTiling(2, 1)),
    ]
    model = EDNNRegressor(terms).fit(X, y)
    chain = Metropolis(model, 3.0, values=SPINS, n_replicas=5, random_state=0).run(
        np.ones((10, 8)), 5
    )
    np.testing.assert_allclose(chain.energies[-1, 0], model.predict(chain.fields[0]), atol=1e-8)


@pytest.mark.parametrize("replicas", [1, 20])
def test_long_chains_do_not_drift(ising, replicas):
    sampler = Metropolis(ising, 2.5, values=SPINS, n_replicas=replicas, random_state=0)
    chain = sampler.run(np.ones((32, 32), dtype=np.int8), 100, interval=50)
    assert np.abs(chain.energies[-1, 0] - ising.predict(chain.fields[0])).max() < 1e-9


# --- records --------------------------------------------------------------------------------------


def test_what_is_recorded(ising):
    def correlation(fields):
        return np.stack([(fields * np.roll(fields, r, 2)).mean(axis=(1, 2)) for r in (0, 1)], 1)

    sampler = Metropolis(ising, [2.0, 3.0], values=SPINS, n_replicas=4, random_state=0)
    chain = sampler.run(
        np.ones((6, 8), dtype=np.int8), 10, burn_in=3, interval=3,
        observables={"correlation": correlation, "up": lambda f: (f > 0).sum(axis=(1, 2))},
    )  # fmt: skip
    assert chain.energies.shape == chain.magnetisations.shape == (3, 2, 4)
    assert chain.fields.shape == (2, 4, 6, 8)
    assert chain.fields.dtype == np.int8
    assert chain.observables["correlation"].shape == (3, 2, 4, 2)
    np.testing.assert_array_equal(chain.observables["correlation"][..., 0], 1)
    np.testing.assert_array_equal(2 * chain.observables["up"] - 48, chain.magnetisations)
    np.testing.assert_array_equal(chain.value_sums, chain.magnetisations)
    assert np.all(chain.observables["correlation"][..., 1] <= 1)


def test_a_chain_goes_on_where_it_stopped(ising):
    sampler = Metropolis(ising, [2.0, 3.0], values=SPINS, n_replicas=4)
    sampler.set_params(random_state=np.random.RandomState(0))
    first = sampler.run(np.ones((6, 6)), 5)
    second = sampler.run(first.fields, 5)
    assert not np.array_equal(first.fields, second.fields)
    sampler.set_params(random_state=np.random.RandomState(0))
    np.testing.assert_array_equal(sampler.run(np.ones((6, 6)), 5).energies, first.energies)
    np.testing.assert_array_equal(sampler.run(first.fields, 5).energies, second.energies)


@ways
def test_the_user_s_field_stays_as_it_is(ising, max_states):
    field = np.ones((6, 6))
    Metropolis(ising, 5.0, values=SPINS, random_state=0, max_states=max_states).run(field, 3)
    np.testing.assert_array_equal(field, 1)


def test_a_bar_where_it_is_asked_for(ising, capsys):
    for verbose in (0, 1):
        sampler = Metropolis(ising, 5.0, values=SPINS, verbose=verbose)
        sampler._delay_seconds = 0.0
        sampler.run(np.ones((6, 6)), 3)
        assert ("sweep" in capsys.readouterr().err) == bool(verbose)


# --- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"temperature": 0}, "must be positive"),
        ({"temperature": [1.0, -2.0]}, "must be positive"),
        ({"temperature": np.nan}, "must be positive"),
        ({"temperature": "hot"}, "temperature must be a number"),
        ({"temperature": []}, "temperature must be a number"),
        ({"values": [1]}, "from 2 to 255 different"),
        ({"values": [1, 1, -1]}, "from 2 to 255 different"),
        ({"values": [[1, 2], [3, 4]]}, "values must be numbers of shape"),
        ({"values": [-1, 1, np.nan]}, "NaN"),
        ({"values": [-1, 1, 0.5]}, "int8, which cannot represent all of"),
        ({"values": [0, 1]}, r"contain -1, which is not one of the values \[0, 1\]; 10 site"),
        ({"moves": "swap"}, "'moves' parameter"),
        ({"n_replicas": 0}, "'n_replicas' parameter"),
        ({"swap_interval": 0}, "'swap_interval' parameter"),
    ],
)
def test_parameters_that_are_refused(ising, params, message):
    field = np.ones((6, 6), dtype=np.int8)
    field.flat[:10] = -1
    with pytest.raises(ValueError, match=message):
        Metropolis(ising, **params).run(field, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_sweeps": 0}, "n_sweeps must be an integer of at least 1"),
        ({"n_sweeps": 2.5}, "n_sweeps must be an integer"),
        ({"n_sweeps": 5, "burn_in": -1}, "burn_in must be an integer of at least 0"),
        ({"n_sweeps": 5, "interval": 6}, "nothing would be recorded"),
        ({"n_sweeps": 5, "observables": {"m": 3}}, "'m' must be a function"),
        ({"n_sweeps": 5, "observables": {"m": np.mean}}, "one row for each of the 1 fields"),
    ],
)
def test_runs_that_are_refused(ising, arguments, message):
    with pytest.raises(ValueError, match=message):
        Metropolis(ising, values=SPINS).run(np.ones((6, 6)), **arguments)


def test_fields_and_models_that_are_refused(ising):
    sampler = Metropolis(ising, [2.0, 3.0], n_replicas=4, values=SPINS)
    with pytest.raises(ValueError, match="contain 1 different value"):
        Metropolis(ising).run(np.ones((6, 6)), 1)
    with pytest.raises(ValueError, match="NaN"):
        sampler.run(np.full((6, 6), np.nan), 1)
    with pytest.raises(TilingError, match=r"start with \(n_temperatures, n_replicas\) = \(2, 4\)"):
        sampler.run(np.ones((4, 2, 6, 6)), 1)
    with pytest.raises(TilingError, match="fields of 2 dimension"):
        sampler.run(np.ones((3, 6, 6)), 1)
    with pytest.raises(NotFittedError):
        Metropolis(EDNNRegressor(), values=SPINS).run(np.ones((6, 6)), 1)
    with pytest.raises(TileModelError, match="got EDNNCommittee"):
        Metropolis(EDNNCommittee(EDNNRegressor()), values=SPINS).run(np.ones((6, 6)), 1)
    with pytest.raises(TileModelError, match="one total"):
        Metropolis(fitted("kernel", "2-D", n_outputs=3), values=SPINS).run(np.ones((4, 3)), 1)
    X, y = make_ising(30, (8, 8))
    model = EDNNRegressor(tiling=GridTiling(2, 1)).fit(X, y)
    with pytest.raises(TilingError, match="not a multiple of focus=2"):
        Metropolis(model, values=SPINS).run(np.ones((8, 7)), 1)
    with pytest.raises(TilingError, match="no neighbours to exchange"):
        X = np.ones((10, 1)) * np.arange(10)[:, None]
        model = EDNNRegressor(LinearRegression(), GridTiling(1, 0)).fit(X, X[:, 0])
        Metropolis(model, values=(0, 1), moves="exchange").run(np.ones(1), 1)


ENCODED = {
    "labels": (OneHotFields, (4, 7, 2, 9)),
    "clock": (partial(AngleFields, period=360, harmonics=2), (0.0, 90.0, 180.0, 270.0)),
}


def encoded(kind):
    """Return a Pipeline with an encoder and arbitrary energies, and the values of a site."""
    encoder, values = ENCODED[kind]
    rng = np.random.default_rng(5)
    X = rng.choice(values, size=(60, 3, 4))
    model = make_pipeline(
        encoder(), EDNNRegressor(KernelRidge(alpha=1e-2), GridTiling(1, (1, 0), channel_axis=-1))
    )
    return model.fit(X, rng.normal(size=60) + np.sum(X == values[1], axis=(1, 2))), values


@pytest.mark.parametrize("moves", ["change", "exchange"])
@pytest.mark.parametrize("kind", ENCODED)
@ways
def test_sites_in_front_of_an_encoder_keep_their_values(kind, moves, max_states):
    """The chain is that of the regressor alone, with labels and angles for channels."""
    model, values = encoded(kind)
    start = np.random.default_rng(6).choice(values, size=(6, 4))
    options = {"moves": moves, "n_replicas": 2, "random_state": 0, "max_states": max_states}
    seen = []
    chain = Metropolis(model, [0.5, 2.0], values=values, **options).run(
        start, 6, observables={"seen": lambda fields: seen.append(fields) or fields[:, 0, 0]}
    )
    channels = model[0].transform(np.array(values).reshape(-1, 1, 1)).reshape(len(values), -1)
    plain = Metropolis(model[-1], [0.5, 2.0], values=channels, **options)
    same = plain.run(model[0].transform(start[None])[0], 6)
    np.testing.assert_allclose(chain.energies, same.energies, atol=1e-9)
    assert chain.fields.shape == (2, 2, 6, 4) and np.isin(chain.fields, values).all()
    assert all(np.isin(fields, values).all() for fields in seen)
    flat = chain.fields.reshape(-1, 6, 4)
    np.testing.assert_allclose(
        model[0].transform(flat), same.fields.reshape(-1, *same.fields.shape[2:]), atol=1e-12
    )
    np.testing.assert_allclose(chain.energies[-1].ravel(), model.predict(flat), atol=1e-9)
    if kind == "labels":
        counts = [[np.sum(field == label) for label in sorted(values)] for field in flat]
        np.testing.assert_array_equal(chain.magnetisations[-1].reshape(-1, len(values)), counts)
        np.testing.assert_allclose(chain.value_sums[-1].ravel(), flat.sum(axis=(1, 2)))
    else:
        assert chain.value_sums is None
    assert same.value_sums is None  # channels
    # A chain goes on from its last fields; values are those of the start if none are given.
    again = Metropolis(model, [0.5, 2.0], **options).run(chain.fields, 2)
    assert np.isin(again.fields, values).all()


def test_what_an_encoder_cannot_take_is_refused():
    model, values = encoded("labels")
    start = np.random.default_rng(6).choice(values, size=(6, 4))
    with pytest.raises(ValueError, match="5, not among the categories"):
        Metropolis(model, values=[4, 5]).run(start, 1)
    with pytest.raises(ValueError, match="not one of the values"):
        Metropolis(model, values=values[:2]).run(start, 1)
    with pytest.raises(TilingError, match=r"2 axes, which OneHotFields encodes.*\(6, 4, 4\)"):
        Metropolis(model, values=values).run(model[0].transform(start[None])[0], 1)
    clock, _ = encoded("clock")
    with pytest.raises(ValueError, match=r"360\.0 and another of the values.*the same channels"):
        Metropolis(clock, values=[0.0, 360.0, 90.0]).run(np.zeros((6, 6)), 1)
    X = np.random.default_rng(0).normal(size=(20, 3, 4))
    whole = make_pipeline(
        IntensiveContext(channel_axis=None), EDNNRegressor(tiling=GridTiling(1, 1, channel_axis=-1))
    ).fit(X, X.sum(axis=(1, 2)))
    with pytest.raises(TileModelError, match=r"this one has IntensiveContext\. Pass its last step"):
        Metropolis(whole, values=[-1, 1]).run(np.ones((6, 6)), 1)
    with pytest.raises(TileModelError, match=r"model\[-1\], and fields and values"):
        LocalUpdates(whole, np.ones((6, 6)))
