"""Energies and forces are what files and calculators say, by name."""

import numpy as np
import pytest

from sk_ednn.atoms import energies_of, forces_of

build = pytest.importorskip("ase.build")
EMT = pytest.importorskip("ase.calculators.emt").EMT
constraints = pytest.importorskip("ase.constraints")
SinglePointCalculator = pytest.importorskip("ase.calculators.singlepoint").SinglePointCalculator
io = pytest.importorskip("ase.io")


def copper(seed=0, **results):
    atoms = build.bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=seed)
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


CONSTRAINTS = {
    "fixed": lambda: constraints.FixAtoms([0, 2]),
    "along axes": lambda: constraints.FixCartesian([1], mask=(True, True, False)),
    "in a plane": lambda: constraints.FixedPlane([0], (1, 0, 0)),
    "a spring": lambda: constraints.Hookean(0, 1, rt=0.5, k=10.0),
    "centre of mass": lambda: constraints.FixCom(),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("source", ["calculator", "results", "run.traj", "run.extxyz"])
def test_constraints_change_no_label(name, source, tmp_path):
    free, held = copper(), copper()
    free.calc = EMT()
    energy, forces = free.get_potential_energy(), free.get_forces()
    held.set_constraint(CONSTRAINTS[name]())
    held.calc = (
        EMT()
        if source == "calculator"
        else SinglePointCalculator(held, energy=energy, forces=forces)
    )
    if source.startswith("run"):
        if source.endswith("xyz") and name not in ("fixed", "along axes"):
            held.set_constraint(None)  # the format knows no others
        io.write(tmp_path / source, held)
        held = io.read(tmp_path / source)
    assert energies_of([held])[0] == pytest.approx([energy], rel=1e-8)
    np.testing.assert_allclose(forces_of([held])[0], forces, atol=1e-7)


def test_names_are_found_and_chosen():
    atoms = [copper(k, energy=-1.0 - k, free_energy=-2.0 - k) for k in range(3)]
    for k, each in enumerate(atoms):
        each.info |= {"dft_energy": -3 - k, "note": "none", "ok": True, "energy": 99.0}
        each.arrays["dft_forces"] = np.full((4, 3), float(k))
    energies, name = energies_of(atoms)
    assert (energies.tolist(), name, energies.dtype) == ([-1.0, -2.0, -3.0], "energy", np.float64)
    assert energies_of(atoms, "free_energy")[0].tolist() == [-2.0, -3.0, -4.0]
    assert energies_of(atoms, "dft_energy")[0].tolist() == [-3.0, -4.0, -5.0]
    assert forces_of(atoms, "dft_forces")[2].tolist() == [[2.0] * 3] * 4
    for each in atoms:
        each.calc = None
        del each.info["energy"]
    assert energies_of(atoms)[1] == "dft_energy"
    for each in atoms:
        each.info |= {"Energy_a": 0.0, "Energy_b": 0.0}
        del each.info["dft_energy"]
    with pytest.raises(ValueError, match="Several entries could be energies: Energy_a, Energy_b"):
        energies_of(atoms)


@pytest.mark.parametrize(
    ("some", "message"),
    [
        ([copper(), copper()], "2 of 2 structures have no energy.*The first has no numbers"),
        (
            [copper(energy=1.0), copper(), copper(free_energy=1.0)],
            "2 of 3 structures have no 'energy', first structure 1, which has no num",
        ),
        (
            [copper(energy=1.0), copper(energy=np.nan)],
            "must be finite, but structure 1 has energy = nan",
        ),
        (
            [copper(energy=1.0), copper(energy="high")],
            "must be numbers, but structure 1 has energy = 'high'",
        ),
        (
            [copper(energy=1.0), copper(energy=np.ones(2))],
            "must be numbers, but structure 1 has energy",
        ),
    ],
)
def test_missing_energies_are_counted(some, message):
    with pytest.raises(ValueError, match=message):
        energies_of(some)


def test_missing_forces_are_counted():
    forces = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"1 of 2 structures have no forces.*structure 1"):
        forces_of([copper(forces=forces), copper(energy=1.0)])
    with pytest.raises(ValueError, match="2 of 2 structures have no dft_forces"):
        forces_of([copper(forces=forces), copper()], "dft_forces")
    with pytest.raises(ValueError, match="those of structure 0 are not"):
        forces_of([copper(forces=forces * np.nan)])
