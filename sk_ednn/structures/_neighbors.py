"""The neighbours of each atom within a cutoff, and derivatives through the vectors to them."""

from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np

from .._utils.memory import require_memory
from .._utils.optional import needing
from ._batch import Structures
from ._coincident import CLOSEST
from ._images import exceeds_boxes, expected_pairs, pairs_by_images, searched_cells

# Indices, shifts and vectors of a pair, and the copies in which they are sorted.
_BYTES_PER_PAIR = 150


@dataclass(frozen=True, eq=False)
class Environments:
    """Centres and their neighbours, of a batch of structures.

    A pair is a centre and one periodic image of a neighbour. Periodic images of an atom are
    neighbours of it, too, and each image of a neighbour within the cutoff is a separate pair. Pairs
    are sorted by centre, then by neighbour, then by lattice shift.

    Parameters
    ----------
    structures : Structures
    atoms : ndarray of int of shape (n_centers,)
        Packed index of the atom at each centre.
    centers : ndarray of int of shape (n_pairs,)
        Centre of each pair, ascending, counted within `atoms`.
    neighbors : ndarray of int of shape (n_pairs,)
        Packed atom of each neighbour.
    vectors : ndarray of float64 of shape (n_pairs, 3), in Å
        From the centre to the neighbour's image.
    cutoff : float, in Å
        Distance up to which all pairs are included.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from sk_ednn.structures import Structures, neighbor_pairs
    >>> environments = neighbor_pairs(Structures.of([bulk("Cu", a=3.6)]), cutoff=3.0)
    >>> environments.n_centers, environments.n_pairs  # 12 images of the one atom
    (1, 12)
    """

    structures: Structures
    atoms: np.ndarray
    centers: np.ndarray
    neighbors: np.ndarray
    vectors: np.ndarray
    cutoff: float

    @property
    def n_centers(self):
        """Number of centres."""
        return len(self.atoms)

    @property
    def n_pairs(self):
        """Number of pairs."""
        return len(self.centers)

    @property
    def n_structures(self):
        """Number of structures."""
        return len(self.structures)

    @property
    def volumes(self):
        """Volume of each cell in Å³, of shape (n_structures,); 0 if its vectors span none."""
        return self.structures.volumes

    @cached_property
    def center_numbers(self):
        """Atomic number of each centre, of shape (n_centers,)."""
        return self.structures.numbers[self.atoms]

    @cached_property
    def owners(self):
        """Structure of each centre, of shape (n_centers,)."""
        return self.structures.owners[self.atoms]

    @cached_property
    def neighbor_numbers(self):
        """Atomic number of each pair's neighbour, of shape (n_pairs,)."""
        return self.structures.numbers[self.neighbors]

    @cached_property
    def counts(self):
        """Number of neighbours of each centre, of shape (n_centers,)."""
        return np.bincount(self.centers, minlength=self.n_centers)

    def restricted(self, atom_indices):
        """Return the environments of some atoms only; `atoms` are their packed indices.

        Parameters
        ----------
        atom_indices : array-like of int, or of bool of shape (n_atoms,)
            Packed atoms, each of which must be a centre. The centres of the result have this order.

        Returns
        -------
        Environments
            Neighbours and derivatives refer to the same packed atoms as before.
        """
        n_atoms = self.structures.n_atoms
        chosen = np.asarray(atom_indices)
        if chosen.dtype == bool:
            if chosen.shape != (n_atoms,):
                raise ValueError(f"A mask must be of shape ({n_atoms},). Got {chosen.shape}.")
            chosen = np.flatnonzero(chosen)
        chosen = chosen.reshape(-1).astype(np.int64)
        rows = np.full(n_atoms, -1)
        rows[self.atoms] = np.arange(self.n_centers)
        rows = rows[chosen]
        if (rows < 0).any():
            raise ValueError(
                f"Atom {chosen[np.argmax(rows < 0)]} is not a centre of these environments. "
                "Restrict the environments that neighbor_pairs returns."
            )
        counts = self.counts
        starts = np.cumsum(counts) - counts
        counts, starts = counts[rows], starts[rows]
        centers = np.repeat(np.arange(len(chosen)), counts)
        pairs = np.arange(len(centers)) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
        return Environments(
            self.structures,
            chosen,
            centers,
            self.neighbors[pairs],
            self.vectors[pairs],
            self.cutoff,
        )

    def gradient(self, gradients):
        """Turn derivatives by pair vectors into those by positions and strain.

        Parameters
        ----------
        gradients : ndarray of shape (n_pairs, 3)
            dE/dvectors.

        Returns
        -------
        positions : ndarray of shape (n_atoms, 3)
            dE/dpositions of all packed atoms: minus the forces.
        strain : ndarray of shape (n_structures, 3, 3)
            dE/dε of positions and cell under x → (1 + ε) x, symmetrised: stress times volume.
        """
        n_atoms = self.structures.n_atoms
        senders = self.atoms[self.centers]
        positions = np.empty((n_atoms, 3))
        for axis in range(3):
            column = np.ascontiguousarray(gradients[:, axis])
            positions[:, axis] = np.bincount(self.neighbors, column, n_atoms)
            positions[:, axis] -= np.bincount(senders, column, n_atoms)
        owners = self.owners[self.centers]
        strain = np.empty((self.n_structures, 3, 3))
        for a in range(3):
            for b in range(a, 3):
                both = self.vectors[:, a] * gradients[:, b] + self.vectors[:, b] * gradients[:, a]
                strain[:, a, b] = strain[:, b, a] = np.bincount(
                    owners, 0.5 * both, self.n_structures
                )
        return positions, strain

    def displace(self, positions_tangent, strain_tangent=None):
        """Return the change of pair vectors with positions and strain: the adjoint of `gradient`.

        Parameters
        ----------
        positions_tangent : ndarray of shape (n_atoms, 3)
        strain_tangent : ndarray of shape (n_structures, 3, 3), default=None
            Symmetrised. None for no strain.

        Returns
        -------
        ndarray of shape (n_pairs, 3)
        """
        senders = self.atoms[self.centers]
        tangents = positions_tangent[self.neighbors] - positions_tangent[senders]
        if strain_tangent is not None:
            symmetric = 0.5 * (strain_tangent + np.swapaxes(strain_tangent, 1, 2))
            tangents += np.matmul(symmetric[self.owners[self.centers]], self.vectors[:, :, None])[
                :, :, 0
            ]
        return tangents


