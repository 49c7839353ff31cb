"""Structures of a fit are recognised, and so are those that are nearly equal to others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ase")
pytest.importorskip("vesin")

from ase import Atoms, io
from ase.build import bulk
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor
from sk_ednn.atoms import EDNNPotential
from sk_ednn.atoms._known_structures import digests_of
from sk_ednn.atoms._near_duplicates import NEAR, near_duplicates
from sk_ednn.descriptors import PowerSpectrum
from sk_ednn.files import load, save
from sk_ednn.structures import Structures
from sk_ednn.tiling import AtomTiling
from tests._labelled import labelled_atoms


@given(st.integers(0, 10_000), st.sampled_from(["number", "position", "cell", "pbc", "nothing"]))
def test_a_digest_changes_with_the_structure_alone(seed, what):
    rng = np.random.default_rng(seed)
    atoms = Atoms("SiAu3", rng.normal(size=(4, 3)) * 5, cell=rng.normal(size=(3, 3)) * 9, pbc=True)
    other = atoms.copy()
    k = rng.integers(4)
    if what == "number":
        other.numbers[k] += 1
    elif what == "position":
        other.positions[k, rng.integers(3)] += rng.choice([-0.01, 0.01])
    elif what == "cell":
        other.cell[rng.integers(3), rng.integers(3)] += 0.01
    elif what == "pbc":
        other.pbc[rng.integers(3)] = False
    first, second = digests_of(Structures.of([atoms, other]))
    assert (first == second) == (what == "nothing")


def test_a_file_remembers_the_structures_of_the_fit(tmp_path):
    tiling = AtomTiling(PowerSpectrum(cutoff=4.0, n_radial=2, max_l=1))
    train, test = labelled_atoms(6), labelled_atoms(3, seed=7)
    potential = EDNNPotential(EDNNRegressor(Ridge(1e-3), tiling, random_state=0))
    potential.fit(train, stress=False)
    save(potential, tmp_path / "p.ednn")
    digests = load(tmp_path / "p.ednn").digests_
    # The same structures, in a file of fewer digits and in another order.
    io.write(tmp_path / "all.extxyz", [*test, *train[::-1]], columns=["symbols", "positions"])
    read = io.read(tmp_path / "all.extxyz", ":")
    known = np.isin(digests_of(Structures.of(read)), digests)
    assert known.tolist() == [False] * 3 + [True] * 6


def frames(rng, n, size):
    """Return a crystal and structures whose atoms are moved by `size` Å from it, together."""
    crystal = bulk("Cu", cubic=True).repeat((2, 1, 1))
    moves = rng.normal(size=(n, len(crystal), 3))
    moves -= moves.mean(axis=1, keepdims=True)
    moves *= size / np.sqrt((moves**2).sum(axis=2).mean(axis=1))[:, None, None]
    moved = [crystal.copy() for _ in range(n)]
    for atoms, move in zip(moved, moves, strict=True):
        atoms.positions += move
    return crystal, moved


@pytest.mark.parametrize(("size", "expected"), [(0.9 * NEAR, 20), (1.1 * NEAR, 0)])
def test_only_structures_within_the_distance_are_counted(size, expected):
    rng = np.random.default_rng(0)
    crystal, moved = frames(rng, 20, size)
    pairs = [(k, 0) for k in range(expected)]
    assert near_duplicates(moved, [crystal]) == (pairs, 20)
    for atoms in moved:  # shifted as a whole, and wrapped into the cell
        atoms.positions += rng.normal(size=3) * 5
        atoms.wrap()
    assert near_duplicates(moved, [crystal]) == (pairs, 20)


def test_each_structure_is_paired_with_the_nearest_wherever_it_is_among_others(monkeypatch):
    rng = np.random.default_rng(1)
    crystal, moved = frames(rng, 6, 0.4)
    others = [bulk("Au", cubic=True), *moved, crystal, crystal * (2, 1, 1)]
    asked = []
    for k in (4, 0, 2):  # nearer to one of them than to its shaken copy
        others.append(moved[k].copy())
        others[-1].rattle(0.03, seed=k)
        asked.append(moved[k].copy())
        asked[-1].rattle(0.01, seed=k + 10)
    expected = ([(0, 5), (1, 1), (2, 3)], 4)
    for at_once in (1, 1 << 22):  # in as many pieces as there are, and in one
        monkeypatch.setattr("sk_ednn.atoms._near_duplicates._AT_ONCE", at_once)
        assert near_duplicates([*asked, bulk("Pt")], others) == expected


def test_other_atoms_cells_and_boundaries_are_no_duplicates():
    crystal = bulk("Cu", cubic=True)
    strained, alloy, cut, larger = (crystal.copy() for _ in range(4))
    strained.set_cell(1.02 * crystal.cell.array)
    alloy.numbers[1] = 79
    cut.pbc = (True, True, False)
    assert near_duplicates([strained, alloy, cut, larger * (2, 1, 1)], [crystal]) == ([], 4)
    cluster = Atoms("Cu3", [[0, 0, 0], [2.5, 0, 0], [0, 2.5, 0]])
    turned = cluster.copy()
    turned.rotate(90, "x")
    assert near_duplicates([cluster, turned], [crystal, cluster]) == ([(0, 1)], 2)
