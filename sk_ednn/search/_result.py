"""The result of a search."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class HullPoint:
    """The best structure of a composition that no mixture of others beats.

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
        Structure of the lowest energy per atom; None where no label succeeded.
    energy : float
        In eV per atom, by the labeller.
    n_labels : int
        Calls of the labeller, failed ones included.
    energies : ndarray of shape (n_labelled,)
        In eV per atom, in the order in which structures were chosen.
    reason : {"labels", "target", "time", "stopped", "exhausted"}
    hull : list of HullPoint
        The convex hull of energies over compositions; one point where there is one composition.
    failures : dict of str to int
        Why labels failed, and how many, the most frequent reason first.
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
