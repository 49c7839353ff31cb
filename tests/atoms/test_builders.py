"""Structures as ASE's builders make them: a rotation, a translation and a repetition, of each."""

import numpy as np
import pytest

from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.atoms._choices import suited_pixels, suited_plane
from sk_ednn.structures._structure import gather

build = pytest.importorskip("ase.build")


def molecule(name):
    atoms = build.molecule(name)
    atoms.center(vacuum=3.0)
    return atoms


def mixed(atoms, pbc):
    atoms.pbc = pbc
    return atoms


STRUCTURES = {
    "copper": build.bulk("Cu"),
    "copper, cubic": build.bulk("Cu", cubic=True),
    "iron": build.bulk("Fe"),
    "silicon": build.bulk("Si"),
    "magnesium": build.bulk("Mg"),
    "mercury": build.bulk("Hg"),
    "zinc oxide": build.bulk("ZnO", "wurtzite", a=3.25, c=5.2),
    "rock salt": build.bulk("NaCl", "rocksalt", a=5.64),
    "fcc (111)": build.fcc111("Cu", (1, 2, 3), vacuum=3),
    "fcc (211)": build.fcc211("Cu", (3, 1, 2), vacuum=3),
    "a leaning third edge": build.fcc111("Cu", (1, 1, 3), a=3.6, vacuum=None, periodic=True),
    "any surface": build.surface("Au", (2, 1, 1), 2, vacuum=3),
    "any surface, periodic": build.surface("Au", (2, 1, 1), 2, vacuum=3, periodic=True),
    "water": molecule("H2O"),
    "ethanol": molecule("CH3CH2OH"),
    "tube": build.nanotube(5, 0, vacuum=3),
    "ribbon": build.graphene_nanoribbon(2, 2, saturated=True, vacuum=3),
    "graphene": build.graphene(size=(2, 1, 1), vacuum=6),
    "MoS2": build.mx2("MoS2", vacuum=4),
    "open along one edge": mixed(build.bulk("Cu", cubic=True), (True, False, True)),
    "open along two edges": mixed(build.bulk("Si", cubic=True), (False, True, False)),
}


@pytest.mark.filterwarnings("ignore:The Gaussians of")
@pytest.mark.parametrize("atoms", STRUCTURES.values(), ids=STRUCTURES)
def test_fields_turn_shift_and_repeat_with_the_structure(atoms):
    plane, _ = suited_plane([atoms])
    axes = ["xyz".index(axis) for axis in plane]
    spacing, _, adjust = suited_pixels(gather([atoms], plane).lengths, 0.4, 1)
    draw = GaussianRasterizer(spacing, 0.4, plane=plane, adjust=adjust, dtype="float64", cutoff=8)
    field = draw.fit_transform([atoms])[0]
    if plane in ("xy", "xyz"):
        turned = atoms.copy()
        turned.rotate(37, (1, 2, 3) if plane == "xyz" else "z", rotate_cell=True)
        np.testing.assert_allclose(draw.transform([turned])[0], field, atol=1e-10)
    for number, axis in enumerate(axes):
        if atoms.pbc[axis]:
            shifted = atoms.copy()
            shifted.positions += 3 * atoms.cell[axis] / field.shape[number]
            expected = np.roll(field, 3, number)
            np.testing.assert_allclose(draw.transform([shifted])[0], expected, atol=1e-10)
    times = [2 if axis in axes and atoms.pbc[axis] else 1 for axis in range(3)]
    repeated = draw.transform([atoms.repeat(times)])[0]
    np.testing.assert_allclose(repeated, np.tile(field, [times[k] for k in axes]), atol=1e-10)


@pytest.mark.parametrize("atoms", [build.molecule("H2O"), build.nanotube(6, 3)])
def test_structures_without_a_cell_are_rejected(atoms):
    for plane in ("xy", "xyz"):
        with pytest.raises(ValueError, match=r"Set a cell if there is none|must be in the plane"):
            GaussianRasterizer(0.3, 0.4, plane=plane).fit([atoms])