def neighbor_pairs(structures, cutoff):
    """Find all neighbours within a cutoff, with vesin, or a k-d tree if vesin cannot.

    Each axis is periodic or open, according to `pbc`. Cells may be tilted, left-handed and smaller
    than the cutoff, and the number of neighbours is not limited.

    Parameters
    ----------
    structures : Structures, or sequence of structures
    cutoff : float, in Å
        Positive.

    Returns
    -------
    Environments
        Every atom is a centre.

    Raises
    ------
    MissingExtraError
        If vesin is not installed.
    ValueError
        If the cutoff is not positive and finite, or if two atoms, or an atom and its image,
        coincide.
    """
    # Imported here: it brings torch where there is one, which takes seconds.
    with needing("Neighbour lists"):
        from vesin import NeighborList

    structures = Structures.of(structures)
    if not (isinstance(cutoff, Real) and np.isfinite(cutoff) and cutoff > 0):
        raise ValueError(f"The cutoff must be a positive number of Å. Got {cutoff!r}.")
    cells, reach = searched_cells(structures, cutoff)
    require_memory(
        _BYTES_PER_PAIR * expected_pairs(structures, cells, reach),
        f"The neighbours of {structures.n_atoms} atom(s) within {cutoff:g} Å",
        "Take a shorter cutoff, or fewer structures at a time.",
    )
    # One thread: structures are small and many, and callers run several processes.
    search = {
        r: NeighborList(cutoff=r, full_list=True, sorted=False, n_threads=1)
        for r in np.unique(reach).tolist()
    }
    wide = exceeds_boxes(structures, cells, reach[:, None])
    centers, neighbors, vectors = [], [], []
    for k, start in enumerate(structures.offsets[:-1]):
        stop = structures.offsets[k + 1]
        atoms = structures.positions[start:stop], cells[k], structures.pbc[k]
        if wide[k]:
            i, j, shifts, D = pairs_by_images(*atoms, reach[k])
        else:
            # Views of memory that vesin reuses in the next search: they are copied by `order`.
            i, j, shifts, D = search[float(reach[k])].compute(*atoms, "ijSD", copy=False)
        order = _order(i, j, shifts, stop - start)
        centers.append(i[order].astype(np.int64) + start)
        neighbors.append(j[order].astype(np.int64) + start)
        vectors.append(D[order])
    environments = Environments(
        structures,
        np.arange(structures.n_atoms),
        _joined(centers, (0,), np.int64),
        _joined(neighbors, (0,), np.int64),
        _joined(vectors, (0, 3), np.float64),
        float(cutoff),
    )
    _check_closest(environments)
    return environments


def _joined(parts, shape, dtype):
    """Join arrays; the one of a single large structure is not copied."""
    if not parts:
        return np.zeros(shape, dtype)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _order(i, j, shifts, n_atoms):
    """Return the order of pairs by centre, neighbour and shift; no two pairs share all three."""
    if not len(i):
        return np.arange(0)
    low = shifts.min(axis=0).astype(np.int64)
    spans = shifts.max(axis=0).astype(np.int64) - low + 1
    if n_atoms * n_atoms * np.prod(spans.astype(float)) < 2.0**62:
        # One integer sorts faster than five.
        key = i.astype(np.int64) * n_atoms + j.astype(np.int64)
        for axis in range(3):
            key = key * spans[axis] + (shifts[:, axis] - low[axis])
        return np.argsort(key)
    return np.lexsort((*shifts.T[::-1], j, i))


def _check_closest(environments):
    """Reject pairs at one place, e.g. an atom and its image along a vector that is next to 0."""
    squared = np.einsum("pd,pd->p", environments.vectors, environments.vectors)
    if squared.size and squared.min() < CLOSEST**2:
        pair = int(np.argmin(squared))
        place = environments.structures.place
        raise ValueError(
            f"{place(environments.centers[pair])}, is {np.sqrt(squared[pair]):.1e} Å from "
            f"{place(environments.neighbors[pair])}, or from an image of it. Check the cell and "
            "the unit of lengths, which must be Å."
        )
