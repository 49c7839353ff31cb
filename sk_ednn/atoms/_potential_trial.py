"""One prediction of a potential that was read: parts that do not fit together are no model."""

from __future__ import annotations

import warnings

import numpy as np

from ..structures import Structures
from ._atom_novelty import AtomNovelty
from ._potentials import DrawnPotential, TiledPotential

# Parts of the cutoff at which two atoms are tried.
_APART = 0.4
_CUTOFF = 4.0


def try_potential(estimator) -> None:
    """Raise where a potential does not predict finite energies of a few small clusters.

    Parameters
    ----------
    estimator : EDNNPotential
    """
    potential, species = estimator.potential_, estimator.species_
    networks = type(potential).__name__ == "AtomicPotential"
    if not (networks or isinstance(potential, (TiledPotential, DrawnPotential))):
        raise TypeError(f"a {type(potential).__name__} is no potential")
    species = np.asarray(species)
    if species.ndim != 1 or species.dtype.kind != "i" or not len(species):
        raise ValueError("it knows no species")
    if networks:
        _check_network(potential, species)
    if isinstance(potential, DrawnPotential):
        return  # its parts are tried where fields are
    atoms = Structures.of(list(_clusters(species, potential)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        energies = np.asarray(potential.predict(atoms).energies)
        if energies.shape != (len(atoms),) or not np.isfinite(energies).all():
            raise ValueError(f"it predicts energies of shape {energies.shape}")
        if estimator.novelty_ is not None:
            if not isinstance(estimator.novelty_, AtomNovelty):
                raise TypeError(f"a {type(estimator.novelty_).__name__} compares no atoms")
            estimator._novelty_of(atoms)


def _check_network(potential, species):
    network, energies = potential.network, potential.atomic_energies
    if not hasattr(network, "representation"):
        raise TypeError(f"a {type(network).__name__} is no network of atoms")
    network.index.check(species)
    if type(energies) is not dict or not all(
        type(number) is int and type(energy) is float for number, energy in energies.items()
    ):
        raise TypeError("its atomic energies are no numbers by atomic number")


def _clusters(species, potential):
    """Yield each atom alone, and each beside the next."""
    network = getattr(potential, "network", None)
    cutoff = potential.cutoff if network is None else network.representation.cutoff
    apart = _APART * min(float(cutoff), _CUTOFF)
    numbers = species.tolist()
    for one, other in zip(numbers, [*numbers[1:], numbers[0]], strict=True):
        yield {"numbers": [one], "positions": np.zeros((1, 3)), "cell": None, "pbc": False}
        positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, apart]])
        yield {"numbers": [one, other], "positions": positions, "cell": None, "pbc": False}
