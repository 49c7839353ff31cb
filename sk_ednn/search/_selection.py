"""Select the structures that are labelled next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Thresholds:
    """Limits of the spread of a committee, in eV per atom, from errors of held-out labels.

    Attributes
    ----------
    trusted : float
        Spread below which a label would not help.
    doubtful : float
        Nine tenths of the errors are below this.
    """

    trusted: float
    doubtful: float

    @classmethod
    def of(cls, errors, low=0.1, high=0.9):
        """Return the quantiles of held-out errors.

        Parameters
        ----------
        errors : array-like of shape (n_structures,), in eV per atom
        low, high : float, default=0.1, 0.9
        """
        errors = np.asarray(errors, dtype=float)
        errors = errors[np.isfinite(errors)]
        if not len(errors):
            return cls(0.0, np.inf)
        return cls(*(float(q) for q in np.quantile(errors, [low, high])))


@dataclass(eq=False)
class Candidate:
    """A structure that may be labelled; energies are those of the surrogate, in eV."""

    structure: Any  # Structure, whose parts are arrays here
    energy: float
    std: float
    origin: str
    parents: tuple
    fingerprint: np.ndarray
    model: int = 0
    reference: float = 0.0  # eV per atom: the hull at this composition, where there are several
    refines: bool = False  # the best structure so far, whose label corrected the surrogate

    @property
    def lowest(self) -> float:
        """Lower limit of the energy per atom: two standard deviations below the prediction."""
        per_atom = (self.energy - 2.0 * self.std) / len(self.structure.numbers)
        return per_atom - self.reference

    @property
    def spread(self) -> float:
        """Standard deviation of the energy per atom."""
        return self.std / len(self.structure.numbers)


def select(candidates, n, thresholds, fingerprints, min_distance=0.005, explore=1 / 3, start=0):
    """Select structures for labels: in turn those of lowest E − 2σ and of largest σ.

    Parameters
    ----------
    candidates : list of Candidate
    n : int
        Maximum number of structures.
    thresholds : Thresholds
    fingerprints : list of ndarray
        Fingerprints of structures that have a label, wait for one or failed.
    min_distance : float, default=0.005
        Structures closer to a known one, or to one another, are duplicates.
    explore : float, default=1/3
        Share of structures with the largest σ.
    start : int, default=0
        Number of structures selected before, so that shares are correct over several calls.

    Returns
    -------
    list of Candidate
    """
    fingerprints = np.asarray(fingerprints)
    left = [c for c in candidates if not is_known(c.fingerprint, fingerprints, min_distance)]
    chosen, new = [], []
    for number in range(start, start + n):
        exploring = int((number + 1) * explore) > int(number * explore)
        if exploring:
            order = sorted(left, key=lambda c: -c.spread)
            order = [c for c in order if c.spread > thresholds.trusted]
        else:
            order = sorted(left, key=lambda c: c.lowest)
        for candidate in order or sorted(left, key=lambda c: c.lowest):
            if not is_known(candidate.fingerprint, new, min_distance):
                chosen.append(candidate)
                new.append(candidate.fingerprint)
                left.remove(candidate)
                break
        else:
            break
    return chosen


def is_known(fingerprint, fingerprints, min_distance) -> bool:
    """Return True if a fingerprint is that of a known structure."""
    if not len(fingerprints):
        return False
    # All at once: with hundreds of known structures a loop would cost more than relaxations.
    fingerprints = np.asarray(fingerprints)
    sizes = np.linalg.norm(fingerprints, axis=1) + np.linalg.norm(fingerprint)
    apart = np.linalg.norm(fingerprints - fingerprint, axis=1)
    return bool(np.any(2.0 * apart < min_distance * sizes) or np.any(sizes == 0.0))
