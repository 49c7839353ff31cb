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
    assert numbers_of("(TiO2)2").tolist() == [8, 8, 8, 8, 22, 22]
    assert numbers_of("Ti4O8C0").tolist() == numbers_of({"O": 8, "Ti": np.int64(4)}).tolist()


@pytest.mark.parametrize(
    "composition",
    ["", "Si0", "8", "Si999999999", "H" * 10_001, {}, {"Si": 0}, {"Si": -2, "O": 4}, "X", "X2",
     "Xx3", "si8", "Si-1", "Si1.5", "Si 8", " ", None, 3, {"Si": 2.0}, {"Si": "2"}, {None: 2},
     ["Si"]],
    ids=lambda composition: repr(composition)[:20],
)  # fmt: skip
def test_compositions_without_atoms_or_with_too_many_are_rejected(composition):
    with pytest.raises(ValueError, match=r"Expected a (formula, such as|composition of 1 to)"):
        numbers_of(composition)
