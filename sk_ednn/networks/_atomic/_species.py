"""Atomic numbers and their place among the species of a model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...exceptions import TileModelError
from ...structures import atomic_number

_N_ELEMENTS = 119


class SpeciesIndex:
    """Places of atomic numbers among some species, in ascending order.

    The order in which species are given changes nothing.

    Parameters
    ----------
    species : sequence of int or str
        Atomic numbers or symbols.

    Raises
    ------
    TileModelError
        If there is none, or one that is not an atomic number.
    """

    def __init__(self, species):
        species = [species] if isinstance(species, str | int) else list(species)
        numbers = sorted({atomic_number(one) for one in species})
        if not numbers:
            raise TileModelError("A network needs one species or more, got none.")
        self.numbers = tuple(numbers)
        self._places = torch.zeros(_N_ELEMENTS, dtype=torch.int64)
        self._places[list(numbers)] = torch.arange(len(numbers))

    def __len__(self):
        return len(self.numbers)

    def __call__(self, numbers: Tensor) -> Tensor:
        """Return the place of each atomic number; 0 for numbers that are not among the species."""
        if self._places.device != numbers.device:
            self._places = self._places.to(numbers.device)
        return self._places[numbers]

    def check(self, numbers) -> None:
        """Raise if an atomic number is not among the species.

        Parameters
        ----------
        numbers : array-like of int

        Raises
        ------
        TileModelError
            Naming the first.
        """
        unseen = sorted(set(np.unique(np.asarray(numbers)).tolist()) - set(self.numbers))
        if unseen:
            raise TileModelError(
                f"The model was trained on the species {list(self.numbers)} (atomic numbers), "
                f"but the structures contain {unseen}: train it with structures that contain "
                "them, too."
            )
