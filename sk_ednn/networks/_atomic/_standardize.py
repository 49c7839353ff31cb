"""Means and spreads of the features of a network over training structures."""

from __future__ import annotations

import numpy as np
import torch

# Structures that are read; more change means and spreads little.
_SAMPLE = 256
_BATCH = 8


@torch.no_grad()
def standardize(network, table, seed) -> None:
    """Standardise the features of each species on a sample of training structures.

    Parameters
    ----------
    network : AbstractAtomicNetwork
        Changed in place.
    table : NeighborTable
        All training structures.
    seed : int
        Seed of the sample.

    Notes
    -----
    Structures with species that the sample lacks are added to it. A species with a single atom
    keeps the scale 1.
    """
    moments = {number: _Moments() for number in network.index.numbers}
    sample = _sample(table, seed)
    for start in range(0, len(sample), _BATCH):
        batch = table.batch(sample[start : start + _BATCH])
        values = network.representation.values(batch)
        features = network.features(values, batch).double()
        for number, atoms in batch.species:
            moments[number].add(features[atoms])
    for number, of_species in moments.items():
        if of_species.n:
            network.first[number].set_moments(of_species.mean, of_species.std)


def _sample(table, seed):
    n = len(table)
    order = np.random.default_rng([seed, n]).permutation(n)
    chosen = order[:_SAMPLE].tolist()
    present = {k: set(table.numbers_of(k)) for k in chosen}
    seen = set().union(*present.values())
    for k in order[_SAMPLE:].tolist():
        new = set(table.numbers_of(k)) - seen
        if new:
            chosen.append(k)
            seen |= new
    return sorted(chosen)


class _Moments:
    """Mean and sum of squared deviations of rows, batch by batch."""

    def __init__(self):
        self.n, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, rows):
        n, mean = len(rows), rows.mean(0)
        squares = (rows - mean).square().sum(0)
        both = self.n + n
        shift = mean - self.mean
        self.squares = self.squares + squares + shift.square() * (self.n * n / both)
        self.mean = self.mean + shift * (n / both)
        self.n = both

    @property
    def std(self):
        return (self.squares / self.n).sqrt()
