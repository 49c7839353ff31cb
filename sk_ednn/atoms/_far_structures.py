"""Warnings where structures are far from those that a potential was fitted to.

The novelty of atoms does not show that lengths are too long: an atom that lost all its neighbours
is known if there were isolated atoms, and has their energy. So distances are compared, too.
"""

from __future__ import annotations

import warnings

import numpy as np

from .._utils.stacklevel import outside_package
from ..exceptions import NoveltyWarning
from ..structures._distances import nearest_distances as nearest_of_atoms
from ..structures._distances import spread
from ..structures._elements import symbol

# Novelty beyond which atoms are far from known ones; a calculator warns much earlier.
_FAR = 5.0
# Atoms of a fit that are compared, and how far their neighbours are searched, in Å.
_ATOMS_OF_FIT, _RADIUS = 4096, 6.0
# Atoms without a neighbour within so many median distances are far apart: less than Å in bohr.
_APART = 1.6
# Atoms within such a distance on average, of structures that are not compared.
_DENSE = 1e3


def nearest_distances(structures) -> dict[int, float]:
    """Return the median distance of nearest neighbours by atomic number, in Å.

    Species of which most atoms have no neighbour are left out.

    Parameters
    ----------
    structures : Structures
    """
    chosen = spread(structures.sizes, _ATOMS_OF_FIT)
    if len(chosen) == 0:
        return {}
    some = structures.take(chosen)
    nearest = nearest_of_atoms(some, _RADIUS)
    medians = {
        number: float(np.median(nearest[some.numbers == number]))
        for number in np.unique(some.numbers).tolist()
    }
    return {number: median for number, median in medians.items() if np.isfinite(median)}


def warn_of_far_structures(novelty_of, distances, batch, places) -> None:
    """Warn of structures far from the training data, such as those in other units.

    Some structures that are spread over the batch are compared.

    Parameters
    ----------
    novelty_of : callable or None
        Of `Structures`; returns the novelty of all atoms.
    distances : dict of int to float
        Median distances of nearest neighbours in the fit.
    batch : Structures
    places : sequence of str
        Name of each structure.
    """
    chosen = spread(batch.sizes)
    if len(chosen) == 0:
        return
    some = batch.take(chosen)
    novelty = np.zeros(some.n_atoms) if novelty_of is None else novelty_of(some)
    atom = int(np.argmax(novelty))
    if not novelty[atom] > _FAR:
        warn_of_expansion(distances, some, [places[k] for k in chosen])
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


def warn_of_expansion(distances, some, places):
    """Warn if most atoms have no neighbour where atoms of the fit had theirs.

    Parameters
    ----------
    distances : dict of int to float
        Median distances of nearest neighbours in the fit.
    some : Structures
    places : sequence of str
        Name of each structure.
    """
    radius = _APART * max(distances.values(), default=0.0)
    n_within = np.divide(
        4 * radius**3 * some.sizes, some.volumes, out=np.zeros(len(some)), where=some.volumes > 0
    )
    # Where so many are within the radius, none is alone; there would be too many pairs.
    suited = ((some.sizes > 1) | some.pbc.any(axis=1)) & (n_within < _DENSE)
    some, places = some.take(np.flatnonzero(suited)), [places[k] for k in np.flatnonzero(suited)]
    compared = np.isin(some.numbers, list(distances))
    if not compared.any():
        return
    usual = np.array([distances.get(number, 0.0) for number in some.numbers.tolist()])
    far = compared & (nearest_of_atoms(some, radius) > _APART * usual)
    if far.sum() <= compared.sum() / 2:
        return
    atom = int(np.flatnonzero(far)[0])
    k = int(some.owners[atom])
    name, limit = symbol(int(some.numbers[atom])), _APART * usual[atom]
    warnings.warn(
        f"{places[k]}, atom {atom - int(some.offsets[k])} ({name}), like {int(far.sum())} of "
        f"{int(compared.sum())} atoms that were compared, has no neighbour within {limit:.3g} Å; "
        f"the nearest atom was {usual[atom]:.3g} Å from most {name} of the training data. Are "
        "lengths in bohr? They must be in Å.",
        NoveltyWarning,
        stacklevel=outside_package(),
    )
