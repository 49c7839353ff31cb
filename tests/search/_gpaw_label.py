"""Label in.extxyz by GPAW, to out.extxyz; run by a Python that has GPAW."""

import sys


def main(source, target):
    """Read a structure, and write it with energy, forces and stress."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import read, write
    from gpaw import GPAW, PW

    atoms = read(source)
    atoms.calc = GPAW(
        mode=PW(200), xc="LDA", kpts={"density": 1.5, "gamma": True}, txt=None, symmetry="off",
        occupations={"name": "fermi-dirac", "width": 0.1},
    )  # fmt: skip
    values = {
        "energy": atoms.get_potential_energy(), "forces": atoms.get_forces(),
        "stress": atoms.get_stress(),
    }  # fmt: skip
    atoms.calc = SinglePointCalculator(atoms, **values)
    write(target, atoms)


if __name__ == "__main__":
    main(*sys.argv[1:])
