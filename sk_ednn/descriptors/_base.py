"""The contract of descriptors: values, and products with their Jacobian from either side."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, clone

from ..structures._elements import atomic_number, symbol
from ._segments import Segments

# Temporary arrays of this many numbers for each pair are what blocks are sized by; blocks of some
# 8 MB stay in the second-level cache for most of the work.
_BLOCK_NUMBERS = 2**20


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of some consecutive centres, as a descriptor works on them.

    Pairs are in the order of `segments`, whose number is ``center * n_species + species``.
    """

    n_centers: int
    n_species: int
    centers: np.ndarray  # (n_pairs,), counted from the first centre of the block
    species: np.ndarray  # (n_pairs,), which of the descriptor's species the neighbour is
    vectors: np.ndarray  # (n_pairs, 3), in Å
    segments: Segments


class AbstractDescriptor(BaseEstimator, ABC):
    """Describe the environment of an atom by numbers that differentiate.

    A subclass takes at least ``cutoff``, in Å, and ``species`` in ``__init__``, stores its
    parameters as they are given, and implements `tile_shape`, `_check`, `_values`, `_pull` and
    `_push`, each on a block of centres.

    `species` are the elements that neighbours may be: a tuple of symbols or atomic numbers, in any
    order, or None, to be set by `with_species`.
    """

    cutoff: float
    species: tuple | None

    # Numbers that each pair needs while a block is worked on. Subclasses set it.
    _numbers_per_pair = 100

    @property
    @abstractmethod
    def tile_shape(self):
        """Shape of what describes one atom."""

    @abstractmethod
    def _check(self):
        """Raise ValueError for parameters that make no sense."""

    @abstractmethod
    def _values(self, pairs):
        """Return the values of a block, of shape (n_centers, *tile_shape)."""

    @abstractmethod
    def _pull(self, pairs, slopes):
        """Return dE/dvectors, (n_pairs, 3), from dE/dvalues, (n_centers, *tile_shape)."""

    @abstractmethod
    def _push(self, pairs, tangents):
        """Return the change of values with that of vectors, of shape (n_centers, *tile_shape)."""

    @property
    def species_numbers(self):
        """Atomic numbers of the species, ascending.

        Raises
        ------
        ValueError
            If `species` is None, or lists an element twice or one that there is not.
        """
        if self.species is None:
            raise ValueError(
                f"The species of {type(self).__name__} are not known. Set species=('Si', 'O'), or "
                "take with_species(numbers) with the atomic numbers of the structures."
            )
        species = (self.species,) if isinstance(self.species, str) else tuple(self.species)
        numbers = sorted(atomic_number(one) for one in species)
        if not numbers or len(set(numbers)) < len(numbers):
            raise ValueError(
                f"species must be a tuple of one or more different elements. Got {self.species!r}."
            )
        return np.array(numbers)

    def with_species(self, numbers):
        """Return a copy that knows the species of these atoms.

        Parameters
        ----------
        numbers : array-like of int
            Atomic numbers, repeated as they like.

        Returns
        -------
        AbstractDescriptor
            With `species` as they are where they are given already.

        Raises
        ------
        ValueError
            If `species` are given, and the numbers have others.
        """
        if self.species is not None:
            self._check_known(np.asarray(numbers))
            return clone(self)
        return clone(self).set_params(species=tuple(np.unique(numbers).tolist()))

    def values(self, environments):
        """Describe each centre.

        Parameters
        ----------
        environments : Environments
            Of a cutoff at least as large as the descriptor's.

        Returns
        -------
        ndarray of float64 of shape (n_centers, *tile_shape)

        Raises
        ------
        ValueError
            If neighbours are of unknown species, or the cutoff of the environments is too small.
        """
        out = np.empty((environments.n_centers, *self.tile_shape))
        for centers, _, pairs in self._blocks(environments):
            out[centers] = self._values(pairs)
        return out

    def pull(self, environments, slopes):
        """Turn derivatives by values into derivatives by pair vectors (vector-Jacobian product).

        Parameters
        ----------
        environments : Environments
        slopes : ndarray of shape (n_centers, *tile_shape)
            dE/dvalues.

        Returns
        -------
        ndarray of float64 of shape (n_pairs, 3)
            dE/dvectors, for `Environments.gradient`.
        """
        slopes = self._shaped(slopes, (environments.n_centers, *self.tile_shape), "slopes")
        out = np.zeros((environments.n_pairs, 3))
        for centers, where, pairs in self._blocks(environments):
            out[where] = self._pull(pairs, slopes[centers])
        return out

    def push(self, environments, tangents):
        """Return the change of values with that of pair vectors (Jacobian-vector product).

        Parameters
        ----------
        environments : Environments
        tangents : ndarray of shape (n_pairs, 3)
            As of `Environments.displace`.

        Returns
        -------
        ndarray of float64 of shape (n_centers, *tile_shape)
        """
        tangents = self._shaped(tangents, (environments.n_pairs, 3), "tangents")
        out = np.empty((environments.n_centers, *self.tile_shape))
        for centers, where, pairs in self._blocks(environments):
            out[centers] = self._push(pairs, tangents[where])
        return out

    def _shaped(self, values, shape, name):
        values = np.asarray(values, dtype=np.float64)
        if values.shape != shape:
            raise ValueError(f"{name} must be of shape {shape}. Got {values.shape}.")
        return values

    def _blocks(self, environments):
        """Yield the centres of each block as a slice, the numbers of its pairs, and the pairs."""
        self._check_all(environments)
        known = self.species_numbers
        lookup = np.zeros(known[-1] + 1, dtype=np.int64)
        lookup[known] = np.arange(len(known))
        wider = environments.cutoff > self.cutoff
        ends = np.cumsum(environments.counts)
        most_pairs = max(1, _BLOCK_NUMBERS // self._numbers_per_pair)
        first = done = 0
        while first < environments.n_centers:
            last = max(first + 1, int(np.searchsorted(ends, done + most_pairs, side="right")))
            # Centres without neighbours cost memory too.
            last = min(last, first + most_pairs)
            where = np.arange(done, ends[last - 1])
            if wider:
                squared = np.einsum("pd,pd->p", *[environments.vectors[where]] * 2)
                where = where[squared < self.cutoff**2]
            centers = environments.centers[where] - first
            species = lookup[environments.neighbor_numbers[where]]
            segments = Segments(centers * len(known) + species, (last - first) * len(known))
            order = segments.order
            where = where[order]
            pairs = Pairs(
                last - first,
                len(known),
                centers[order],
                species[order],
                environments.vectors[where],
                segments,
            )
            yield slice(first, last), where, pairs
            first, done = last, ends[last - 1]

    def _check_all(self, environments):
        if not (np.isscalar(self.cutoff) and np.isfinite(self.cutoff) and self.cutoff > 0):
            raise ValueError(f"cutoff must be a positive number of Å. Got {self.cutoff!r}.")
        self._check()
        if environments.cutoff < self.cutoff:
            raise ValueError(
                f"{type(self).__name__} looks {self.cutoff:g} Å far, and the environments "
                f"{environments.cutoff:g} Å. Take neighbor_pairs(structures, {self.cutoff:g})."
            )
        self._check_known(environments.neighbor_numbers)

    def _check_known(self, numbers):
        known = self.species_numbers
        unknown = np.flatnonzero(~np.isin(np.arange(numbers.max(initial=0) + 1), known))
        present = np.bincount(numbers, minlength=1)
        unknown = unknown[present[unknown] > 0]
        if unknown.size:
            raise ValueError(
                f"{type(self).__name__} knows the species "
                f"{', '.join(symbol(number) for number in known)}, and the structures contain "
                f"{', '.join(symbol(number) for number in unknown)}. Add these to species and fit "
                "to structures that contain them."
            )
