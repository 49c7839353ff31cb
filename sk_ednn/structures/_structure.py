"""Structures: atomic numbers, positions, a cell and periodic axes.

Any object with ``numbers``, ``positions`` and ``cell`` is a structure, so `ase.Atoms` needs
neither a conversion nor an import of ASE.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..fields._in_memory import as_array, in_memory
from ._cells import (
    AXES,
    ROUNDING,
    cell_matrices,
    edge_lengths,
    edge_vectors,
    normal_periods,
    scaled_positions,
)
from ._checks import FARTHEST
from ._coincident import check_overlaps
from ._elements import HEAVIEST
from ._files import is_path, read_one, read_structures
from ._flatness import check_flatness
from ._occupancy import require_whole_atoms

_FORMS = (
    "Each must have numbers, positions and cell: an ase.Atoms, a sk_ednn.structures.Structure, a "
    "sklearn.utils.Bunch, a dict with these keys, or a tuple of these arrays."
)


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms in a cell, for use without ASE.

    Parameters
    ----------
    numbers : array-like of shape (n_atoms,)
        Atomic numbers.

    positions : array-like of shape (n_atoms, 2) or (n_atoms, 3), in Å
        Cartesian coordinates, inside or outside of the cell.

    cell : array-like of shape (2,), (3,), (2, 2) or (3, 3), in Å
        Edge lengths, or edge vectors as rows.

    pbc : bool or sequence of three bool, default=True
        Whether the structure is periodic along x, y and z.

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
    """The concatenated atoms of structures; those of structure k are start[k]:start[k + 1].

    Positions and edges have only the d axes of a field.
    """

    numbers: np.ndarray  # (n_atoms,), int64
    positions: np.ndarray  # (n_atoms, d), float64, in Å
    start: np.ndarray  # (n_structures + 1,), int64
    lengths: np.ndarray  # (n_structures, d), float64, in Å: lengths of edges
    vectors: np.ndarray | None = None  # (n_structures, d, d), in Å: edges as rows
    periodic: np.ndarray | None = None  # (n_structures, d), bool
    scaled: np.ndarray | None = None  # (n_atoms, d), in units of edges; in [0, 1] if periodic
    heights: np.ndarray | None = None  # (n_atoms,), in Å: coordinate normal to the plane, if any

    def __len__(self):
        return len(self.start) - 1

    @property
    def owner(self):
        """Structure of each atom, of shape (n_atoms,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    def place(self, atom):
        """Return the structure of an atom and its index there, for messages."""
        structure = int(np.searchsorted(self.start, atom, side="right")) - 1
        return f"structure {structure}, atom {atom - self.start[structure]}"


def gather(X, plane="xy", slab=None):
    """Validate structures and concatenate their atoms.

    Parameters
    ----------
    X : sequence of structures, or path of a file of them

    plane : {"xy", "xz", "yz", "xyz"}, default="xy"
        The axes of the field.

    slab : pair of float or None, in Å
        Bounds of positions along the normal of the plane.

    Returns
    -------
    atoms : Atoms

    Raises
    ------
    TypeError
        If `X` is a single structure, or not a sequence of structures.

    ValueError
        If a structure is empty, has an unknown element, a cell without a volume, two atoms at the
        same position, or positions that have the wrong shape, are not finite, or are outside of
        the slab or of the cell along an axis that is not periodic. Without a slab also if atoms
        are above one another.
    """
    if is_path(X):
        X = read_structures(X)
    _check_sequence(X)
    parts = [_parts(X[k], k, plane) for k in range(len(X))]
    numbers, positions, cells, pbc = zip(*parts, strict=True)
    start = np.zeros(len(X) + 1, dtype=np.int64)
    np.cumsum([len(Z) for Z in numbers], out=start[1:])
    owner = np.repeat(np.arange(len(X)), np.diff(start))
    in_plane, heights = _split(positions, plane)
    pbc, cells = np.array(pbc), cell_matrices(cells, plane)
    vectors, periodic = edge_vectors(cells, pbc, plane), pbc[:, AXES[plane]]
    lengths = edge_lengths(vectors)
    with np.errstate(invalid="ignore"):  # positions that are not finite are rejected below
        scaled = scaled_positions(in_plane, owner, vectors, lengths, periodic)
    atoms = Atoms(
        np.concatenate(numbers), in_plane, start, lengths, vectors, periodic, scaled, heights
    )
    _check_values(atoms)
    _check_bounds(atoms, plane, slab)
    periods = normal_periods(cells, pbc, plane)
    check_overlaps(atoms, periods)
    if slab is None:
        check_flatness(atoms, periods, plane)
    return atoms


def _check_sequence(X):
    # A single ase.Atoms or dict has a length and items too, as a sequence has.
    if isinstance(X, Mapping) or hasattr(X, "positions"):
        hint = (
            "Pass its structures, X.structures."
            if hasattr(X, "structures")
            else "Put it in a list, [structure]."
        )
        raise TypeError(f"Expected a sequence of structures, got one {type(X).__name__}. {hint}")
    if not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise TypeError(
            f"Expected a sequence of structures, got {type(X).__name__} instead. {_FORMS}"
        )
    if not len(X):
        raise ValueError("Expected at least one structure, got an empty sequence.")


def _parts(structure, k, plane):
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
            f"Expected structures, but X[{k}] is of type {type(structure).__name__} and has no "
            f"numbers, positions or cell. {_FORMS}"
        )
    require_whole_atoms(structure, k)
    numbers = as_array(parts[0], f"X[{k}].numbers")
    positions = as_array(parts[1], f"X[{k}].positions", np.float64)
    cell = in_memory(parts[2], f"X[{k}].cell", expected="edge lengths or edge vectors")
    pbc = in_memory(parts[3], f"X[{k}].pbc", expected="a boolean, or one per axis")
    if not numbers.size:
        raise ValueError(f"Structure {k} has no atoms. Leave it out.")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"Structure {k}: numbers must be a 1-D array of integers, the atomic numbers; got "
            f"shape {numbers.shape} and dtype {numbers.dtype}."
        )
    n_axes = positions.shape[-1] if positions.ndim == 2 else 0
    if len(positions) != len(numbers) or not (n_axes == 3 or (n_axes == 2 and plane == "xy")):
        shapes = [(len(numbers), 2), (len(numbers), 3)][0 if plane == "xy" else 1 :]
        raise ValueError(
            f"Structure {k} has {len(numbers)} numbers, so positions for plane={plane!r} must be "
            f"of shape {' or '.join(map(str, shapes))}; got {positions.shape}."
        )
    return numbers.astype(np.int64), positions, cell, _periodic_axes(pbc, k)


