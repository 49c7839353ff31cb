"""Descriptors that are computed from pairs of atoms, block by block of centres."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from ._base import AbstractDescriptor, checked_array
from ._segments import Segments


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of some consecutive centres, as a descriptor works on them.

    Pairs are in the order of `segments`, whose number is ``center * n_species + species``. Within
    a segment they are in the order of the environments.
    """

    n_centers: int
    n_species: int
    centers: np.ndarray  # (n_pairs,), counted from the first centre of the block
    species: np.ndarray  # (n_pairs,), which of the descriptor's species the neighbour is
    vectors: np.ndarray  # (n_pairs, 3), in Å
    segments: Segments


class AbstractPairDescriptor(AbstractDescriptor):
    """A descriptor whose values are sums over the pairs of a centre, with bounded memory.

    Subclasses implement `tile_shape`, `_check`, `_numbers_per_pair`, and `_values`, `_pull` and
    `_push`, each for the pairs of a block.
    """

    # Numbers in the temporary arrays of a block, some 8 MB of them: larger blocks leave the cache,
    # and smaller ones cost more calls.
    block_numbers = 2**20

    @property
    @abstractmethod
    def _numbers_per_pair(self):
        """Estimate how many numbers each pair needs while a block is processed."""

    @abstractmethod
    def _check(self):
        """Raise ValueError for invalid parameters."""

    @abstractmethod
    def _values(self, pairs):
        """Return the values of a block, of shape (n_centers, *tile_shape)."""

    @abstractmethod
    def _pull(self, pairs, gradients):
        """Return dE/dvectors, (n_pairs, 3), from dE/dvalues, (n_centers, *tile_shape)."""

    @abstractmethod
    def _push(self, pairs, tangents):
        """Return the change of values with that of vectors, of shape (n_centers, *tile_shape)."""

    def values(self, environments):
        """Describe each centre: see `AbstractDescriptor.values`."""
        self._check_environments(environments)
        out = np.empty((environments.n_centers, *self.tile_shape))
        for centers, _, pairs in self._blocks(environments):
            out[centers] = self._values(pairs)
        return out

    def pull(self, environments, gradients):
        """Return dE/dvectors from dE/dvalues: see `AbstractDescriptor.pull`."""
        self._check_environments(environments)
        shape = (environments.n_centers, *self.tile_shape)
        gradients = checked_array(gradients, shape, "gradients")
        out = np.zeros((environments.n_pairs, 3))
        for centers, where, pairs in self._blocks(environments):
            out[where] = self._pull(pairs, gradients[centers])
        return out

    def push(self, environments, tangents):
        """Return the change of values with that of vectors: see `AbstractDescriptor.push`."""
        self._check_environments(environments)
        tangents = checked_array(tangents, (environments.n_pairs, 3), "tangents")
        out = np.empty((environments.n_centers, *self.tile_shape))
        for centers, where, pairs in self._blocks(environments):
            out[centers] = self._push(pairs, tangents[where])
        return out

    def _check_parameters(self):
        super()._check_parameters()
        try:
            self._check()
        except TypeError as error:  # of a comparison or a conversion
            raise ValueError(f"A parameter of {self!r} is of a wrong type: {error}.") from error

    def _blocks(self, environments):
        """Yield the centres of each block as a slice, the numbers of its pairs, and the pairs."""
        numbers = self.species_numbers
        lookup = np.zeros(numbers[-1] + 1, dtype=np.int64)
        lookup[numbers] = np.arange(len(numbers))
        wider = environments.cutoff > self.cutoff
        ends = np.cumsum(environments.counts)
        most_pairs = max(1, self.block_numbers // self._numbers_per_pair)
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
            segments = Segments(centers * len(numbers) + species, (last - first) * len(numbers))
            order = segments.order
            where = where[order]
            pairs = Pairs(
                last - first,
                len(numbers),
                centers[order],
                species[order],
                environments.vectors[where],
                segments,
            )
            yield slice(first, last), where, pairs
            first, done = last, ends[last - 1]
