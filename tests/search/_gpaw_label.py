"""Label in.extxyz by GPAW, to out.extxyz; run by a Python that has GPAW."""

import sys

from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from gpaw import GPAW, PW

atoms = read(sys.argv[1])
atoms.calc = GPAW(
    mode=PW(200), xc="LDA", kpts={"density": 1.5, "gamma": True}, txt=None, symmetry="off",
    occupations={"name": "fermi-dirac", "width": 0.1},
)  # fmt: skip
values = {
    "energy": atoms.get_potential_energy(), "forces": atoms.get_forces(),
    "stress": atoms.get_stress(),
}  # fmt: skip
atoms.calc = SinglePointCalculator(atoms, **values)
write(sys.argv[2], atoms)
