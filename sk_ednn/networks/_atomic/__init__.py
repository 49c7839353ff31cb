"""Networks of atoms: energies, forces and stress of structures."""

from ._batch import AtomicBatch, NeighborTable
from ._deep_pot import DeepPotSE
from ._density import Density
from ._descriptor import AtomicNetwork, DescriptorRepresentation
from ._gradients import EnergyForcesStress, energies_and_gradients, energy_forces_stress
from ._network import AbstractAtomicNetwork
from ._per_species import PerSpecies
from ._potential import AtomicPotential, PotentialPrediction
from ._spectrum import SpectrumNetwork
from ._standardize import standardize

__all__ = [
    "AbstractAtomicNetwork",
    "AtomicBatch",
    "AtomicNetwork",
    "AtomicPotential",
    "DeepPotSE",
    "Density",
    "DescriptorRepresentation",
    "EnergyForcesStress",
    "NeighborTable",
    "PerSpecies",
    "PotentialPrediction",
    "SpectrumNetwork",
    "energies_and_gradients",
    "energy_forces_stress",
    "standardize",
]
