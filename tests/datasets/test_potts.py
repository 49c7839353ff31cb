"""Potts systems against enumeration, and against Ising systems where they are the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import chisquare

from sk_ednn.datasets import ising_energy, make_potts, potts_energy


def all_fields(n_states, shape):
    n = int(np.prod(shape))
    return (np.arange(n_states**n)[:, None] // n_states ** np.arange(n) % n_states).reshape(
        -1, *shape
    )


def plain_energy(fields, couplings=1.0):
    axes = range(1, fields.ndim)
    couplings = np.broadcast_to(couplings, fields.ndim - 1)
    return -sum(
        J * (fields == np.roll(fields, 1, axis)).sum(axis=tuple(axes))
        for J, axis in zip(couplings, axes, strict=True)
    )


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_energies_are_sums_over_pairs(shape, seed):
    rng = np.random.default_rng(seed)
    fields = rng.integers(4, size=(3, *shape), dtype=np.uint8)
    couplings = rng.normal(size=len(shape))
    np.testing.assert_allclose(
        potts_energy(fields, couplings), plain_energy(fields, couplings), atol=1e-9
    )
    assert potts_energy(list(fields)).tolist() == plain_energy(fields).tolist()


def test_two_states_are_ising_spins(rng):
    spins = rng.choice([-1, 1], size=(5, 6, 7))
    assert np.array_equal(ising_energy(spins), 2 * potts_energy(spins) + 2 * 42)


def test_states_are_integers():
    with pytest.raises(ValueError, match=r"states as integers. Got dtype float64"):
        potts_energy(np.zeros((1, 4, 4)))


@pytest.mark.parametrize(
    ("n_states", "shape", "couplings", "temperature"),
    [
        (3, (2, 3), 1.0, 1.0),
        (2, (3, 3), 1.0, 1.0),
        (4, (5,), 1.0, 0.6),
        (3, (5,), -1.0, 0.5),
        (3, (2, 3), (1.0, -0.6), 0.8),
        (2, (2, 2, 2), 1.0, 2.0),
        (5, (4,), 1.0, np.inf),
    ],
)
def test_every_state_has_its_boltzmann_weight(n_states, shape, couplings, temperature):
    data = make_potts(
        n_states,
        20_000,
        shape,
        couplings=couplings,
        temperature=temperature,
        random_state=0,
    )
    fields = all_fields(n_states, shape)
    log_weight = -plain_energy(fields, couplings) / temperature
    probability = np.exp(log_weight - logsumexp(log_weight))
    flat = data.fields.reshape(len(data.fields), -1)
    counts = np.bincount(flat @ n_states ** np.arange(flat.shape[1]), minlength=len(fields))
    # Rare states together, so that chi-squared holds.
    rare = probability * len(flat) < 10
    observed, expected = counts[~rare], probability[~rare] * len(flat)
    if rare.any():
        observed = np.append(observed, counts[rare].sum())
        expected = np.append(expected, probability[rare].sum() * len(flat))
    assert len(observed) > 3
    assert chisquare(observed, expected).pvalue > 1e-4


@pytest.mark.parametrize(("n_states", "highest"), [(2, 0), (3, 0), (8, 0)])
def test_energies_are_flat_from_end_to_end(n_states, highest):
    data = make_potts(n_states, 2_000, (4, 4), sampling="flat", random_state=0)
    energies, counts = np.unique(data.energies, return_counts=True)
    assert (energies[0], energies[-1]) == (-32, highest)
    assert counts.max() <= 1.02 * counts.mean() + 1
    assert counts.min() > 0.9 * counts.mean()


def test_fields_and_what_is_counted_on_them():
    data = make_potts(5, 40, (4, 6), couplings=(0.5, 2.0), random_state=0)
    assert data.fields.shape == (40, 4, 6)
    assert data.fields.dtype == np.uint8
    assert np.array_equal(np.unique(data.fields), np.arange(5))
    assert np.array_equal(data.energies, potts_energy(data.fields, (0.5, 2.0)))
    assert np.array_equal(
        data.populations, [np.bincount(f.ravel(), minlength=5) for f in data.fields]
    )
    X, y = make_potts(5, 40, (4, 6), couplings=(0.5, 2.0), random_state=0, return_X_y=True)
    assert np.array_equal(X, data.fields)
    assert np.array_equal(y, data.energies)


@pytest.mark.parametrize("n_states", [1, 257, 2.5])
def test_the_number_of_states_is_checked(n_states):
    with pytest.raises(ValueError, match="'n_states' parameter of make_potts"):
        make_potts(n_states)
