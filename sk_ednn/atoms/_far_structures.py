"""A warning where structures are far from those that a potential was fitted to."""

from __future__ import annotations

import warnings

import numpy as np

from .._utils.stacklevel import outside_package
from ..exceptions import NoveltyWarning
from ..structures._elements import symbol

# Novelty beyond which atoms are far from known ones; a calculator warns much earlier.
_FAR = 5.0
# Novelty costs about as much as forces: atoms that are compared in a prediction, from whole
# structures, and the largest structure.
_ATOMS, _LARGEST = 256, 1024


def warn_of_far_structures(novelty_of, batch, places) -> None:
    """Warn of structures far from the training data, such as those in other units.

    Some structures that are spread over the batch are compared.

    Parameters
    ----------
    novelty_of : callable
        Of `Structures`; returns the novelty of all atoms.
    batch : Structures
    places : sequence of str
        Name of each structure.
    """
    chosen = _spread(np.diff(batch.offsets))
    if len(chosen) == 0:
        return
    some = batch.take(chosen)
    novelty = novelty_of(some)
    atom = int(np.argmax(novelty))
    if not novelty[atom] > _FAR:
        return
    k = int(some.owners[atom])
    within = atom - int(some.offsets[k])
    warnings.warn(
        f"{places[chosen[k]]}, atom {within} ({symbol(int(some.numbers[atom]))}) has surroundings "
        f"far from those of the training data: its novelty is {novelty[atom]:.3g}, up to 1 is "
        f"known, and {int((novelty > _FAR).sum())} of {len(novelty)} atoms that were compared are "
        f"beyond {_FAR:g}. Predictions are extrapolations. Check that lengths are in Å.",
        NoveltyWarning,
        stacklevel=outside_package(),
    )


def _spread(sizes) -> np.ndarray:
    """Return the numbers of structures, spread over all, with a bounded number of atoms."""
    suited = np.flatnonzero((sizes > 0) & (sizes <= _LARGEST))
    if len(suited) == 0:
        return suited
    n = int(np.clip(_ATOMS // max(1, int(np.mean(sizes[suited]))), 1, len(suited)))
    return suited[np.unique(np.linspace(0, len(suited) - 1, n).astype(int))]
