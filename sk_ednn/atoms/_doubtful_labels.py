"""Doubts about labels and lengths of structures that have an energy, forces or a stress."""

from __future__ import annotations

import numpy as np

from ..structures import neighbor_pairs
from ..structures._distances import spread
from ..structures._repulsion import covalent_radii

# Energies at least, and the rounding of one in eV/atom that matters.
_FEW, _ROUNDED = 3, 5e-4
# Neighbours whose directions show whether forces vanish by symmetry, in Å; structures looked at.
_NEAR, _LOOKED_AT = 4.0, 50
# The least length of a sum of unit vectors, weighted by distance, that symmetry does not explain.
_ASYMMETRIC = 1e-2
# Atoms that are compared with bonded ones, and how far their neighbours are searched, in Å.
_ATOMS, _RADIUS = 4096, 8.0
# Distances of nearest neighbours over those of bonded atoms if lengths are in bohr, about 1.9.
_BOHR = (1.45, 2.4)
# Noble gases have no bonds, and alkali metals long ones.
_UNBOUND = (2, 10, 18, 36, 54, 86, 3, 11, 19, 37, 55, 87)


def rounded(data):
    """Yield a warning of energies that are rounded to single precision, as some formats do.

    Parameters
    ----------
    data : LabelledStructures
    """
    known = np.flatnonzero(~np.isnan(data.energies))
    energies, sizes = data.energies[known], data.structures.sizes[known]
    if len(energies) < _FEW or (energies == np.round(energies)).all():
        return
    with np.errstate(over="ignore"):
        single = energies.astype(np.float32)
    steps = np.spacing(np.abs(single)) / sizes
    if (single == energies).all() and steps.max() > _ROUNDED:
        k = known[np.argmax(steps)]
        yield (
            "All energies are numbers of single precision, rounded to "
            f"{1e3 * steps.max():.2g} meV/atom in {data.places[k]}. Write them in double "
            "precision, or subtract the energies of atoms before."
        )


def zeros(data):
    """Yield warnings of labels that are exactly 0, as programs write what they did not compute.

    Parameters
    ----------
    data : LabelledStructures
    """
    structures, places = data.structures, data.places
    bounds = structures.offsets[:-1]
    largest = np.maximum.reduceat(np.abs(np.nan_to_num(data.forces)).max(axis=1), bounds)
    known = np.minimum.reduceat(~np.isnan(data.forces).any(axis=1), bounds)
    several = structures.sizes > 1
    # Atoms beyond each other's reach have no energy and no stress, but no forces either.
    others = np.nan_to_num(data.energies).any()
    acts = several & ((largest > 0) | (~known & others))
    stress = np.nan_to_num(data.stress, nan=1.0)
    found = {
        "energies": np.flatnonzero(acts & (data.energies == 0)),
        "stresses": np.flatnonzero(acts & known & (stress == 0).all(axis=1)),
        "forces": _without_forces(structures, np.flatnonzero(several & known & (largest == 0))),
    }
    for name, which in found.items():
        # Energies may be relative to the least one.
        if len(which) > (name == "energies"):
            yield (
                f"The {name} of {len(which)} structure(s) are exactly 0, the first "
                f"{places[which[0]]}. Programs write 0 for what they did not compute: use NaN for "
                "unknown labels, or leave these structures out."
            )


def _without_forces(structures, which) -> np.ndarray:
    """Return the structures among some whose forces do not vanish by symmetry."""
    which = which[:_LOOKED_AT]
    if not len(which):
        return which
    some = structures.take(which)
    pairs = neighbor_pairs(some, _NEAR)
    lengths = np.linalg.norm(pairs.vectors, axis=1)
    pulls = pairs.vectors / lengths[:, None] * np.exp(-lengths)[:, None]
    sums = np.zeros((some.n_atoms, 3))
    np.add.at(sums, pairs.centers, pulls)
    uneven = np.linalg.norm(sums, axis=1) > _ASYMMETRIC * np.exp(-1.0)
    return which[np.unique(some.owners[uneven])]


def lengths(data):
    """Yield a warning if atoms are as far apart as they are if lengths are in bohr.

    Parameters
    ----------
    data : LabelledStructures
    """
    several = np.flatnonzero(data.structures.sizes > 1)
    chosen = several[spread(data.structures.sizes[several], _ATOMS)] if len(several) else several
    if not len(chosen):
        return
    some = data.structures.take(chosen)
    radii = covalent_radii(some.numbers)
    bound = ~np.isin(some.numbers, _UNBOUND) & np.isfinite(radii)
    pairs = neighbor_pairs(some, _RADIUS)
    ratios = np.linalg.norm(pairs.vectors, axis=1) / (radii[pairs.centers] + radii[pairs.neighbors])
    nearest = np.full(some.n_atoms, np.inf)
    np.fmin.at(nearest, pairs.centers, ratios)
    if not bound.any():
        return
    typical = float(np.median(nearest[bound]))
    if _BOHR[0] < typical < _BOHR[1]:
        yield (
            f"Nearest neighbours are {typical:.2f} times as far apart as bonded atoms: lengths "
            "seem to be in bohr. Positions and cells must be in Å."
        )
