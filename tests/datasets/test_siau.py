"""The bundled structures of silicon and gold: whole, and consistent with one another."""

import numpy as np
import pytest

from sk_ednn.datasets import load_siau

# Sums over every number stored: a changed file does not go unnoticed.
CHECK = {
    "small": [961322.491752, 195821.643768, -253419.252818, 357.735618],
    "large": [100909.697504, 8303.541386, -12953.755208, 1.758275],
}


@pytest.mark.parametrize(("cells", "n", "n_atoms"), [("small", 2000, 67_710), ("large", 10, 3446)])
def test_all_structures_are_there(cells, n, n_atoms):
    siau = load_siau(cells=cells)
    assert len(siau.structures) == len(siau.energies) == len(siau.stress) == n
    assert sum(map(len, siau.numbers)) == n_atoms
    result = [
        np.abs(np.concatenate(siau.positions)).sum(dtype=float),
        np.abs(np.concatenate(siau.forces)).sum(dtype=float),
        siau.energies.sum(), np.abs(siau.stress).sum(),
    ]  # fmt: skip
    assert result == pytest.approx(CHECK[cells], rel=1e-6)
    assert set(np.concatenate(siau.numbers).tolist()) == {14, 79}


def test_kinds_and_parents():
    siau = load_siau()
    counts = np.bincount(siau.kinds)
    assert counts.tolist() == [246, 216, 344, 283, 472, 439]
    assert siau.kind_names[5] == "liquid" and "synthetic teacher" in siau.DESCR
    # Structures of one parent are of one kind and one list of atoms.
    for parent in np.unique(siau.parents)[::40]:
        ks = np.flatnonzero(siau.parents == parent)
        assert len({siau.kinds[k] for k in ks}) == len({len(siau.numbers[k]) for k in ks}) == 1


def test_forces_balance_and_cells_hold_their_atoms_apart():
    siau = load_siau()
    for k in range(0, 2000, 97):
        np.testing.assert_allclose(siau.forces[k].sum(axis=0, dtype=float), 0.0, atol=1e-4)
        assert np.linalg.det(siau.cells[k]) > 0 and np.triu(siau.cells[k], 1).max() == 0


def test_as_ase_they_carry_their_labels():
    pytest.importorskip("ase")
    siau = load_siau(cells="large", as_ase=True)
    for k, atoms in enumerate(siau.structures):
        assert atoms.get_potential_energy() == siau.energies[k] and atoms.pbc.all()
        np.testing.assert_array_equal(atoms.get_forces(), siau.forces[k])
        np.testing.assert_array_equal(atoms.get_stress(), siau.stress[k])
    structures, energies = load_siau(cells="large", return_X_y=True)
    assert structures[0].cell.shape == (3, 3) and energies.shape == (10,)
