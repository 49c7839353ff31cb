"""The local frame of the Deep Potential: neighbours' positions in axes that turn with the atom."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from .._utils.stored import stored
from ..structures._elements import atomic_number, symbol
from ._pairs import AbstractPairDescriptor
from ._radial import CUTOFF_FUNCTIONS

# A neighbour closer than this to the line of the first axis spans no plane with it.
_LEAST_SINE = 1e-2
# Below this all neighbours are on a line, as those of a linear molecule.
_NO_SINE = 1e-8
# Distances that differ by rounding are equal, so that ties do not hang on the last bits.
_DECIMALS = 8  # of Å


@stored("DeepPotFrame")
class DeepPotFrame(AbstractPairDescriptor):
    """Describe an atom by its neighbours' coordinates in a local frame, as the Deep Potential does.

    ::

        (1 / r, x / r², y / r², z / r²) · f(r)       for each neighbour

    where x points to the nearest neighbour, the next nearest that is not on that line has z = 0
    and y > 0, and z = x × y. Neighbours are sorted by species, then by distance; each species has
    a fixed number of rows, and rows without a neighbour are 0. Where all neighbours are on one
    line, y = z = 0.

    Values do not change with rotations, translations and the order of atoms. A reflection changes
    the sign of z, so that a model has to learn that mirror images have the same energy.

    **It is not smooth.** Values jump, and so does an energy made from them,

    * where two neighbours of a species swap places in the order of distances;
    * where another atom becomes the nearest or the next nearest one, which turns the frame;
    * where the next nearest neighbour comes within 0.6° of the line of the first axis.

    Gradients are those between such jumps. In a crystal many distances are equal; the order of
    atoms then determines the order of rows, so that this invariance is lost. Use `PowerSpectrum`,
    or another smooth descriptor, for molecular dynamics, for crystals, and for forces.

    Parameters
    ----------
    cutoff : float, default=6.0, in Å
        Radius of the environment of an atom.

    max_neighbors : int or dict, default=32
        Rows of each species: one number for all, or by symbol or atomic number. More neighbours of
        an atom are an error; none are left out.

    cutoff_function : {"polynomial", "cosine"} or None, default="polynomial"
        The function f, with which neighbours enter smoothly. None for 1, as in the paper: values
        jump there, too.

    species : tuple of str or int, default=None
        The elements that neighbours may be, as symbols or atomic numbers. None: set by
        `with_species`.

    References
    ----------
    Zhang, Han, Wang, Car and E, Deep Potential Molecular Dynamics: a scalable model with the
    accuracy of quantum mechanics, Phys. Rev. Lett. 120, 143001 (2018).

    Examples
    --------
    >>> from ase.build import molecule
    >>> from sk_ednn.descriptors import DeepPotFrame
    >>> from sk_ednn.structures import Structures, neighbor_pairs
    >>> environments = neighbor_pairs(Structures.of([molecule("H2O")]), cutoff=6.0)
    >>> frame = DeepPotFrame(
    ...     max_neighbors={"H": 2, "O": 1}, cutoff_function=None, species=("H", "O")
    ... )
    >>> frame.values(environments)[0].round(2) + 0.0  # of the oxygen: two H, 0.97 Å away
    array([[ 1.03,  1.03,  0.  ,  0.  ],
           [ 1.03, -0.25,  1.  ,  0.  ],
           [ 0.  ,  0.  ,  0.  ,  0.  ]])
    """

    def __init__(self, cutoff=6.0, max_neighbors=32, cutoff_function="polynomial", species=None):
        self.cutoff = cutoff
        self.max_neighbors = max_neighbors
        self.cutoff_function = cutoff_function
        self.species = species

    @property
    def tile_shape(self):
        """Shape of the values of one atom: (rows of all species, 4)."""
        return int(self._rows().sum()), 4

    @property
    def _numbers_per_pair(self):
        return 100

    def _rows(self):
        """Return the number of rows of each species."""
        numbers = self.species_numbers.tolist()
        rows = self.max_neighbors
        if isinstance(rows, Mapping):
            rows = {atomic_number(one): n for one, n in rows.items()}
            if set(rows) != set(numbers):
                raise ValueError(
                    f"max_neighbors must have a number for each of species={self.species!r}. "
                    f"Got {self.max_neighbors!r}."
                )
            rows = [rows[number] for number in numbers]
        else:
            rows = [rows] * len(numbers)
        if not all(isinstance(n, Integral) and n > 0 for n in rows):
            raise ValueError(
                f"max_neighbors must be positive integers. Got {self.max_neighbors!r}."
            )
        return np.array(rows)

    def _check(self):
        choices = (None, *CUTOFF_FUNCTIONS)
        if self.cutoff_function not in choices:
            raise ValueError(
                f"cutoff_function must be one of {choices}. Got {self.cutoff_function!r}."
            )
        self._rows()

    def _check_environments(self, environments):
        super()._check_environments(environments)
        near = np.linalg.norm(environments.vectors, axis=1) < self.cutoff
        species = np.searchsorted(self.species_numbers, environments.neighbor_numbers[near])
        counts = np.zeros((environments.n_centers, len(self.species_numbers)), dtype=int)
        np.add.at(counts, (environments.centers[near], species), 1)
        crowded = np.argwhere(counts > self._rows())
        if crowded.size:
            center, kind = crowded[0]
            most = dict(
                zip(map(symbol, self.species_numbers), counts.max(axis=0).tolist(), strict=True)
            )
            raise ValueError(
                f"{environments.structures.place(environments.atoms[center])}, has "
                f"{counts[center, kind]} neighbours of {symbol(self.species_numbers[kind])} within "
                f"{self.cutoff:g} Å, and there are {self._rows()[kind]} rows for them. None is "
                f"left out: take a shorter cutoff, or max_neighbors={most}, the most there are "
                "here, and some more for structures to come."
            )

    def _frames(self, pairs):
        """Return the frames of a block, and the row of each pair."""
        vectors = pairs.vectors
        distances = np.linalg.norm(vectors, axis=1)
        rounded = np.round(distances, _DECIMALS)
        units = vectors / distances[:, None]
        by_distance = np.lexsort((pairs.species, rounded, pairs.centers))
        first = np.full(pairs.n_centers, -1)
        centers, at = np.unique(pairs.centers[by_distance], return_index=True)
        first[centers] = by_distance[at]
        sines = np.linalg.norm(np.cross(units[first[pairs.centers]], units), axis=1)
        on_line = sines < _LEAST_SINE
        # The nearest off the line; if there is none, the one that is farthest off.
        rank = np.where(on_line, -sines, rounded)
        by_rank = np.lexsort((pairs.species, rank, on_line, pairs.centers))
        second = np.full(pairs.n_centers, -1)
        centers, at = np.unique(pairs.centers[by_rank], return_index=True)
        second[centers] = by_rank[at]
        second[centers[sines[second[centers]] < _NO_SINE]] = -1

        in_row = np.lexsort((rounded, pairs.species, pairs.centers))
        segment = (pairs.centers * pairs.n_species + pairs.species)[in_row]
        starts = np.flatnonzero(np.diff(segment, prepend=-1))
        lengths = np.diff(starts, append=len(segment))
        slots = np.empty(len(segment), dtype=int)
        slots[in_row] = np.arange(len(segment)) - np.repeat(starts, lengths)
        rows = self._rows()
        slots += (np.cumsum(rows) - rows)[pairs.species]

        if self.cutoff_function is None:
            f, df = np.ones_like(distances), np.zeros_like(distances)
        else:
            f, df = CUTOFF_FUNCTIONS[self.cutoff_function](distances, self.cutoff)
        return _Frames(pairs, distances, units, first, second, slots, f, df)

    def _values(self, pairs):
        frames = self._frames(pairs)
        out = np.zeros((pairs.n_centers, *self.tile_shape))
        out[pairs.centers, frames.slots] = frames.values()
        return out

    def _pull(self, pairs, gradients):
        frames = self._frames(pairs)
        return frames.pull(gradients[pairs.centers, frames.slots])

    def _push(self, pairs, tangents):
        frames = self._frames(pairs)
        out = np.zeros((pairs.n_centers, *self.tile_shape))
        out[pairs.centers, frames.slots] = frames.push(tangents)
        return out


@dataclass
class _Frames:
    """The axes of each centre, and the coordinates of its neighbours in them.

    The axes e come from the vectors a and b to two neighbours: e1 along a, e3 along n = a × b,
    e2 = e3 × e1. Centres without a second neighbour off the line have e2 = e3 = 0.
    """

    pairs: object
    distances: np.ndarray
    units: np.ndarray
    first: np.ndarray  # (n_centers,): the pair of the first axis, -1 for none
    second: np.ndarray
    slots: np.ndarray  # (n_pairs,): the row of each pair
    f: np.ndarray
    df: np.ndarray

    def __post_init__(self):
        vectors = np.vstack([self.pairs.vectors, np.zeros(3)])  # the last one is that of -1
        self.a, self.b = vectors[self.first], vectors[self.second]
        self.length, e1 = _normalised(self.a)
        self.normal, e3 = _normalised(np.cross(self.a, self.b))
        self.axes = np.stack([e1, np.cross(e3, e1), e3], axis=1)  # (n_centers, 3 axes, 3)
        self.local = np.einsum("pkd,pd->pk", self.axes[self.pairs.centers], self.pairs.vectors)
        # Factors f/r of 1/r and f/r² of x/r², and their derivatives by r.
        r = self.distances
        self.g, self.dg = self.f / r, (self.df - self.f / r) / r
        self.h, self.dh = self.g / r, (self.dg - self.g / r) / r

    def values(self):
        return np.column_stack([self.g, self.local * self.h[:, None]])

    def push(self, tangents):
        """Return the change of each pair's four numbers."""
        moves = np.vstack([tangents, np.zeros(3)])
        da, db = moves[self.first], moves[self.second]
        e1, _, e3 = self.axes.transpose(1, 0, 2)
        de1 = _turned(da, e1, self.length)
        de3 = _turned(np.cross(da, self.b) + np.cross(self.a, db), e3, self.normal)
        de2 = np.cross(de3, e1) + np.cross(e3, de1)
        turns = np.stack([de1, de2, de3], axis=1)[self.pairs.centers]
        local = np.einsum("pkd,pd->pk", turns, self.pairs.vectors)
        local += np.einsum("pkd,pd->pk", self.axes[self.pairs.centers], tangents)
        along = np.einsum("pd,pd->p", self.units, tangents)
        change = local * self.h[:, None] + self.local * (self.dh * along)[:, None]
        return np.column_stack([self.dg * along, change])

    def pull(self, gradients):
        """Return dE/dvectors from the derivatives by each pair's four numbers."""
        centers, n = self.pairs.centers, self.pairs.n_centers
        by_local = gradients[:, 1:] * self.h[:, None]
        along = gradients[:, 0] * self.dg
        along += np.einsum("pk,pk->p", gradients[:, 1:], self.local) * self.dh
        out = along[:, None] * self.units
        out += np.einsum("pkd,pk->pd", self.axes[centers], by_local)
        by_axes = np.zeros((n, 3, 3))
        for k in range(3):
            for d in range(3):
                by_axes[:, k, d] = np.bincount(
                    centers, by_local[:, k] * self.pairs.vectors[:, d], n
                )
        by_e1, by_e2, by_e3 = by_axes.transpose(1, 0, 2)
        e1, _, e3 = self.axes.transpose(1, 0, 2)
        by_e1 = by_e1 + np.cross(by_e2, e3)
        by_normal = _turned(by_e3 + np.cross(e1, by_e2), e3, self.normal)
        by_a = _turned(by_e1, e1, self.length) + np.cross(self.b, by_normal)
        by_b = np.cross(by_normal, self.a)
        for where, by_vector in ((self.first, by_a), (self.second, by_b)):
            there = where >= 0
            out[where[there]] += by_vector[there]  # no pair belongs to two centres
        return out


def _normalised(vectors):
    """Return lengths, and vectors of length 1; infinity and 0 where there is no direction."""
    lengths = np.linalg.norm(vectors, axis=1)
    lengths[lengths == 0] = np.inf
    return lengths, vectors / lengths[:, None]


def _turned(change, unit, length):
    """Return the change of a direction with that of its vector, which is its own adjoint."""
    along = np.einsum("id,id->i", unit, change)
    return (change - along[:, None] * unit) / length[:, None]
