"""A test prediction of a potential that was read from a file."""

from __future__ import annotations

import warnings

import numpy as np

from .._utils.wording import with_article
from ..structures import Structures
from ._atom_novelty import AtomNovelty
from ._potential_committee import PotentialCommittee, members_of
from ._potentials import DrawnPotential, TiledPotential

# Distance of two atoms relative to the cutoff, and the largest cutoff (Å) for it.
_DISTANCE = 0.4
_CUTOFF = 4.0


def try_potential(estimator) -> None:
    """Raise if a potential does not predict finite energies of a few small clusters.

    Parameters
    ----------
    estimator : EDNNPotential
    """
    potential, species = estimator.potential_, estimator.species_
    if isinstance(potential, PotentialCommittee) and not (
        type(potential.members) is list and potential.members
    ):
        raise TypeError("expected a list of the members of a committee")
    members = members_of(potential)
    for name in ("held_out_", "held_out_forces_"):
        held_out = getattr(estimator, name, None)
        if held_out is not None:
            held_out.check(1, has_std=isinstance(potential, PotentialCommittee))
            if held_out.novelty is not None and estimator.novelty_ is None:
                raise ValueError(f"its {name} has a novelty, but it has no sample to compare with")
    for name in ("digests_", "held_out_digests_"):  # older files have none
        digests = getattr(estimator, name, np.zeros(0, np.int64))
        if type(digests) is not np.ndarray or digests.dtype != np.int64 or digests.ndim != 1:
            raise TypeError(f"its {name} are not a list of integers")
    networks = all(type(member).__name__ == "AtomicPotential" for member in members)
    if not (networks or isinstance(potential, (TiledPotential, DrawnPotential))):
        raise TypeError(f"expected a potential, got {with_article(type(potential).__name__)}")
    species = np.asarray(species)
    if species.ndim != 1 or species.dtype.kind != "i" or not len(species):
        raise ValueError("its species are not atomic numbers")
    distances = getattr(estimator, "distances_", {})
    if type(distances) is not dict or not all(
        type(number) is int and type(distance) is float and 0 < distance < np.inf
        for number, distance in distances.items()
    ):
        raise TypeError("its distances_ are not a dict of lengths by atomic number")
    for member in members:
        if type(getattr(member, "repulsion", False)) is not bool:
            raise TypeError(f"its repulsion must be True or False, got {member.repulsion!r}")
    if networks:
        for member in members:
            _check_network(member, species)
    if isinstance(potential, DrawnPotential):
        return  # its parts are tested like those of other models of fields
    atoms = Structures.of(list(_clusters(species, potential)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        energies = np.asarray(potential.predict(atoms).energies)
        if energies.shape != (len(atoms),) or not np.isfinite(energies).all():
            raise ValueError(f"it predicts energies of shape {energies.shape}")
        if estimator.novelty_ is not None:
            if not isinstance(estimator.novelty_, AtomNovelty):
                name = with_article(type(estimator.novelty_).__name__)
                raise TypeError(f"its novelty_ must be an AtomNovelty, got {name}")
            estimator._novelty_of(atoms)


def _check_network(potential, species):
    network, energies = potential.network, potential.atomic_energies
    if not hasattr(network, "representation"):
        name = with_article(type(network).__name__)
        raise TypeError(f"expected a network of atoms, got {name}")
    network.index.check(species)
    if type(energies) is not dict or not all(
        type(number) is int and type(energy) is float for number, energy in energies.items()
    ):
        raise TypeError("its atomic energies are not a dict of floats by atomic number")


def _clusters(species, potential):
    """Yield an atom of each species, and pairs of atoms."""
    network = getattr(members_of(potential)[0], "network", None)
    cutoff = potential.cutoff if network is None else network.representation.cutoff
    apart = _DISTANCE * min(float(cutoff), _CUTOFF)
    numbers = species.tolist()
    for one, other in zip(numbers, [*numbers[1:], numbers[0]], strict=True):
        yield {"numbers": [one], "positions": np.zeros((1, 3)), "cell": None, "pbc": False}
        positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, apart]])
        yield {"numbers": [one, other], "positions": positions, "cell": None, "pbc": False}
