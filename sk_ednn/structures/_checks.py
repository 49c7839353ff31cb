"""Reject structures for which no neighbour list can be right."""

import numpy as np

from ._coincident import CLOSEST, first_duplicate
from ._elements import HEAVIEST

# Lattice vectors whose directions span less than this have lost the third one to rounding.
_FLATTEST = 1e-9
# A metre, in Å: farther from the origin, double precision rounds to more than 1e-6 Å.
FARTHEST = 1e10


def check_structures(structures):
    """Raise ValueError at the first structure with impossible atoms or an impossible cell.

    Parameters
    ----------
    structures : Structures

    Raises
    ------
    ValueError
        Named are the structure and the atom.
    """
    _check_numbers(structures)
    wrong = np.flatnonzero(~np.isfinite(structures.positions).all(axis=1))
    if wrong.size:
        raise ValueError(
            f"Positions must be finite. {_capital(structures.place(wrong[0]))}, is at "
            f"{structures.positions[wrong[0]].tolist()}; {wrong.size} such atom(s) in all."
        )
    wrong = np.flatnonzero((np.abs(structures.positions) > FARTHEST).any(axis=1))
    if wrong.size:
        raise ValueError(
            f"Positions must be within {FARTHEST:.0e} Å of the origin, beyond which double "
            f"precision rounds them. {_capital(structures.place(wrong[0]))}, is at "
            f"{structures.positions[wrong[0]].tolist()}; {wrong.size} such atom(s) in all. Check "
            "the unit, or wrap the atoms into the cell."
        )
    _check_cells(structures)
    _check_coincident(structures)


def _check_numbers(structures):
    wrong = np.flatnonzero((structures.numbers < 1) | (structures.numbers > HEAVIEST))
    if wrong.size:
        number = structures.numbers[wrong[0]]
        hint = (
            " Number 0 is X of ASE, an unknown element: set the numbers, or delete the atoms."
            if number == 0
            else ""
        )
        raise ValueError(
            f"Atomic numbers must be from 1 to {HEAVIEST}. {_capital(structures.place(wrong[0]))}, "
            f"has {number}; {wrong.size} such atom(s) in all.{hint}"
        )


def _check_cells(structures):
    cells, pbc = structures.cells, structures.pbc
    wrong = np.flatnonzero(~np.isfinite(cells).all(axis=(1, 2)))
    if wrong.size:
        raise ValueError(
            f"Structure {wrong[0]}: the cell must be finite. Got {cells[wrong[0]].tolist()}."
        )
    lengths = np.linalg.norm(cells, axis=2)
    missing = np.argwhere(pbc & (lengths == 0))
    if missing.size:
        k, axis = missing[0]
        raise ValueError(
            f"Structure {k} repeats along lattice vector {axis} (pbc), which is zero. Give it a "
            f"cell, as ase.Atoms.center(vacuum=...) does, or set pbc[{axis}] to False."
        )
    # Open axes do not matter: their vectors give way to ones that complete the basis.
    directions = complete_cells(cells, pbc)
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    flat = np.flatnonzero(np.abs(np.linalg.det(directions)) < _FLATTEST)
    if flat.size:
        raise ValueError(
            f"Structure {flat[0]}: the lattice vectors along which it repeats must be linearly "
            f"independent. Got cell {cells[flat[0]].tolist()} and pbc {pbc[flat[0]].tolist()}."
        )


def complete_cells(cells, pbc):
    """Replace the lattice vectors of open axes by unit vectors normal to the periodic ones.

    Parameters
    ----------
    cells : ndarray of shape (n_structures, 3, 3)
    pbc : ndarray of bool of shape (n_structures, 3)

    Returns
    -------
    ndarray of shape (n_structures, 3, 3)
        A copy.
    """
    cells = cells.copy()
    for k in np.flatnonzero(~pbc.all(axis=1)):
        open_axes = ~pbc[k]
        periodic = cells[k][pbc[k]]
        # The last rows of vh are an orthonormal basis of what the periodic vectors do not span.
        cells[k][open_axes] = (
            np.linalg.svd(periodic)[2][len(periodic) :] if len(periodic) else np.eye(3)
        )
    return cells


def _check_coincident(structures):
    cells = complete_cells(structures.cells, structures.pbc)
    inverse = np.linalg.inv(cells)[structures.owners]
    scaled = np.matmul(structures.positions[:, None], inverse)[:, 0]
    duplicate = first_duplicate(scaled, cells, structures.pbc, structures.owners)
    if duplicate is not None:
        first, second, distance = duplicate
        second -= structures.offsets[structures.owners[second]]
        raise ValueError(
            f"{_capital(structures.place(first))}, and atom {second} of it are {distance:.1e} Å "
            f"apart, periodic images included; no two atoms are closer than {CLOSEST:g} Å. Leave "
            "one out: a cell lists one end of each period."
        )


def _capital(text):
    return text[0].upper() + text[1:]
