from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn.structures import Structures
from sk_ednn.structures._structure import gather

ase = pytest.importorskip("ase")
pytest.importorskip("ase.build")


def water(**changes):
    return {
        "numbers": [8, 1, 1],
        "positions": [[0, 0, 0.1], [0, 0.8, -0.5], [0, -0.8, -0.5]],
        "cell": None,
        "pbc": False,
        **changes,
    }


TILTED = np.array([[4.0, 0, 0], [1.5, 3.5, 0], [-1.0, 0.5, 5.0]])


def test_atoms_are_packed_end_to_end():
    copper = ase.Atoms("Cu", cell=np.eye(3) * 3, pbc=[True, False, True])
    batch = Structures.of([water(), copper, SimpleNamespace(**water(cell=[5, 6, 7], pbc=True))])
    assert len(batch) == 3 and batch.n_atoms == 7
    assert batch.numbers.tolist() == [8, 1, 1, 29, 8, 1, 1]
    assert batch.offsets.tolist() == [0, 3, 4, 7]
    assert batch.owners.tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert batch.pbc.tolist() == [[False] * 3, [True, False, True], [True] * 3]
    assert batch.volumes.tolist() == pytest.approx([0, 27, 210])
    assert batch.positions.dtype == np.float64
    assert Structures.of(batch) is batch


def test_structures_come_back_as_ase_takes_them():
    atoms = ase.Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.8]], cell=TILTED, pbc=[1, 0, 1])
    (one,) = Structures.of([atoms])
    assert ase.Atoms(**one._asdict()) == atoms


def test_the_original_is_neither_shared_nor_changed():
    positions = np.zeros((1, 3))
    batch = Structures.of([water(numbers=[1], positions=positions)])
    positions += 1
    assert not batch.positions.any()


def test_take_and_concatenate():
    batch = Structures.of([water(), water(numbers=[6], positions=[[1, 2, 3]]), water()])
    taken = batch.take([1, 0, 1])
    assert taken.numbers.tolist() == [6, 8, 1, 1, 6]
    assert taken.offsets.tolist() == [0, 1, 4, 5]
    np.testing.assert_array_equal(taken.positions[0], [1, 2, 3])
    assert batch.take([False, True, False]).numbers.tolist() == [6]
    joined = Structures.concatenate([batch.take([1]), batch.take([0, 1])])
    np.testing.assert_array_equal(joined.positions, taken.positions)
    np.testing.assert_array_equal(joined.offsets, taken.offsets)
    assert batch.take([]).n_atoms == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"numbers": [8, 0, 1]}, "Structure 1, atom 1, has 0.*X of ASE"),
        ({"numbers": [8, 1, 119]}, "from 1 to 118.*Structure 1, atom 2, has 119"),
        ({"numbers": [8.0, 1.0, 1.0]}, "Structure 1: numbers.*integers.*float64"),
        ({"numbers": []}, "Structure 1 has no atoms"),
        ({"positions": [[0, 0, 0]]}, r"Structure 1 has 3 numbers.*\(3, 3\). Got \(1, 3\)"),
        ({"positions": np.zeros((3, 2))}, r"Got \(3, 2\)"),
        ({"positions": [[0, 0, 0], [0, np.nan, 0], [1, 1, 1]]}, "Structure 1, atom 1, is at"),
        ({"positions": [[0, 0, 0], [0, 0, 1], [np.inf, 1, 1]]}, "Structure 1, atom 2, is at"),
        ({"positions": [[0, 0, 0], [0, 0, 1], [-1e12, 1, 1]]}, "atom 2, is at .*wrap the atoms"),
        ({"positions": np.ones((3, 3), complex)}, "positions must be real numbers"),
        ({"positions": np.ma.masked_equal(np.eye(3), 0)}, "masked"),
        ({"pbc": True}, r"Structure 1 repeats along lattice vector 0 \(pbc\), which is zero"),
        ({"pbc": [0, 1, 0], "cell": [5, 0, 5]}, "lattice vector 1"),
        ({"pbc": [0, 1]}, "pbc must be a bool, or one for each"),
        ({"cell": np.ones((2, 2))}, r"Structure 1: cell.*Got shape \(2, 2\)"),
        ({"cell": [4, np.inf, 4]}, "Structure 1: the cell must be finite"),
        ({"cell": [[4, 0, 0], [8, 0, 0], [0, 0, 4]], "pbc": True}, "linearly independent"),
        ({"cell": [[4, 0, 0], [8, 0, 0], [0, 0, 4]], "pbc": [1, 1, 0]}, "linearly independent"),
    ],
)
def test_errors_name_the_structure(changes, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        Structures.of([water(), water(**changes)])


def test_parallel_vectors_of_open_axes_do_not_matter():
    batch = Structures.of([water(cell=[[4, 0, 0], [8, 0, 0], [0, 0, 4]], pbc=[1, 0, 1])])
    assert batch.pbc.tolist() == [[True, False, True]]


@pytest.mark.parametrize("cell", [TILTED, TILTED[[1, 0, 2]], TILTED * [1, 1, -1]])
@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 0, 0), (0, -1, 2), (3, 2, -1)])
@pytest.mark.parametrize("at", [(0, 0, 0), (0.3, 0.999999999, 1e-12), (-0.7, 1.4, 0.5)])
def test_coincident_atoms_are_found_across_periods(cell, shift, at):
    def batch(*positions):
        crystal = {"numbers": [14] * 3, "positions": positions, "cell": cell, "pbc": True}
        return Structures.of([water(), crystal])

    first, other = np.array(at) @ cell, (np.array(at) + 0.5) @ cell
    second = first + np.array(shift) @ cell
    batch(first, other, second + np.array([0, 0, 2e-4]))  # near, but apart
    with pytest.raises(ValueError, match="Structure 1, atom 0, and atom 2 of it"):
        batch(first, other, second + np.array([1e-9, 0, -1e-9]))


