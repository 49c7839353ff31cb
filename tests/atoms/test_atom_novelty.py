"""The coordinates in which the novelty of atoms is measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn.atoms._atom_novelty import _widest_directions


@given(
    n=st.integers(1, 12), width=st.integers(1, 12), rank=st.integers(1, 12),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_widest_directions_are_those_of_a_singular_value_decomposition(n, width, rank, seed):
    rng = np.random.default_rng(seed)
    rank = min(rank, n, width)
    left, _ = np.linalg.qr(rng.normal(size=(n, rank)))
    right, _ = np.linalg.qr(rng.normal(size=(width, rank)))
    rows = (left * 2.0 ** -np.arange(rank)) @ right.T
    k = min(4, n, width)
    spreads, directions = _widest_directions(rows, k)
    assert directions.shape == (k, width)
    assert directions @ directions.T == pytest.approx(np.eye(k), abs=1e-8)
    expected = np.zeros(k)
    expected[: min(k, rank)] = 2.0 ** -np.arange(min(k, rank)) / np.sqrt(n)
    assert spreads == pytest.approx(expected, abs=1e-7)
    for j in range(min(k, rank)):
        assert abs(directions[j] @ right[:, j]) == pytest.approx(1.0, abs=1e-6)
