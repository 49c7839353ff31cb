"""Structures that are unlike the others are selected, whatever way they are written down."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("ase")
pytest.importorskip("vesin")

from ase import Atoms
from ase.build import bulk

from sk_ednn.atoms import select_structures
from sk_ednn.atoms._selection import _fingerprints, selection
from sk_ednn.structures import Structures


def crystals(n, seed=0):
    """Return alloys of different size, composition and strain, with moved atoms."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(n):
        atoms = bulk("Cu", cubic=True).repeat(rng.integers(1, 3, 3))
        atoms.numbers = rng.choice([29, 47], len(atoms), p=(share := rng.random(), 1 - share))
        atoms.set_cell(atoms.cell.array * rng.uniform(0.9, 1.1), scale_atoms=True)
        atoms.positions += rng.normal(0, rng.uniform(0.01, 0.2), (len(atoms), 3))
        out.append(atoms)
    return out


def written_otherwise(atoms, rng):
    """Return the same structure: turned, shifted, repeated, with its atoms in another order."""
    other = atoms.repeat(rng.permutation([1, 1, 2]))
    other.positions += rng.normal(size=3)
    other.rotate(rng.uniform(0, 360), rng.normal(size=3), rotate_cell=True)
    return other[rng.permutation(len(other))]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_the_same_structure_written_otherwise_is_the_same(seed):
    rng = np.random.default_rng(seed)
    pool, known = crystals(12, seed), crystals(4, seed + 1)
    chosen = selection(pool, 5, known=known, unlike=1.0, cutoff=4.0)
    others = [written_otherwise(atoms, rng) for atoms in pool]
    again = selection(others, 5, known=known, unlike=1.0, cutoff=4.0)
    np.testing.assert_array_equal(again.indices, chosen.indices)
    np.testing.assert_allclose(again.distances, chosen.distances, rtol=1e-5)
    # What is known is not chosen while anything else is left.
    more = selection(others, 12, known=[*known, *pool[:3]], unlike=1.0, cutoff=4.0)
    assert set(more.indices[-3:].tolist()) == {0, 1, 2}
    assert (more.distances[-3:] < 1e-4).all() and (more.distances[:-3] > 1e-2).all()
    assert more.left == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_no_choice_covers_the_pool_twice_as_well(seed, n):
    """The bound of Gonzalez (1985), against random choices and the best of all pairs."""
    pool = crystals(16, seed)
    rng = np.random.default_rng(seed)
    points = _fingerprints(Structures.of(pool), 4.0)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)

    def radius(rows):
        return apart[:, rows].min(axis=1).max()

    chosen = selection(pool, n, unlike=1.0, cutoff=4.0)
    np.testing.assert_allclose(radius(chosen.indices), chosen.left, atol=1e-9)
    assert len(set(chosen.indices.tolist())) == n
    for _ in range(200):
        assert chosen.left <= 2 * radius(rng.choice(16, n, replace=False)) + 1e-9
    if n == 2:
        best = min(radius([i, j]) for i in range(16) for j in range(i))
        assert chosen.left <= 2 * best + 1e-9


@pytest.mark.parametrize("unlike", [0.0, 0.3, 1.0])
def test_the_part_at_random_is_drawn_first_and_again(unlike):
    pool = crystals(30)
    chosen = select_structures(pool, 10, unlike=unlike, random_state=3)
    np.testing.assert_array_equal(
        chosen, select_structures(Structures.of(pool), 10, unlike=unlike, random_state=3)
    )
    random = np.random.RandomState(3).permutation(30)[: 10 - round(10 * unlike)]
    np.testing.assert_array_equal(chosen[: len(random)], random)
    assert len(set(chosen.tolist())) == 10


@pytest.mark.parametrize("seed", range(3))
def test_the_few_unlike_ones_are_found_among_many(seed):
    pool = crystals(60, seed)
    odd = {
        7: Atoms("Cu2", [[0, 0, 0], [0, 0, 1.6]], pbc=False),  # close
        20: Atoms("Cu", [[0, 0, 0]], pbc=False),  # alone
        33: bulk("Cu", "sc", a=2.0).repeat(2),  # compressed
    }
    for k, atoms in odd.items():
        pool[k] = atoms
    # A single atom of many in a strange place is unlike the others, too.
    pool[50] = bulk("Cu", cubic=True).repeat(3)
    pool[50].positions[5] += [1.1, 0, 0]
    chosen = select_structures(pool, 12, unlike=0.75, random_state=seed)
    chosen = set(chosen.tolist())
    assert {33, 50} <= chosen
    assert {7, 20} & chosen  # which are like each other: atoms with hardly any neighbours


def test_batches_of_atoms_change_nothing(monkeypatch):
    from sk_ednn.atoms import _selection

    structures = Structures.of(crystals(9))
    points = _fingerprints(structures, 4.0)
    monkeypatch.setattr(_selection, "_AT_ONCE", 10)
    np.testing.assert_allclose(
        np.abs(_fingerprints(structures, 4.0)), np.abs(points), rtol=1e-6, atol=1e-6
    )


def test_equal_structures_are_chosen_once_each():
    pool = [bulk("Cu", cubic=True)] * 5
    assert sorted(select_structures(pool, 5, unlike=1.0).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n must be a positive number of structures; got 0"),
        ({"n": 2.0}, "n must be a positive number of structures; got 2.0"),
        ({"n": True}, "n must be a positive number"),
        ({"n": 7}, "There are 6 structures, of which 7 cannot be chosen"),
        ({"unlike": 1.1}, "unlike must be a share between 0 and 1; got 1.1"),
        ({"unlike": np.nan}, "unlike must be a share between 0 and 1; got nan"),
        ({"unlike": "all"}, "unlike must be a share"),
        ({"cutoff": 0.0}, "cutoff must be a positive length in Å; got 0.0"),
        ({"cutoff": np.inf}, "cutoff must be a positive length"),
    ],
)
def test_what_cannot_be_chosen_is_refused(change, message):
    arguments = {"n": 3} | change
    with pytest.raises(ValueError, match=message):
        select_structures(crystals(6), **arguments)