def test_near_the_end_of_a_period_rounding_does_not_matter():
    # 1e-4 Å, below which atoms coincide, is between their distances from the end of the period.
    for x in ((9.9999001, 9.9998999), (-1e-9, 1e-9), (4.9999999, 5.0), (0.00009999, 0.00010001)):
        crystal = {"numbers": [6, 6], "positions": [[one, 1, 0] for one in x], "cell": [10] * 3}
        with pytest.raises(ValueError, match="atom 0, and atom 1"):
            Structures.of([crystal])
        flat = {**crystal, "positions": [[one, 1] for one in x]}
        with pytest.raises(ValueError, match="atom 0, and atom 1"):
            gather([flat])


def test_atoms_of_a_large_crystal_are_distinguished():
    crystal = ase.build.bulk("Si", cubic=True).repeat(8)
    assert Structures.of([crystal]).n_atoms == 4096
    crystal.positions[17] = crystal.positions[4001] + crystal.cell[0] + [0, 5e-5, 0]
    with pytest.raises(ValueError, match=r"atom 17, and atom 4001 of it are 5\.0e-05 Å apart"):
        Structures.of([crystal])


def test_periods_of_open_axes_are_not_coincident():
    slab = water(
        numbers=[6, 6], positions=[[0, 0, 0], [0, 0, 5]], cell=[4, 4, 5], pbc=[1, 1, False]
    )
    assert Structures.of([slab]).n_atoms == 2
    with pytest.raises(ValueError, match="atom 0, and atom 1"):
        Structures.of([{**slab, "pbc": True}])


def test_coincident_atoms_of_different_structures_are_fine():
    assert len(Structures.of([water(), water()])) == 2


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (water(), r"Got one dict\. Put it in a list"),
        (ase.Atoms("H"), "Got one Atoms"),
        ("file.xyz", "Got str"),
        (5, "Got int"),
        ([water(), {"cell": None}], "Structure 1 is of type dict and lacks"),
    ],
)
def test_what_is_no_sequence_of_structures(X, words):
    with pytest.raises(TypeError, match=words):
        Structures.of(X)


def test_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least one structure"):
        Structures.of([])
    with pytest.raises(ValueError, match="at least one batch"):
        Structures.concatenate([])


@given(st.integers(0, 10**6), st.sampled_from([(1, 1, 1), (1, 1, 0), (0, 1, 0), (0, 0, 0)]))
def test_widths_are_distances_between_the_sides_across_periodic_vectors(seed, pbc):
    rng = np.random.default_rng(seed)
    pbc = np.array(pbc, dtype=bool)
    cell = np.eye(3) * rng.uniform(2, 9, size=3) + rng.uniform(-0.5, 0.5, size=(3, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]

    def width(cell):
        one = {"numbers": [6], "positions": np.zeros((1, 3)), "cell": cell, "pbc": pbc}
        return Structures.of([one]).widths[0]

    found, kept = width(cell), cell[pbc]
    if not pbc.any():
        assert found == np.inf
        return
    # The area of the whole over that of the side, in the space of the periodic vectors.
    volume = np.sqrt(np.linalg.det(kept @ kept.T))
    sides = [np.delete(kept, k, axis=0) for k in range(len(kept))]
    areas = [np.sqrt(np.linalg.det(side @ side.T)) if len(side) else 1.0 for side in sides]
    assert found == pytest.approx(min(volume / area for area in areas))
    assert width(cell @ turn) == pytest.approx(found)
    assert width(2 * cell) == pytest.approx(2 * found)
