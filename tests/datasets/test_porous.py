"""Files of porous sheets, many to a file or one."""

import numpy as np
import pytest

from sk_ednn.datasets import load_porous


@pytest.fixture
def stored(rng):
    return {
        "positions": rng.random((9, 2), dtype=np.float32) * 35,
        "forces": rng.normal(size=(9, 2)).astype(np.float32),
        "offsets": np.array([0, 4, 9]),
        "energy": np.array([-29.0, -36.5]),
        "cell": np.array([[35.0, 35.0, 20.0]] * 2),
        "sheet": np.array([3, 3]),
        "snapshot": np.array([0, 1], dtype=np.int16),
        "nholes": np.array([2, 2]),
    }


def write(folder, arrays):
    path = folder / "porous.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(("cells", "sizes"), [("small", {35.0}), ("large", {70.0, 175.0, 525.0})])
def test_the_bundled_sheets(cells, sizes):
    data = load_porous(cells=cells)
    assert set(data.cells[:, 0]) == set(data.cells[:, 1]) == sizes
    assert len(np.unique(data.groups)) == len(data.energies) == len(data.structures)
    n_atoms = np.array([len(Z) for Z in data.numbers])
    for structure in data.structures:
        assert (structure.positions >= 0).all() and (structure.positions < structure.cell[:2]).all()
    # Sites of the lattice, less the holes; and the energy of REBO for an atom of hot graphene.
    sites = 448 / 35**2 * data.cells[:, 0] * data.cells[:, 1]
    assert (n_atoms <= np.rint(sites)).all() and (n_atoms > 0.8 * sites).all()
    assert (np.abs(data.energies / n_atoms + 7.15) < 0.2).all()
    if cells == "small":
        # Nothing pulls on a whole sheet.
        net = np.array([force.astype(float).sum(axis=0) for force in data.forces])
        assert np.abs(net).max() < 1e-3
    assert data.DESCR.startswith("Porous graphene")


def test_cells_are_chosen_of_the_bundled_sheets_only(stored, tmp_path):
    with pytest.raises(ValueError, match=r"does not apply to the file "):
        load_porous(write(tmp_path, stored), cells="large")


def test_many_structures(stored, tmp_path):
    data = load_porous(write(tmp_path, stored))
    assert [len(Z) for Z in data.numbers] == [4, 5]
    assert all((Z == 6).all() for Z in data.numbers)
    assert np.array_equal(np.concatenate(data.positions), stored["positions"])
    assert np.array_equal(data.forces[1], stored["forces"][4:])
    assert data.energies.tolist() == [-29.0, -36.5]
    assert data.groups.tolist() == [3, 3]
    assert data.snapshots.tolist() == [0, 1]
    assert data.n_holes.tolist() == [2, 2]
    assert np.array_equal(data.structures[1].positions, stored["positions"][4:])
    assert data.structures[1].cell.tolist() == [35.0, 35.0, 20.0]


def test_one_structure_with_less_said_about_it(stored, tmp_path):
    arrays = {"positions": stored["positions"], "energy": -65.5, "cell": stored["cell"][0]}
    data = load_porous(str(write(tmp_path, arrays)))
    assert [len(Z) for Z in data.numbers] == [9]
    assert data.energies.tolist() == [-65.5]
    assert data.cells.shape == (1, 3)
    assert data.groups.tolist() == [0]
    assert data.forces is data.snapshots is data.n_holes is None


def test_returned_as_X_and_y(stored, tmp_path):
    X, y = load_porous(write(tmp_path, stored), return_X_y=True)
    assert len(X[0].numbers) == 4
    assert y.tolist() == [-29.0, -36.5]


def test_as_ase_atoms(stored, tmp_path):
    pytest.importorskip("ase")
    X, _ = load_porous(write(tmp_path, stored), as_ase=True, return_X_y=True)
    assert [atoms.get_chemical_formula() for atoms in X] == ["C4", "C5"]


def test_files_of_something_else(stored, tmp_path):
    del stored["cell"]
    with pytest.raises(ValueError, match=r"lacks cell; it has energy, forces, nholes"):
        load_porous(write(tmp_path, stored))


@pytest.mark.parametrize("name", ["energy", "cell", "offsets", "positions"])
def test_arrays_that_do_not_fit_together(name, stored, tmp_path):
    stored[name] = stored[name][:-1]
    with pytest.raises(ValueError, match="do not fit together"):
        load_porous(write(tmp_path, stored))


def test_nothing_is_unpickled(stored, tmp_path):
    stored["sheet"] = np.array([{}, {}], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_porous(write(tmp_path, stored))
