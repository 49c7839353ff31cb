"""Structures: atomic numbers, positions, a cell, and the axes along which it repeats.

Nothing here asks for a type. Whatever carries ``numbers``, ``positions`` and ``cell`` is a
structure, so that `ase.Atoms` needs neither a conversion nor an import of ASE.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..fields._sources import as_array, in_memory
from ._cells import (
    AXES,
    ROUNDING,
    cell_matrices,
    edge_lengths,
    edge_vectors,
    normal_periods,
    scaled_positions,
)
from ._duplicates import check_overlaps
from ._elements import HEAVIEST
from ._files import is_path, read_one, read_structures
from ._flatness import check_flatness

_FORMS = (
    "Each must have numbers, positions and cell: an ase.Atoms, a sk_ednn.structures.Structure, a "
    "sklearn.utils.Bunch, a dict with these keys, or a tuple of these arrays."
)


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms in a cell, for those who do without ASE.

    Parameters
    ----------
    numbers : array-like of shape (n_atoms,)
        Atomic numbers.

    positions : array-like of shape (n_atoms, 2) or (n_atoms, 3), in Å
        Cartesian coordinates, inside the cell or not.

    cell : array-like of shape (2,), (3,), (2, 2) or (3, 3), in Å
        Edge lengths, or the edge vectors as rows.

    pbc : bool or sequence of three bool, default=True
        The axes along which it repeats.

    Examples
    --------
    >>> from sk_ednn.structures import Structure
    >>> Structure([6, 6], [[0.0, 0.0], [1.42, 0.0]], [4.26, 2.46]).numbers
    [6, 6]
    """

    numbers: object
    positions: object
    cell: object
    pbc: object = True


