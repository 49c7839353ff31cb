"""Potentials of atoms, fields drawn from structures, and calculators for ASE and LAMMPS."""

from .._utils.optional import later
from ._atom_novelty import AtomNovelty
from ._invariants import LocalInvariants
from ._labels import energies_of, forces_of
from ._potential import EDNNPotential
from ._potential_committee import PotentialCommittee
from ._potentials import DrawnPotential, TiledPotential
from ._rasterise import GaussianRasterizer
from ._selection import select_structures
from ._source import AtomsInWindow, AtomsSource

__all__ = [
    "AtomNovelty",
    "AtomicNetwork",
    "AtomicPotential",
    "AtomsInWindow",
    "AtomsSource",
    "DeepPotSE",
    "DrawnPotential",
    "EDNNCalculator",
    "EDNNPotential",
    "GaussianRasterizer",
    "LammpsSimulation",
    "LocalInvariants",
    "PotentialCalculator",
    "PotentialCommittee",
    "PotentialTrainer",
    "SpectrumNetwork",
    "TiledPotential",
    "TorchRasterizer",
    "energies_of",
    "forces_of",
    "select_structures",
]

# These need libraries that `import sk_ednn` does not load.
__getattr__ = later(
    __name__,
    {
        "AtomicNetwork": "..networks._atomic",
        "AtomicPotential": "..networks._atomic",
        "DeepPotSE": "..networks._atomic",
        "EDNNCalculator": "._calculator",
        "LammpsSimulation": "._lammps",
        "PotentialCalculator": "._potential_calculator",
        "PotentialTrainer": "..solvers._potential",
        "SpectrumNetwork": "..networks._atomic",
        "TorchRasterizer": "._torch",
    },
)
