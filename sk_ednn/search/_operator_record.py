"""Choose the operator that makes the next structure, by the successes of each."""

from __future__ import annotations

import numpy as np

# Structures with a symmetry are seldom among the best, but they lead out of what the others vary.
FLOORS = {"symmetric": 0.2}


class OperatorRecord:
    """Success rates of operators, and a random choice by these rates.

    Parameters
    ----------
    names : sequence of str
    floor : float, default=0.05
        Minimum probability of each operator.
    floors : dict of str to float, default=None
        Minimum probabilities of some operators, in place of `floor`. Other names are ignored.

    Raises
    ------
    ValueError
        If the minimum probabilities add up to more than 1.

    Examples
    --------
    >>> from sk_ednn.search import OperatorRecord
    >>> record = OperatorRecord(["rattle", "strain"])
    >>> for success in (True, True, False):
    ...     record.add("rattle", success)
    >>> record.chances().round(2).tolist()  # (2 + 1) / (3 + 2) against (0 + 1) / (0 + 2)
    [0.54, 0.46]
    """

    def __init__(self, names, floor=0.05, floors=None):
        self.tried = {name: 0 for name in names}
        self.succeeded = {name: 0 for name in names}
        self._floors = np.array([(floors or {}).get(name, floor) for name in self.tried])
        if self._floors.sum() > 1:
            raise ValueError(
                f"The floors of {len(self.tried)} operators must add up to at most 1, got "
                f"{self._floors.sum():.3g}. Lower floor or floors."
            )

    def add(self, name, success):
        """Record that an operator was tried, and its success; unknown operators are ignored."""
        if name in self.tried:
            self.tried[name] += 1
            self.succeeded[name] += bool(success)

    def chances(self) -> np.ndarray:
        """Return the probability of each operator."""
        rates = np.array([(self.succeeded[n] + 1) / (self.tried[n] + 2) for n in self.tried])
        return self._floors + (1.0 - self._floors.sum()) * rates / rates.sum()

    def draw(self, rng, among=None) -> str:
        """Return the name of an operator, of all or of some."""
        names, chances = list(self.tried), self.chances()
        if among is not None:
            chances = np.where([name in among for name in names], chances, 0.0)
        return names[rng.choice(len(names), p=chances / chances.sum())]
