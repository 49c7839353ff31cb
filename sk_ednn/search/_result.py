"""The result of a search."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class HullPoint:
    """A structure on the convex hull: the best one of its composition.

    Attributes
    ----------
    composition : dict of int to int
        Number of atoms of each atomic number.
    structure : Structure
    energy : float, in eV per atom
    """

    composition: dict
    structure: object
    energy: float


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes
    ----------
    structure : Structure or None
        Structure with the lowest energy per atom; None if no label succeeded.
    energy : float
        In eV per atom, by the labeller.
    n_labels : int
        Number of calls of the labeller, including failed ones.
    energies : ndarray of shape (n_labelled,)
        In eV per atom, in the order of selection.
    reason : {"labels", "target", "time", "stopped", "exhausted"}
    hull : list of HullPoint
        The convex hull of energies over compositions; one point if there is one composition.
    failures : dict of str to int
        Reasons why labels failed, with their numbers, the most frequent first.
    """

    structure: object
    energy: float
    n_labels: int
    energies: np.ndarray
    reason: str
    hull: list
    failures: dict = field(default_factory=dict)

    @property
    def n_failed(self) -> int:
        """Number of labels that failed."""
        return sum(self.failures.values())
