"""Networks of atoms by name, and their input features."""

from __future__ import annotations

import torch

from ..descriptors import AbstractDescriptor, ChebyshevDescriptor, SymmetryFunctions
from ..networks._atomic import AtomicNetwork, DeepPotSE, NeighborTable, SpectrumNetwork
from ..structures import neighbor_pairs

# Pairs of a batch.
_PAIRS = 1 << 15


def device_of(name) -> str:
    """Return a device by name; "auto" means the GPU if there is one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def factory(model, cutoff, context, params):
    """Return a function that makes a network for given species.

    Parameters
    ----------
    model : str or AbstractDescriptor
        A name of `NAMES`, or the descriptor of an `AtomicNetwork`.
    cutoff : float, in Å
        For networks by name.
    context : int
    params : dict
        Further parameters of the network.
    """
    params = {"context": context, **params}

    def make(species):
        if isinstance(model, AbstractDescriptor):
            return AtomicNetwork(species, model, **params)
        if model in _DESCRIPTORS:
            return AtomicNetwork(species, _DESCRIPTORS[model](cutoff), **params)
        return _NETWORKS[model](species, cutoff, **params)

    return make


_NETWORKS = {"spectrum": SpectrumNetwork, "deep-pot": DeepPotSE}
_DESCRIPTORS = {"symmetry-functions": SymmetryFunctions, "chebyshev": ChebyshevDescriptor}


def standardized_features(network, structures):
    """Yield the features of atoms, standardised by the training data, block by block.

    Parameters
    ----------
    network : AbstractAtomicNetwork
    structures : Structures

    Yields
    ------
    number : int
        Atomic number of all atoms of the block.
    atoms : ndarray of int of shape (n,)
    features : ndarray of float64 of shape (n, n_features)
    """
    like = next(network.parameters())
    pairs = neighbor_pairs(structures, network.representation.cutoff)
    table = NeighborTable(pairs, like.dtype, like.device)
    for start, stop in table.packed(_PAIRS):
        for batch in _batches(table, start, stop):
            with torch.no_grad():
                values = network.representation.prepare(batch).values
                features = network.features(values, batch)
            for number, atoms in batch.species:
                first = network.first[number]
                rows = (features[atoms].double() - first.mean.double()) / first.scale.double()
                yield number, batch.atoms[atoms].cpu().numpy(), rows.cpu().numpy()


def _batches(table, start, stop):
    if stop > start + 1 or table.n_pairs(start) <= _PAIRS:
        yield table.batch(range(start, stop))
        return
    for block in table.blocks(start, _PAIRS):
        yield table.block(start, *block)
