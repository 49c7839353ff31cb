"""Ising systems against enumeration and the exact solution of the finite lattice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import chisquare

from sk_ednn.datasets import ising_energy, make_ising


def all_fields(shape):
    n = int(np.prod(shape))
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    return (1 - 2 * bits).reshape(-1, *shape)


def plain_energy(fields, couplings):
    axes = range(1, fields.ndim)
    couplings = np.broadcast_to(couplings, fields.ndim - 1)
    return -sum(
        J * (fields * np.roll(fields, 1, axis)).sum(axis=tuple(axes))
        for J, axis in zip(couplings, axes, strict=True)
    )


def code(fields):
    """The index of each field in `all_fields`."""
    flat = fields.reshape(len(fields), -1) < 0
    return flat @ (1 << np.arange(flat.shape[1]))


def assert_distributed_as(counts, probability):
    """Chi-squared, with outcomes expected fewer than ten times put together."""
    order = np.argsort(probability)
    group = np.cumsum(probability[order] * counts.sum()) // 10
    observed = np.bincount(np.unique(group, return_inverse=True)[1], counts[order])
    expected = np.bincount(np.unique(group, return_inverse=True)[1], probability[order])
    if expected[-1] * counts.sum() < 10:
        observed, expected = (np.append(a[:-2], a[-2:].sum()) for a in (observed, expected))
    assert len(observed) > 3
    # Seeds are fixed: this fails for one seed in ten thousand, or if something is wrong.
    assert chisquare(observed, expected / expected.sum() * counts.sum()).pvalue > 1e-4


def exact_energy(length, temperature):
    """Mean energy of a square lattice with periodic boundaries (Kaufman 1949)."""

    def log_partition(beta):
        r = np.arange(2 * length)
        cosh = np.cosh(2 * beta) ** 2 / np.sinh(2 * beta) - np.cos(np.pi * r / length)
        gamma = np.arccosh(np.maximum(cosh, 1))
        gamma[0] = 2 * beta + np.log(np.tanh(beta))
        terms, signs = [], []
        for half in (gamma[1::2] * length / 2, gamma[::2] * length / 2):
            terms += [
                np.logaddexp(half, -half).sum(),
                (abs(half) + np.log1p(-np.exp(-2 * abs(half)))).sum(),
            ]
            signs += [1, np.prod(np.sign(half))]
        return length**2 / 2 * np.log(2 * np.sinh(2 * beta)) + logsumexp(terms, b=signs)

    beta, step = 1 / temperature, 1e-5
    return -(log_partition(beta + step) - log_partition(beta - step)) / (2 * step)


# ---------------------------------------------------------------------------------------- energies


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
    st.floats(-2, 2, allow_subnormal=False),
)
def test_energies_are_sums_over_pairs(shape, seed, coupling):
    rng = np.random.default_rng(seed)
    fields = rng.choice([-1, 1], size=(3, *shape))
    for couplings in (coupling, rng.normal(size=len(shape))):
        expected = plain_energy(fields, couplings)
        np.testing.assert_allclose(ising_energy(fields, couplings), expected, atol=1e-9)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_energies_are_extensive(a, b, seed):
    fields = np.random.default_rng(seed).choice([-1, 1], size=(2, 3, 5))
    tiled = np.tile(fields, (1, a, b))
    assert np.array_equal(ising_energy(tiled), a * b * ising_energy(fields))


def test_large_and_ragged_fields(rng):
    fields = [rng.choice([-1, 1], size=shape).astype(np.int8) for shape in ((512, 512), (7, 30))]
    expected = [plain_energy(f[None].astype(int), 1.0)[0] for f in fields]
    assert ising_energy(fields).tolist() == expected
    assert ising_energy(fields[0][None].astype(float)).tolist() == expected[:1]


@pytest.mark.parametrize(
    ("fields", "couplings", "message"),
    [
        (np.zeros((1, 4, 4)), 1.0, "Expected spins of -1 and 1. Got 0.0"),
        (np.full((1, 4, 4), np.nan), 1.0, "Got nan"),
        (np.ones(4), 1.0, r"Got shape \(4,\); write field\[None\]"),
        (np.ones((0, 4)), 1.0, "none empty"),
        ([], 1.0, "at least one field"),
        (np.ones((1, 4, 4)), [1.0, 2.0, 3.0], "one for each of the 2 axes"),
    ],
)
def test_energies_of_what_is_no_ising_field(fields, couplings, message):
    with pytest.raises(ValueError, match=message):
        ising_energy(fields, couplings)


# ---------------------------------------------------------------------------------------- sampling


@pytest.mark.parametrize(
    ("shape", "couplings", "temperature"),
    [
        ((3, 3), 1.0, 2.3),
        ((3, 3), 1.0, np.inf),
        ((3, 3), -1.0, 1.5),
        ((2, 4), (1.0, -0.4), 2.0),
        ((3, 3), (0.7, -1.1), 1.2),
        ((9,), 1.0, 1.0),
        ((2, 2, 2), 1.0, 7.0),
        ((2, 2, 2), (1.0, -0.5, 0.3), 3.0),
        ((4, 2), (1.0, 0.0), 1.0),
    ],
)
def test_every_state_has_its_boltzmann_weight(shape, couplings, temperature):
    data = make_ising(30_000, shape, couplings=couplings, temperature=temperature, random_state=3)
    log_weight = -plain_energy(all_fields(shape), couplings) / temperature
    counts = np.bincount(code(data.fields), minlength=len(log_weight))
    assert_distributed_as(counts, np.exp(log_weight - logsumexp(log_weight)))


@pytest.mark.parametrize("temperature", [1.2, 2.0, 2.269, 2.6, 4.0])
def test_energies_of_8_by_8_are_those_of_the_exact_solution(temperature):
    energies = make_ising(8_000, temperature=temperature, random_state=1).energies
    error = energies.std() / np.sqrt(len(energies))
    assert abs(energies.mean() - exact_energy(8, temperature)) < 4 * error


def test_the_exact_solution_is_that_of_enumeration():
    energies = plain_energy(all_fields((4, 4)), 1.0)
    weights = np.exp(-energies / 2.5)
    assert exact_energy(4, 2.5) == pytest.approx(energies @ weights / weights.sum(), rel=1e-7)


def test_no_magnetisation_is_favoured():
    data = make_ising(4_000, temperature=1.0, random_state=0)
    up = np.count_nonzero(data.magnetisation > 0)
    assert abs(up - 2_000) < 4 * np.sqrt(1_000)
    assert np.abs(data.magnetisation).mean() > 63


def test_temperatures_are_uniform_and_samples_belong_to_theirs():
    data = make_ising(4_000, temperature=(1.0, 5.0), random_state=0)
    assert data.temperatures.min() >= 1
    assert data.temperatures.max() <= 5
    assert abs(data.temperatures.mean() - 3) < 4 * np.sqrt(16 / 12 / 4_000)
    for low in (1, 2, 3, 4):
        some = (data.temperatures >= low) & (data.temperatures < low + 1)
        exact = np.mean([exact_energy(8, t) for t in data.temperatures[some][:200]])
        error = data.energies[some].std() / np.sqrt(200)
        assert abs(data.energies[some].mean() - exact) < 4 * error


# -------------------------------------------------------------------------------------------- flat


@pytest.mark.parametrize(
    ("shape", "couplings", "lowest", "highest"),
    [
        ((6, 6), 1.0, -72, 72),
        ((6, 6), -0.5, -36, 36),
        ((12,), 1.0, -12, 12),
        ((5, 4), 1.0, -40, 32),  # rings of five spins leave four pairs alike
        ((2, 4, 2), 1.0, -48, 48),
        ((4, 4), (1.0, 0.5), -24, 24),
    ],
)
def test_energies_are_flat_from_end_to_end(shape, couplings, lowest, highest):
    data = make_ising(4_000, shape, sampling="flat", couplings=couplings, random_state=0)
    energies, counts = np.unique(data.energies, return_counts=True)
    assert (energies[0], energies[-1]) == (lowest, highest)
    assert counts.max() <= 1.02 * counts.mean() + 1
    assert counts.min() > 0.9 * counts.mean()


def test_states_of_one_energy_are_equally_likely():
    data = make_ising(20_000, (3, 3), sampling="flat", random_state=0)
    energies = plain_energy(all_fields((3, 3)), 1.0)
    for energy in np.unique(energies):
        states = np.flatnonzero(energies == energy)
        counts = np.bincount(code(data.fields), minlength=512)[states]
        assert chisquare(counts).pvalue > 1e-4


def test_flat_on_more_energies_than_samples():
    data = make_ising(64, (24, 24), sampling="flat", n_sweeps=60, random_state=0)
    counts, _ = np.histogram(data.energies, bins=8, range=(-1152, 1152))
    assert counts.min() >= 6
    assert (data.temperatures < 0).any()


# ------------------------------------------------------------------------------------- what returns


@pytest.mark.parametrize("sampling", ["boltzmann", "flat"])
@pytest.mark.parametrize("shape", [6, (4, 5), (2, 3, 4)])
def test_fields_and_what_is_counted_on_them(shape, sampling):
    couplings = np.arange(1, np.size(shape) + 1) / 4
    data = make_ising(50, shape, couplings=couplings, sampling=sampling, n_sweeps=5, random_state=0)
    assert data.fields.shape == (50, *np.atleast_1d(shape))
    assert data.fields.dtype == np.int8
    assert set(np.unique(data.fields)) == {-1, 1}
    assert np.array_equal(data.energies, ising_energy(data.fields, couplings))
    assert np.array_equal(data.magnetisation, data.fields.reshape(50, -1).sum(axis=1))
    n_sites = data.fields[0].size
    assert np.allclose(data.energies, (n_sites - 2 * data.pair_counts) @ couplings)
    assert data.temperatures.shape == (50,)
    X, y = make_ising(
        50,
        shape,
        couplings=couplings,
        sampling=sampling,
        n_sweeps=5,
        random_state=np.random.RandomState(0),
        return_X_y=True,
    )
    assert np.array_equal(X, data.fields)
    assert np.array_equal(y, data.energies)


def test_random_state_decides():
    one, other = (make_ising(20, random_state=seed).fields for seed in (0, 1))
    assert not np.array_equal(one, other)
    assert len(np.unique(one, axis=0)) > 15


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 0}, "'n_samples' parameter of make_ising"),
        ({"shape": (8, 1)}, "'shape' parameter must be 1 to 3 lengths"),
        ({"temperature": -1.0}, "'temperature' parameter"),
        ({"temperature": (3.0, 1.0)}, "positive number or a pair"),
        ({"temperature": (1.0, np.inf)}, "no uniform distribution up to inf"),
        ({"temperature": 2.0, "sampling": "flat"}, "'temperature' must be None. Got 2.0"),
        ({"sampling": "wolff"}, "'sampling' parameter of make_ising"),
        ({"couplings": (1.0, 2.0, 3.0)}, "one for each of the 2 axes"),
        ({"couplings": np.nan}, "finite number"),
        ({"n_sweeps": 0}, "'n_sweeps' parameter of make_ising"),
    ],
)
def test_parameters_are_checked(params, message):
    with pytest.raises(ValueError, match=message):
        make_ising(**params)
