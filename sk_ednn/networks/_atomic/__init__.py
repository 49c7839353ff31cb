"""Networks of atoms: energies, forces and stress of structures."""

from ._batch import AtomicBatch, NeighborTable
from ._density import Density
from ._gradients import VOIGT, EnergyForcesStress, energies_and_slopes, energy_forces_stress
from ._network import AbstractAtomicNetwork
from ._per_species import PerSpecies
from ._potential import AtomicPotential, PotentialPrediction
from ._spectrum import SpectrumNetwork
from ._standardize import standardize

__all__ = [
    "VOIGT",
    "AbstractAtomicNetwork",
    "AtomicBatch",
    "AtomicPotential",
    "Density",
    "EnergyForcesStress",
    "NeighborTable",
    "PerSpecies",
    "PotentialPrediction",
    "SpectrumNetwork",
    "energies_and_slopes",
    "energy_forces_stress",
    "standardize",
]
