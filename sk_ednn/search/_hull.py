"""The convex hull of energies over compositions."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from ..fields._fields import require_finite
from ..fields._in_memory import as_array


class ConvexHull:
    """Lower convex hull of the energies per atom of mixtures of structures.

    ::

        E(x) = min Σ λ_k e_k    with  Σ λ_k x_k = x,  Σ λ_k = 1,  λ_k >= 0

    Parameters
    ----------
    compositions : array-like of shape (n_structures, n_elements)
        Numbers of atoms, or fractions.
    energies : array-like of shape (n_structures,), in eV per atom

    Examples
    --------
    >>> from sk_ednn.search import ConvexHull
    >>> hull = ConvexHull([[1, 0], [0, 1], [1, 1]], [0.0, -1.0, -0.9])
    >>> round(hull.energy([3, 1]), 6)  # halfway between the first and the third
    -0.45
    >>> round(hull.above([1, 1], -0.7), 6)
    0.2
    """

    def __init__(self, compositions, energies):
        self._shares = _shares(compositions)
        self._energies = as_array(energies, "energies", float)
        require_finite(self._energies, "energies")
        if len(self._energies) != len(self._shares) or not len(self._energies):
            raise ValueError(
                f"Expected an energy for each composition, got {len(self._energies)} for "
                f"{len(self._shares)}."
            )
        self._known: dict = {}

    def energy(self, composition) -> float:
        """Return the energy of the hull, in eV per atom; NaN outside of all compositions."""
        (share,) = _shares([composition])
        key = share.tobytes()
        if key not in self._known:
            solution = linprog(
                self._energies, A_eq=np.vstack([self._shares.T, np.ones(len(self._shares))]),
                b_eq=np.append(share, 1.0), bounds=(0, None), method="highs",
            )  # fmt: skip
            self._known[key] = float(solution.fun) if solution.success else float("nan")
        return self._known[key]

    def above(self, composition, energy):
        """Return how far an energy is above the hull, in eV per atom."""
        return energy - self.energy(composition)

    def vertices(self, tolerance=1e-9) -> list[int]:
        """Return the structures on the hull, one for each composition."""
        on: dict = {}
        for k, (share, energy) in enumerate(zip(self._shares, self._energies, strict=True)):
            if energy <= self.energy(share) + tolerance:
                on.setdefault(share.round(12).tobytes(), k)
        return sorted(on.values())


def _shares(compositions) -> np.ndarray:
    counts = as_array(compositions, "compositions", float)
    require_finite(counts, "compositions")
    if counts.ndim != 2 or (counts < 0).any() or (counts.sum(axis=1) <= 0).any():
        raise ValueError("Expected compositions as numbers of atoms, (n_structures, n_elements).")
    return counts / counts.sum(axis=1, keepdims=True)