@dataclass(frozen=True)
class Atoms:
    """The atoms of several structures one after another: structure k owns start[k]:start[k + 1].

    Positions, edges and what follows from them are those along the d axes of a field.
    """

    numbers: np.ndarray  # (n_atoms,), int64
    positions: np.ndarray  # (n_atoms, d), float64, in Å
    start: np.ndarray  # (n_structures + 1,), int64
    lengths: np.ndarray  # (n_structures, d), float64, in Å: the edges of the cells
    vectors: np.ndarray | None = None  # (n_structures, d, d), in Å, edges as rows
    periodic: np.ndarray | None = None  # (n_structures, d)
    scaled: np.ndarray | None = None  # (n_atoms, d), in edges; in [0, 1] where periodic
    heights: np.ndarray | None = None  # (n_atoms,), in Å: along the normal of a plane, if given

    def __len__(self):
        return len(self.start) - 1

    @property
    def owner(self):
        """Structure of each atom, of shape (n_atoms,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    def place(self, atom):
        """Where an atom is, for messages: its structure and its number in it."""
        structure = int(np.searchsorted(self.start, atom, side="right")) - 1
        return f"structure {structure}, atom {atom - self.start[structure]}"


def gather(X, plane="xy", slab=None):
    """Check structures and lay their atoms end to end.

    Parameters
    ----------
    X : sequence of structures, or path of a file of them

    plane : {"xy", "xz", "yz", "xyz"}, default="xy"
        The axes that count.

    slab : pair of float or None, in Å
        Where atoms may be along the normal of the plane.

    Returns
    -------
    atoms : Atoms

    Raises
    ------
    TypeError
        If `X` is one structure, or not a sequence of structures.

    ValueError
        If a structure is empty, has positions that are not finite, of another shape, outside of
        the slab or of the box along an axis that does not repeat, two atoms at one place, unknown
        elements, a cell without a volume, or, without a slab, atoms above one another.
    """
    if is_path(X):
        X = read_structures(X)
    _check_sequence(X)
    read = [_read(X[k], k, plane) for k in range(len(X))]
    numbers, positions, cells, pbc = zip(*read, strict=True)
    start = np.zeros(len(X) + 1, dtype=np.int64)
    np.cumsum([len(Z) for Z in numbers], out=start[1:])
    owner = np.repeat(np.arange(len(X)), np.diff(start))
    in_plane, heights = _split(positions, plane)
    pbc, cells = np.array(pbc), cell_matrices(cells, plane)
    vectors, periodic = edge_vectors(cells, pbc, plane), pbc[:, AXES[plane]]
    lengths = edge_lengths(vectors)
    with np.errstate(invalid="ignore"):  # positions that are not finite are told of below
        scaled = scaled_positions(in_plane, owner, vectors, lengths, periodic)
    atoms = Atoms(
        np.concatenate(numbers), in_plane, start, lengths, vectors, periodic, scaled, heights
    )
    _check_values(atoms)
    _check_places(atoms, plane, slab)
    periods = normal_periods(cells, pbc, plane)
    check_overlaps(atoms, periods)
    if slab is None:
        check_flatness(atoms, periods, plane)
    return atoms


def _check_sequence(X):
    # ase.Atoms and dicts have a length and items too, so one structure would pass for several.
    if isinstance(X, Mapping) or hasattr(X, "positions"):
        hint = (
            "Pass its structures, X.structures."
            if hasattr(X, "structures")
            else "Put it in a list, [structure]."
        )
        raise TypeError(f"Expected a sequence of structures. Got one {type(X).__name__}. {hint}")
    if not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise TypeError(
            f"Expected a sequence of structures. Got {type(X).__name__} instead. {_FORMS}"
        )
    if not len(X):
        raise ValueError("Expected at least one structure. Got an empty sequence.")


def _read(structure, k, plane):
    if is_path(structure):
        structure = read_one(structure, k)
    names = ("numbers", "positions", "cell", "pbc")
    if isinstance(structure, Mapping):
        parts = [structure.get(name) for name in names]
    elif isinstance(structure, tuple) and len(structure) in (3, 4):
        parts = [*structure, None][:4]
    else:
        parts = [getattr(structure, name, None) for name in names]
    if any(part is None for part in parts[:3]):
        raise TypeError(
            f"Expected structures. X[{k}] is of type {type(structure).__name__} and lacks "
            f"numbers, positions or cell. {_FORMS}"
        )
    numbers = as_array(parts[0], f"X[{k}].numbers")
    positions = as_array(parts[1], f"X[{k}].positions", np.float64)
    cell = in_memory(parts[2], f"X[{k}].cell", expected="edge lengths or edge vectors")
    pbc = in_memory(parts[3], f"X[{k}].pbc", expected="a boolean, or one for each axis")
    if not numbers.size:
        raise ValueError(f"Structure {k} has no atoms. Leave it out; its field would be empty.")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"Structure {k}: numbers must be a 1-D array of integers, the atomic numbers. "
            f"Got shape {numbers.shape} and dtype {numbers.dtype}."
        )
    n_axes = positions.shape[-1] if positions.ndim == 2 else 0
    if len(positions) != len(numbers) or not (n_axes == 3 or (n_axes == 2 and plane == "xy")):
        shapes = [(len(numbers), 2), (len(numbers), 3)][0 if plane == "xy" else 1 :]
        raise ValueError(
            f"Structure {k} has {len(numbers)} numbers, so positions for plane={plane!r} must be "
            f"of shape {' or '.join(map(str, shapes))}. Got {positions.shape}."
        )
    return numbers.astype(np.int64), positions, cell, _repeats(pbc, k)


def _repeats(pbc, k):
    """Whether a structure repeats along x, y and z; it does where nothing is said."""
    if pbc is None or pbc is True:
        return [True, True, True]
    if np.ndim(pbc) == 0:
        return [bool(pbc)] * 3
    if len(pbc) == 2:
        return [bool(pbc[0]), bool(pbc[1]), True]
    if len(pbc) != 3:
        raise ValueError(
            f"Structure {k}: pbc must be a bool, or one for each of x, y and z. Got {pbc!r}."
        )
    return [bool(repeats) for repeats in pbc]


def _split(positions, plane):
    """Coordinates along the axes of the field, and the one along its normal where all have it."""
    axes = AXES[plane]
    if axes == (0, 1):
        in_plane = np.concatenate([r[:, :2] for r in positions])
    else:
        in_plane = np.concatenate(positions)[:, axes]
    if len(axes) == 3 or any(r.shape[1] == 2 for r in positions):
        return in_plane, None
    (normal,) = {0, 1, 2} - set(axes)
    return in_plane, np.concatenate([r[:, normal] for r in positions])


def _check_values(atoms):
    where = atoms.positions
    if atoms.heights is not None:
        where = np.column_stack([where, atoms.heights])
    wrong = np.flatnonzero(~np.isfinite(where).all(axis=1))
    if wrong.size:
        raise ValueError(
            f"Positions must be finite. {atoms.place(wrong[0])}, is at "
            f"{where[wrong[0]].tolist()}; {wrong.size} such atom(s) in all."
        )
    wrong = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers > HEAVIEST))
    if wrong.size:
        raise ValueError(
            f"Atomic numbers must be from 1 to {HEAVIEST}. {atoms.place(wrong[0])}, has "
            f"{atoms.numbers[wrong[0]]}."
        )


def _check_places(atoms, plane, slab):
    """Refuse atoms outside of the box along axes that do not repeat, or of the slab."""
    if not atoms.periodic.all():
        off = np.maximum(atoms.scaled - 1, -atoms.scaled) > ROUNDING
        outside = np.argwhere(off & ~atoms.periodic[atoms.owner])
        if outside.size:
            atom, axis = outside[0]
            length = atoms.lengths[atoms.owner[atom], axis]
            raise ValueError(
                f"{atoms.place(atom)}, lies outside of the cell, at "
                f"{atoms.scaled[atom, axis] * length:.6g} of {length:.6g} Å along "
                f"{plane[axis]}, where the structure does not repeat (pbc); {len(outside)} such "
                "coordinate(s) in all. Give it a larger box, as ase.Atoms.center(vacuum=...) does."
            )
    if slab is None:
        return
    (normal,) = set("xyz") - set(plane)
    if atoms.heights is None:
        raise ValueError(
            f"slab={tuple(slab)} says where atoms may be along {normal}. Positions have no "
            f"coordinate {normal}: give three coordinates, or leave slab at None."
        )
    heights = atoms.heights
    outside = np.flatnonzero((heights < slab[0]) | (heights > slab[1]))
    if outside.size:
        raise ValueError(
            f"{atoms.place(outside[0])}, is at {normal} = {heights[outside[0]]:.6g} Å, outside of "
            f"the slab from {slab[0]:g} to {slab[1]:g} Å; {outside.size} such atom(s) in all. "
            f"The field does not hold {normal}: shift or wrap the structure, or widen the slab."
        )
