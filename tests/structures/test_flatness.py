"""Sheets are accepted; structures with atoms above one another are rejected."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.atoms import AtomsSource, EDNNCalculator, GaussianRasterizer
from sk_ednn.datasets import load_porous, load_sheets
from sk_ednn.simulation import AtomMetropolis
from sk_ednn.structures import Structure
from sk_ednn.structures._structure import gather

build = pytest.importorskip("ase.build")
Atoms = pytest.importorskip("ase").Atoms
Icosahedron = pytest.importorskip("ase.cluster").Icosahedron


def graphene(buckling=0.0, formula="C2", a=2.46, n=5):
    return build.graphene(formula, a=a, thickness=buckling, size=(n, n, 1), vacuum=8)


def rippled(slope, length=35.0):
    """Return a porous sheet with two waves per cell along x."""
    sheet = load_porous(as_ase=True).structures[0].copy()
    k = 4 * np.pi / length
    sheet.positions[:, 2] = slope / k * np.sin(k * sheet.positions[:, 0])
    return sheet


def lifted(sheet, by):
    """Move a sheet across the end of a period along the normal."""
    sheet = sheet.copy()
    sheet.pbc = True
    sheet.positions[:, 2] += by
    sheet.wrap()
    return sheet


def rattled(sheet, by):
    sheet = sheet.copy()
    sheet.rattle(by, seed=1)
    return sheet


def without_some(sheet):
    return sheet[np.random.default_rng(0).permutation(len(sheet))[: len(sheet) * 3 // 4]]


SHEETS = {
    "graphene": graphene(),
    "graphene, periodic along z": lifted(graphene(), 0.0),
    "vacancies": without_some(graphene()),
    "hot": rattled(graphene(), 0.1),
    "silicene": graphene(0.45, "Si2", 3.86),
    "germanene, across the end of a period": lifted(graphene(0.69, "Ge2", 4.06), -8.345),
    "ripples": rippled(0.3),
    "ripples, across the end of a period": lifted(rippled(0.3), 0.1),
    "steep ripples": rippled(0.6),
    "one layer": build.fcc111("Cu", (2, 2, 1), vacuum=8),
    "benzene": build.molecule("C6H6", vacuum=3),
    "ammonia": build.molecule("NH3", vacuum=3),
}


@pytest.mark.parametrize("structure", SHEETS.values(), ids=SHEETS)
def test_sheets_are_accepted(structure):
    assert len(gather([structure])) == 1


@pytest.mark.parametrize("load", [load_sheets, load_porous])
@pytest.mark.parametrize("as_ase", [False, True])
def test_bundled_sheets_are_accepted(load, as_ase):
    structures = load(as_ase=as_ase).structures
    assert len(gather(structures)) == len(structures)


def stacked(n):
    one = graphene()
    layers = one.copy()
    for k in range(1, n):
        above = one.copy()
        above.positions += [0.0, 1.42 * (k % 2), 3.35 * k]
        layers += above
    return layers


def without_pbc(atoms):
    atoms.pbc = False
    atoms.center(vacuum=4)
    return atoms


THICK = {
    "silicon": build.bulk("Si", cubic=True),
    "copper": build.bulk("Cu", cubic=True),
    "iron": build.bulk("Fe", cubic=True),
    "rock salt": build.bulk("NaCl", "rocksalt", a=5.64, cubic=True),
    "magnesium": build.bulk("Mg"),
    "simple cubic": build.bulk("Po", "sc", a=3.35),
    "simple cubic, repeated": build.bulk("Po", "sc", a=3.35).repeat(3),
    "liquid": Structure(np.full(60, 18), np.random.default_rng(0).random((60, 3)) * 12, [12.0] * 3),
    "a piece of silicon": without_pbc(build.bulk("Si", cubic=True).repeat(2)),
    "bilayer": stacked(2),
    "trilayer": stacked(3),
    "MoS2": build.mx2("MoS2", size=(2, 2, 1), vacuum=8),
    "tube along z": build.nanotube(6, 0, length=2, vacuum=5),
    "tube without pbc": without_pbc(build.nanotube(6, 3, length=1)),
    "methane": build.molecule("CH4", vacuum=3),
    "water, in the plane yz": build.molecule("H2O", vacuum=3),
    "nitrogen, upright": build.molecule("N2", vacuum=3),
    "ethanol": build.molecule("CH3CH2OH", vacuum=3),
    "C60": build.molecule("C60", vacuum=3),
    "cluster": without_pbc(Icosahedron("Au", 3)),
    "two sheets far apart": Structure(
        [6, 6, 6, 6], [[0, 0, 0], [1.42, 0, 0], [0, 0, 9], [1.42, 0, 9]], [4.26, 2.46, 30.0]
    ),
} | {
    f"{element}, {name}, {n} layers": getattr(build, name)(element, (2, 2, n), vacuum=8)
    for element, name in [
        ("Cu", "fcc100"), ("Au", "fcc111"), ("Fe", "bcc100"), ("Fe", "bcc110"),
        ("Mg", "hcp0001"), ("Si", "diamond100"), ("Si", "diamond111"),
        # Atoms farther apart than 3 Å in the plane.
        ("Na", "bcc100"), ("Cs", "bcc100"), ("Sr", "fcc100"),
    ]
    for n in (2, 3)
}  # fmt: skip


@pytest.mark.parametrize("structure", THICK.values(), ids=THICK)
def test_atoms_above_one_another_are_rejected(structure):
    with pytest.raises(ValueError, match=r"Structure 1 is not flat enough.*plane='xyz'.*slab=\("):
        gather([SHEETS["graphene"], structure])
    whole = gather([structure], "xyz") if np.any(structure.pbc) else None
    assert whole is None or len(whole.numbers) == len(structure.numbers)
    assert len(gather([structure], slab=(-np.inf, np.inf))) == 1


def test_the_slab_of_a_message_is_valid():
    structure = THICK["MoS2"]
    with pytest.raises(ValueError) as raised:
        gather([structure])
    low, high = map(float, str(raised.value).partition("slab=(")[2].partition(")")[0].split(","))
    assert len(gather([structure], slab=(low, high))) == 1


@pytest.mark.parametrize(
    ("plane", "axes"), [("xy", [0, 1, 2]), ("xz", [0, 2, 1]), ("yz", [2, 0, 1])]
)
def test_the_check_is_invariant(plane, axes):
    """Rotate in the plane, move, permute, repeat, or use another plane."""
    for structure, thick in [
        (SHEETS["steep ripples"], False),
        (THICK["Au, fcc111, 3 layers"], True),
    ]:
        for angle in (0, 30, 143):
            moved = structure.copy()
            moved.rotate(angle, "z", rotate_cell=True)
            moved.positions += [3.1, -7.7, 0.4]
            moved = moved[np.random.default_rng(angle).permutation(len(moved))]
            if angle == 30:
                moved = moved.repeat((2, 1, 1))
            cell = moved.cell.array[np.ix_(axes, axes)]
            other = Structure(moved.numbers, moved.positions[:, axes], cell, moved.pbc[axes])
            if thick:
                with pytest.raises(ValueError, match=f"for the plane {plane}: atom"):
                    gather([other], plane)
            else:
                assert len(gather([other], plane)) == 1


@pytest.fixture(scope="module")
def model():
    """Return a model fitted to flat sheets of carbon."""
    rng = np.random.default_rng(0)
    apart = np.array([[0.0, 0.0], [2.0, 2.0]])
    sheets = [Structure([6, 6], apart + rng.random((2, 2)), [4.0, 4.0]) for _ in range(9)]
    regressor = EDNNRegressor(KernelRidge(kernel="rbf"), GridTiling(4, 2))
    return make_pipeline(GaussianRasterizer(0.25, 0.25), regressor).fit(sheets, rng.normal(size=9))


STACK = Structure(
    np.array([6, 6]), np.array([[1.0, 1.0, 5.0], [1.1, 1.0, 7.0]]), np.diag([4.0, 4.0, 20.0])
)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.fit([STACK], [1.0]),
        lambda model: model.predict([STACK]),
        lambda model: model[0].transform([STACK]),
        lambda model: model[0].position_gradients([STACK]),
        lambda model: model[0].forces([STACK], [np.zeros((16, 16))]),
        lambda model: AtomsSource(model[0], STACK),
        lambda model: AtomMetropolis(model, 1.0).run(STACK, 1),
    ],
)  # fmt: skip
def test_all_users_of_fields_reject_alike(use, model):
    before = model[0].channels_, model[0].spacing_
    with pytest.raises(ValueError, match=r"atom 1 is 2 Å above atom 0.*only 0.1 Å away"):
        use(model)
    assert (model[0].channels_, model[0].spacing_) == before


def test_a_calculator_needs_a_slab(model):
    ase = pytest.importorskip("ase")
    atoms = ase.Atoms(STACK.numbers, STACK.positions, cell=STACK.cell, pbc=True)
    atoms.calc = EDNNCalculator(model)
    with pytest.raises(ValueError, match="not flat enough"):
        atoms.get_potential_energy()
    atoms.calc = EDNNCalculator(model, slab=(0, 10))
    flat = Structure(STACK.numbers, STACK.positions[:, :2], [4.0, 4.0])
    assert atoms.get_potential_energy() == pytest.approx(model.predict([flat])[0])


@pytest.mark.parametrize("symbol", ["Po", "Ba", "Xe"])
@pytest.mark.parametrize("edges", [(1, 1, 1), (1, 1, 0.9), (1, 1.2, 1), (0.8, 1, 0.8)])
@pytest.mark.parametrize("n", [(1, 1, 1), (2, 3, 1)])
def test_crystals_of_one_layer_in_a_period_are_rejected(symbol, edges, n):
    """Neighbours above an atom are as near as those beside it, farther apart than a vacuum."""
    lattice = {"Po": 4.2, "Ba": 4.9, "Xe": 5.9}[symbol]
    crystal = Atoms(symbol, cell=lattice * np.array(edges), pbc=True) * n
    with pytest.raises(ValueError, match="periodic along z with a period"):
        gather([crystal])
    crystal.cell[2, 2] = 1.2 * lattice * min(edges[:2])  # now a sheet
    assert len(gather([crystal])) == 1
    crystal.pbc[2] = False
    crystal.cell[2, 2] = 3.0
    assert len(gather([crystal])) == 1


def test_many_atoms_are_checked_in_blocks():
    sheet = rippled(0.5)
    sheet = sheet.repeat((4, -(-8200 // (4 * len(sheet))), 1))  # more than the 8,192 of a block
    assert len(gather([sheet])) == 1
    above = sheet[[40]]
    above.positions += [0.5, 0.5, 2.0]
    with pytest.raises(ValueError, match=rf"atom {len(sheet)} is .* above"):
        gather([sheet + above])
