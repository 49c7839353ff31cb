"""Systems with known totals: lattices, dots and pictures, densities, structures of atoms."""

from ._densities import make_densities
from ._dots import make_dots
from ._hydrogen import load_hydrogen
from ._ising import ising_energy, make_ising
from ._pictures import make_pictures
from ._porous import load_porous
from ._potts import make_potts, potts_energy
from ._sheets import load_sheets
from ._siau import load_siau

__all__ = [
    "ising_energy",
    "load_hydrogen",
    "load_porous",
    "load_sheets",
    "load_siau",
    "make_densities",
    "make_dots",
    "make_ising",
    "make_pictures",
    "make_potts",
    "potts_energy",
]
