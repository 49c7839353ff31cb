"""Tell structures apart that are the same but for a rotation, a shift or the order of atoms."""

from __future__ import annotations

import numpy as np

from ..descriptors import PowerSpectrum
from ..structures import Structures, neighbor_pairs


class Fingerprint:
    """Describe a structure by mean and spread of the power spectra of its atoms, for each element.

    Cells of different sizes of the same crystal have the same fingerprint.

    Parameters
    ----------
    species : sequence of int
        Atomic numbers.
    cutoff : float, default=5.0, in Å

    Examples
    --------
    >>> from ase.build import bulk
    >>> from sk_ednn.search import Fingerprint
    >>> fingerprint = Fingerprint([29])
    >>> cell, cubic = bulk("Cu"), bulk("Cu", cubic=True)
    >>> fingerprint.distance(fingerprint(cell), fingerprint(cubic)) < 1e-10
    True
    >>> fingerprint.distance(fingerprint(cell), fingerprint(bulk("Cu", "bcc", a=2.86))) > 0.05
    True
    """

    def __init__(self, species, cutoff=5.0):
        self.species = tuple(sorted({int(number) for number in species}))
        self._descriptor = PowerSpectrum(cutoff, n_radial=4, max_l=4, species=self.species)

    def __call__(self, structure) -> np.ndarray:
        """Return the fingerprint of a structure, (n_numbers,)."""
        pairs = neighbor_pairs(Structures.of([structure]), self._descriptor.cutoff)
        values = self._descriptor.values(pairs)
        parts = []
        for number in self.species:
            of_species = values[np.asarray(structure.numbers) == number]
            if not len(of_species):
                of_species = np.zeros((1, values.shape[1]))
            parts += [of_species.mean(axis=0), of_species.std(axis=0)]
        return np.concatenate(parts)

    @staticmethod
    def distance(a, b) -> float:
        """Return the difference of two fingerprints, relative to their size."""
        size = np.linalg.norm(a) + np.linalg.norm(b)
        return float(2.0 * np.linalg.norm(a - b) / size) if size > 0 else 0.0
