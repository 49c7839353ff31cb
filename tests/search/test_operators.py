"""Operators make structures of the given composition, whose atoms keep their distance."""

import numpy as np
import pytest

pytest.importorskip("ase_ga")
from sk_ednn.search._ase_ga import Operators, numbers_of
from sk_ednn.search._label import Sanity, volume_per_atom


@pytest.mark.parametrize("kind", ["crystal", "cluster"])
def test_children_are_sane_and_follow_from_the_seed(kind):
    operators = Operators(numbers_of("Cu4Au4"), kind)
    rng = np.random.RandomState(0)
    parents = [operators.make("start", [], rng) for _ in range(2)]
    assert ("strain" in operators.names) == (kind == "crystal")
    for name in ("start", *operators.names):
        given = parents[: operators.n_parents(name)]
        child, same = (operators.make(name, given, np.random.RandomState(3)) for _ in range(2))
        assert child.numbers.tolist() == [29] * 4 + [79] * 4
        assert Sanity(min_distance=1.5).fault_of_structure(child) is None
        np.testing.assert_array_equal(child.positions, same.positions)
        assert child.pbc.all() == (kind == "crystal")


def test_random_cells_have_the_volume_asked_for():
    operators = Operators(numbers_of({"Si": 8}), "crystal", volume=20.0)
    volumes = [
        volume_per_atom(operators.make("start", [], np.random.RandomState(k))) for k in range(5)
    ]
    assert 0.69 * 20 < min(volumes) and max(volumes) < 1.31 * 20
    assert "permutation" not in operators.names


def test_numbers_of_formulas():
    assert numbers_of("SiC").tolist() == numbers_of({"C": 1, "Si": 1}).tolist() == [6, 14]
