"""Forms of structures, and errors for invalid ones."""

import numpy as np
import pytest
from sklearn.utils import Bunch

from sk_ednn.structures import Structure, Structures
from sk_ednn.structures._elements import atomic_number, symbol
from sk_ednn.structures._structure import gather

NUMBERS, POSITIONS, CELL = np.array([5, 7]), np.array([[0.0, 1.0], [2.0, 3.0]]), [4.0, 5.0]


def changed(**parts):
    return [{"numbers": NUMBERS, "positions": POSITIONS, "cell": CELL} | parts]


@pytest.mark.parametrize(
    "form",
    [
        Structure(NUMBERS, POSITIONS, CELL),
        Bunch(numbers=NUMBERS, positions=POSITIONS, cell=CELL),
        {"numbers": [5, 7], "positions": POSITIONS.tolist(), "cell": CELL},
        Structure(NUMBERS, np.pad(POSITIONS, ((0, 0), (0, 1))), np.diag([4, 5, 20.0])),
        Structure(NUMBERS, POSITIONS, np.diag([4.0, 5.0])),
        Structure(NUMBERS, POSITIONS, (4, 5, 20)),
    ],
    ids=["Structure", "Bunch", "dict", "3-D", "vectors", "three edges"],
)
def test_forms_of_one_structure(form):
    atoms = gather([form, form])
    assert atoms.numbers.tolist() == [5, 7, 5, 7]
    assert np.array_equal(atoms.positions, np.tile(POSITIONS, (2, 1)))
    assert atoms.lengths.tolist() == [CELL, CELL]
    assert atoms.owner.tolist() == [0, 0, 1, 1]


def test_ase_atoms():
    ase = pytest.importorskip("ase")
    atoms = ase.Atoms("BN", np.pad(POSITIONS, ((0, 0), (0, 1))), cell=[4, 5, 20], pbc=(1, 1, 0))
    assert gather([atoms]).positions.tolist() == POSITIONS.tolist()
    atoms.pbc = (True, False, False)
    assert gather([atoms]).periodic.tolist() == [[True, False]]
    with pytest.raises(TypeError, match=r"got one Atoms. Put it in a list"):
        gather(atoms)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (changed()[0], TypeError, r"sequence of structures, got one dict. Put it in a list"),
        (Structure(NUMBERS, POSITIONS, CELL), TypeError, "got one Structure. Put it in a list"),
        (Bunch(structures=[]), TypeError, r"got one Bunch. Pass its structures, X.structures"),
        (7, TypeError, "got int instead"),
        ([], ValueError, "at least one structure"),
        ([POSITIONS], TypeError, r"X\[0\] is of type ndarray and has no numbers"),
        (changed(cell=None), TypeError, r"X\[0\] is of type dict and has no numbers, pos"),
        (changed(numbers=[], positions=np.zeros((0, 2))), ValueError, "has no atoms. Leave it out"),
        (changed(numbers=[5.5, 7]), ValueError, "1-D array of integers.*dtype float64"),
        (changed(numbers=[[5, 7]]), ValueError, r"1-D array.*got shape \(1, 2\)"),
        (changed(positions=POSITIONS[:1]), ValueError, r"2 numbers.*\(2, 2\).*got \(1, 2\)"),
        (changed(positions=POSITIONS * np.nan), ValueError, "structure 0, atom 0, is at.*2 such"),
        (changed(numbers=[5, 0]), ValueError, "from 1 to 118, but structure 0, atom 1, has 0"),
        (changed(cell=[4.0]), ValueError, r"edge lengths.*got shape \(1,\)"),
        (changed(cell=[4.0, -5.0]), ValueError, "must be positive and finite"),
        (changed(cell=[[4, 1], [8, 2]]), ValueError, "not parallel.*Set a cell"),
        (changed(cell=np.zeros((3, 3))), ValueError, r"must be positive.*center\(vacuum=...\)"),
        (changed(cell=np.diag([4, 5, 20]) + np.eye(3, k=2)), ValueError, "be in the plane xy"),
        (changed(cell=np.diag([4, 5, 20]) + np.eye(3, k=-2)), ValueError, "normal to the plane xy"),
        (changed(pbc=[True] * 4), ValueError, "one for each of x, y and z"),
        (changed(positions=POSITIONS * 0), ValueError, "Structure 0, atom 0, and atom 1 of it"),
    ],
)
def test_invalid_structures(X, error, message):
    with pytest.raises(error, match=message):
        gather(X)


def test_errors_count_atoms_within_their_structure():
    wrong = changed(positions=np.array([[0.0, 0.0], [np.inf, 0.0]]))
    with pytest.raises(ValueError, match="structure 2, atom 1, is at"):
        gather(changed() + changed() + wrong)


@pytest.mark.parametrize(("species", "number"), [("H", 1), ("C", 6), ("Og", 118), (7, 7)])
def test_atomic_numbers(species, number):
    assert atomic_number(species) == number
    assert atomic_number(symbol(number)) == number


@pytest.mark.parametrize("species", ["carbon", "c", 0, 119, 6.0, None])
def test_unknown_elements(species):
    with pytest.raises(ValueError, match="chemical symbol such as 'C'"):
        atomic_number(species)


@pytest.mark.parametrize("pack", [lambda X: gather(X, "xyz"), Structures.of])
@pytest.mark.parametrize("sites", [{"0": {"B": 0.6, "N": 0.4}}, {"0": {"B": 1}, "1": {"N": 0.5}}])
def test_sites_that_are_occupied_in_part_are_refused(pack, sites):
    """A reader keeps one whole atom of the most frequent species in their place."""
    ase = pytest.importorskip("ase")
    atoms = ase.Atoms("BN", [[0, 0, 0], [1, 1, 1]], cell=[4, 4, 4], pbc=True)
    whole = atoms.copy()
    whole.info["occupancy"] = {"0": {"B": 1}, "1": {"N": 0.999}}
    pack([atoms, whole])
    atoms.info["occupancy"] = sites
    with pytest.raises(ValueError, match="Structure 1 has sites that are occupied in part"):
        pack([whole, atoms])


@pytest.mark.parametrize("pack", [lambda X: gather(X, "xyz"), Structures.of])
@pytest.mark.parametrize("part", ["numbers", "positions", "cell"])
def test_masked_entries_of_structures_are_refused_in_lists_too(pack, part):
    parts = {"numbers": [5, 7], "positions": np.eye(3)[:2], "cell": np.eye(3) * 4, "pbc": True}
    pack([{**parts, part: np.ma.array(parts[part])}])
    masked = list(np.ma.masked_equal(parts[part], np.max(parts[part])))
    with pytest.raises(ValueError, match="masked"):
        pack([{**parts, part: masked}])
