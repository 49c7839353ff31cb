"""Initial structures of a search: those of the user, random ones, and symmetric ones."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("ase_ga")
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.cluster import Octahedron
from ase.optimize import BFGS
from scipy.spatial.transform import Rotation

from sk_ednn.search import CalculatorLabeller, Sanity, SearchStore, StructureSearch
from sk_ednn.search._ase_ga import Operators, numbers_of
from sk_ednn.search._label import as_structure, volume_per_atom


def made_of(operators, n):
    """Return what the operator makes for n seeds."""
    return [operators.make("symmetric", [], np.random.RandomState(k)) for k in range(n)]


def is_kept(points, turn):
    """Return whether a rotation maps a set of points to itself."""
    distances = np.linalg.norm((points @ turn.T)[:, None] - points[None], axis=2)
    return distances.min(axis=1).max() < 1e-4


def turns():
    """Return a rotation of each of the groups: what is symmetric is kept by some of them."""
    names = ("C2", "C3", "C5", "D2", "D3", "D5", "T", "O", "I")
    matrices = np.concatenate([Rotation.create_group(name).as_matrix() for name in names])
    matrices = matrices[np.unique(matrices.round(6), axis=0, return_index=True)[1]]
    return [turn for turn in matrices if not np.allclose(turn, np.eye(3))]


@pytest.mark.parametrize("formula", ["Au13", "Au5", "Cu4Au6"])
def test_symmetric_clusters_are_kept_by_a_rotation(formula):
    operators = Operators(numbers_of(formula), "cluster", symmetric=True)
    made = [one for one in made_of(operators, 50) if one is not None]
    assert len(made) >= 3
    rotations = turns()
    for one in made:
        assert one.numbers.tolist() == operators.numbers.tolist() and not one.pbc.any()
        assert Sanity(min_distance=operators.shortest(0.69)).fault_of_structure(one) is None
        elements = [one.positions[one.numbers == number] for number in np.unique(one.numbers)]
        # About the mean of the atoms, which is on every axis of the group.
        centred = one.positions - one.positions.mean(axis=0)
        starts = np.cumsum([0, *(len(each) for each in elements)])
        parts = [centred[a:b] for a, b in pairwise(starts)]
        is_line = np.linalg.matrix_rank(centred, tol=1e-5) < 2
        assert is_line or any(
            all(is_kept(part, turn) for part in parts)
            and np.abs(centred @ turn.T - centred).max() > 1e-3
            for turn in rotations
        )


@pytest.mark.parametrize(
    ("formula", "kind"), [("Si8", "crystal"), ("Si2C2", "crystal"), ("C6", "sheet")]
)
def test_symmetric_crystals_and_sheets_have_a_group(formula, kind):
    pytest.importorskip("pyxtal")
    import spglib

    operators = Operators(numbers_of(formula), kind, volume=15.0, symmetric=True)
    made, again = made_of(operators, 12), made_of(operators, 12)
    for one, same in zip(made, again, strict=True):
        assert (one is None) == (same is None)
        if one is not None:
            np.testing.assert_array_equal(one.positions, same.positions)
    made = [one for one in made if one is not None]
    assert len(made) >= 3
    for one in made:
        assert one.numbers.tolist() == operators.numbers.tolist()
        cell = one.cell, one.positions @ np.linalg.inv(one.cell), one.numbers
        assert len(spglib.get_symmetry(cell, symprec=1e-3)["rotations"]) > 1
        if kind == "crystal":
            assert 0.69 * 15 < volume_per_atom(one) < 1.31 * 15
        else:
            assert np.ptp(one.positions[:, 2]) <= operators.thickness + 1e-6


def test_surfaces_have_no_symmetric_starts():
    slab = as_structure(fcc111("Cu", (2, 2, 2), vacuum=6.0))
    with pytest.raises(ValueError, match='starts="random" for kind="surface"'):
        Operators([79], "surface", substrate=slab, symmetric=True)


def test_symmetric_starts_go_on_during_the_search(tmp_path):
    search = StructureSearch(
        "Cu6", CalculatorLabeller(EMT), store=tmp_path / "s.db", kind="cluster", volume=14.0,
        starts="symmetric", n_initial=6, retrain_every=6,
    )  # fmt: skip
    result = search.run(30)
    octahedron = Octahedron("Cu", 2)
    octahedron.calc = EMT()
    BFGS(octahedron, logfile=None).run(fmax=0.01)
    assert result.energy < octahedron.get_potential_energy() / 6 + 0.1
    with SearchStore(tmp_path / "s.db") as store:
        origins = [row["origin"] for row in store.structures()]
    assert origins[:6] == ["start"] * 6 and "symmetric" in origins


def test_own_structures_are_labelled_first(tmp_path):
    given = [bulk("Cu", "hcp", a=2.6), bulk("Cu", "bcc", a=2.9, cubic=True)]
    search = StructureSearch(
        "Cu2", CalculatorLabeller(EMT), store=tmp_path / "s.db", n_initial=4, volume=12.0,
        initial_structures=given,
    )  # fmt: skip
    search.run(1)
    search.resume(5)
    with SearchStore(tmp_path / "s.db") as store:
        rows = store.structures()
    assert [row["origin"] for row in rows] == [
        "given",
        "given",
        "start",
        "start",
        rows[4]["origin"],
    ]
    for row, atoms in zip(rows, given, strict=False):
        expected = CalculatorLabeller(EMT).label(as_structure(atoms)).energy
        assert row["label"].energy == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "atoms", "message"),
    [
        ("crystal", bulk("Cu", cubic=True), r"initial_structures\[0\]: expected Cu2, got Cu4"),
        ("crystal", Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]]), "expected periodic boundaries"),
        ("cluster", bulk("Cu", "hcp", a=2.6), "expected periodic boundaries"),
        ("crystal", Atoms("Cu2", [[0, 0, 0], [0, 0, 0.2]], cell=[4] * 3, pbc=True), "too close"),
        ("sheet", Atoms("Cu2", [[0, 0, 0], [0, 0, 2.5]], cell=[[3, 0, 1], [0, 3, 0], [0, 0, 9]],
                        pbc=[True, True, False]), "no z component"),
    ],
)  # fmt: skip
def test_own_structures_that_do_not_fit_are_refused(kind, atoms, message, tmp_path):
    search = StructureSearch(
        "Cu2", CalculatorLabeller(EMT), store=tmp_path / "s.db", initial_structures=[atoms],
        kind=kind,
    )  # fmt: skip
    with pytest.raises(ValueError, match=message):
        search.run(3)


@pytest.mark.parametrize("kind", ["crystal", "sheet"])
@pytest.mark.parametrize("formula", ["Cu1", "Cu4Au4"])
def test_a_volume_that_fits_no_atom_is_refused(kind, formula):
    numbers = numbers_of(formula)
    with pytest.raises(ValueError, match="volume per atom of more than") as raised:
        Operators(numbers, kind, volume=0.01)
    least = float(str(raised.value).split("more than ")[1].split()[0])
    # Just above, random starts end, whether or not they find a structure.
    operators = Operators(numbers, kind, volume=1.2 * least)
    for seed in range(3):
        operators.make("start", [], np.random.RandomState(seed))


def test_a_search_that_could_not_begin_leaves_its_store_to_others(tmp_path):
    path = tmp_path / "s.db"
    failing = StructureSearch(
        "Cu2", CalculatorLabeller(EMT), store=path, volume=0.01, kind="cluster"
    )
    with pytest.raises(ValueError, match="Use a volume per atom larger"):
        failing.run(3)
    other = StructureSearch("Au2", CalculatorLabeller(EMT), store=path, n_initial=2)
    assert other.resume(2).n_labels == 2
    with pytest.raises(ValueError, match="this one is of"):
        failing.resume(3)