def _periodic_axes(pbc, k):
    """Return whether a structure is periodic along x, y and z; by default it is."""
    if pbc is None or pbc is True:
        return [True, True, True]
    if np.ndim(pbc) == 0:
        return [bool(pbc)] * 3
    if len(pbc) == 2:
        return [bool(pbc[0]), bool(pbc[1]), True]
    if len(pbc) != 3:
        raise ValueError(
            f"Structure {k}: pbc must be a boolean, or one for each of x, y and z; got {pbc!r}."
        )
    return [bool(periodic) for periodic in pbc]


def _split(positions, plane):
    """Return coordinates along the axes of the field, and along its normal or None."""
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
    positions = atoms.positions
    if atoms.heights is not None:
        positions = np.column_stack([positions, atoms.heights])
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if wrong.size:
        raise ValueError(
            f"Positions must be finite, but {atoms.place(wrong[0])}, is at "
            f"{positions[wrong[0]].tolist()} ({wrong.size} such atom(s) in all)."
        )
    wrong = np.flatnonzero((np.abs(positions) > FARTHEST).any(axis=1))
    if wrong.size:
        raise ValueError(
            f"Positions must be within {FARTHEST:.0e} Å of the origin, beyond which double "
            f"precision rounds them, but {atoms.place(wrong[0])}, is at "
            f"{positions[wrong[0]].tolist()} ({wrong.size} such atom(s) in all). Check the unit, "
            "or wrap the atoms into the cell."
        )
    wrong = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers > HEAVIEST))
    if wrong.size:
        raise ValueError(
            f"Atomic numbers must be from 1 to {HEAVIEST}, but {atoms.place(wrong[0])}, has "
            f"{atoms.numbers[wrong[0]]}."
        )


def _check_bounds(atoms, plane, slab):
    """Reject atoms outside of the slab, or of the cell along axes that are not periodic."""
    if not atoms.periodic.all():
        off = np.maximum(atoms.scaled - 1, -atoms.scaled) > ROUNDING
        outside = np.argwhere(off & ~atoms.periodic[atoms.owner])
        if outside.size:
            atom, axis = outside[0]
            length = atoms.lengths[atoms.owner[atom], axis]
            raise ValueError(
                f"{atoms.place(atom).capitalize()}, is outside of the cell: at "
                f"{atoms.scaled[atom, axis] * length:.6g} of {length:.6g} Å along {plane[axis]}, "
                f"which is not periodic (pbc); {len(outside)} such coordinate(s) in all. Enlarge "
                "the cell, for example with ase.Atoms.center(vacuum=...)."
            )
    if slab is None:
        return
    (normal,) = set("xyz") - set(plane)
    if atoms.heights is None:
        raise ValueError(
            f"slab={tuple(slab)} bounds the coordinate {normal}, which the positions do not have. "
            "Pass three coordinates, or slab=None."
        )
    heights = atoms.heights
    outside = np.flatnonzero((heights < slab[0]) | (heights > slab[1]))
    if outside.size:
        raise ValueError(
            f"{atoms.place(outside[0]).capitalize()}, is at {normal} = {heights[outside[0]]:.6g} "
            f"Å, outside of the slab from {slab[0]:g} to {slab[1]:g} Å ({outside.size} such "
            "atom(s) in all). Shift or wrap the structure, or widen the slab."
        )
