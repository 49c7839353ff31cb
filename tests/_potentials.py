"""Structures and networks that the tests of potentials run over."""

import numpy as np
import torch

from sk_ednn.descriptors import ChebyshevDescriptor, SymmetryFunctions
from sk_ednn.networks._atomic import (
    AtomicNetwork,
    AtomicPotential,
    DeepPotSE,
    NeighborTable,
    SpectrumNetwork,
    standardize,
)
from sk_ednn.structures import Structures, neighbor_pairs

CUTOFF = 4.0
SPECIES = (14, 79)

# Cells smaller than the cutoff, tilted and left-handed ones.
CELLS = {
    "cubic": np.diag([5.0, 5.5, 6.0]),
    "tilted": np.array([[3.5, 0, 0], [1.6, 3.4, 0], [-1.0, 1.2, 3.8]]),
    "left-handed": np.array([[0, 5.0, 0], [5.5, 0, 0], [0.3, 0, 6.0]]),
}
PBC = {"periodic": (True, True, True), "slab": (True, True, False), "open": (False, False, False)}

NETWORKS = {
    "spectrum": lambda species, context=0: SpectrumNetwork(
        species, CUTOFF, n_radial=4, l_max=3, channels=6, partners=3, hidden=(12, 8),
        context=context,
    ),
    "screened": lambda species, context=0: SpectrumNetwork(
        species, CUTOFF, n_radial=4, l_max=3, channels=6, partners=3, hidden=(12, 8),
        context=context, screening=True,
    ),
    "symmetry": lambda species, context=0: AtomicNetwork(
        species, SymmetryFunctions(CUTOFF), hidden=(12, 8), context=context
    ),
    "chebyshev": lambda species, context=0: AtomicNetwork(
        species, ChebyshevDescriptor(CUTOFF), hidden=(12, 8), context=context, activation="tanh"
    ),
    "deep-pot": lambda species, context=0: DeepPotSE(
        species, CUTOFF, embedding=(6, 8), axis=3, hidden=(12, 8), context=context
    ),
}  # fmt: skip


def placed(rng, n, cell, closest=1.6):
    """Return positions in a cell that are not closer than `closest` to each other or images."""
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3) @ cell
    positions = np.zeros((0, 3))
    while len(positions) < n:
        new = rng.random(3) @ cell
        vectors = positions[:, None] + shifts - new
        if not len(positions) or np.linalg.norm(vectors, axis=-1).min() > closest:
            positions = np.vstack([positions, new])
        else:
            closest *= 0.99
    return positions


def structure(rng, cell="cubic", pbc="periodic", n=4, numbers=None):
    """Return a random structure as a dict."""
    cell = CELLS[cell] if isinstance(cell, str) else cell
    numbers = rng.choice(SPECIES, n) if numbers is None else np.asarray(numbers)
    return {
        "numbers": numbers, "positions": placed(rng, n, cell), "cell": cell,
        "pbc": PBC[pbc] if isinstance(pbc, str) else pbc,
    }  # fmt: skip


def cluster(numbers, positions):
    """Return atoms without a cell as a dict."""
    return {"numbers": numbers, "positions": positions, "cell": np.zeros((3, 3)), "pbc": False}


def mixed(seed=0):
    """Return structures of all cells and boundaries, and a single atom."""
    rng = np.random.default_rng(seed)
    made = [structure(rng, cell, pbc, n=3 + k % 3) for k, (cell, pbc) in enumerate(
        (cell, pbc) for cell in CELLS for pbc in PBC
    )]  # fmt: skip
    alone = {
        "numbers": [14],
        "positions": [[0.0, 0.0, 0.0]],
        "cell": np.zeros((3, 3)),
        "pbc": False,
    }
    return Structures.of([*made, alone])


def potential(name, context=0, seed=0, structures=None, dtype=torch.float64):
    """Return a potential with random weights, standardised on structures."""
    structures = mixed() if structures is None else structures
    torch.manual_seed(seed)
    network = NETWORKS[name](SPECIES, context).to(dtype)
    with torch.no_grad():
        for number in SPECIES:  # the last layer starts small; errors would hide behind it
            network.layers[-1][number].weight.mul_(30)
    standardize(network, NeighborTable(neighbor_pairs(structures, CUTOFF), dtype), 0)
    return AtomicPotential(network, {14: -4.0, 79: -3.5})


def moved(structures, positions=None, cells=None, numbers=None):
    """Return structures with other positions, cells or numbers."""
    return Structures(
        structures.numbers if numbers is None else numbers,
        structures.positions if positions is None else positions,
        structures.cells if cells is None else cells,
        structures.pbc,
        structures.offsets,
    )


def morse(structures, cutoff=CUTOFF):
    """Return energies, forces and stresses of a smooth pair potential, by an independent route.

    ``v(r) = (q² − 2q) (1 − (r/r_c)²)³ / 2`` in eV with ``q = exp(−1.2 (r − σ))`` and σ = 2.3, 2.5
    or 2.9 Å by species.
    """
    pairs = neighbor_pairs(structures, cutoff)
    r = np.linalg.norm(pairs.vectors, axis=1)
    kinds = (pairs.center_numbers[pairs.centers] == 79).astype(int) + (pairs.neighbor_numbers == 79)
    q = np.exp(-1.2 * (r - np.array([2.3, 2.5, 2.9])[kinds]))
    window = 1 - (r / cutoff) ** 2
    v = (q**2 - 2 * q) * window**3 / 2
    dv = -1.2 * (q**2 - q) * window**3 - (q**2 - 2 * q) * 3 * r / cutoff**2 * window**2
    owners = pairs.owners[pairs.centers]
    energies = np.bincount(owners, v / 2, minlength=len(structures))
    gradient, strain = pairs.gradient((dv / 2 / r)[:, None] * pairs.vectors)
    volumes = np.where(structures.volumes > 0, structures.volumes, np.nan)
    rows, columns = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
    return energies, -gradient, strain[:, rows, columns] / volumes[:, None]
