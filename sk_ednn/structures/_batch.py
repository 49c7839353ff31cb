"""Many structures of any sizes, their atoms end to end."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..fields._in_memory import as_array
from ._checks import check_structures
from ._occupancy import require_whole_atoms

_FORMS = (
    "Each must have numbers, positions, cell and pbc, as an ase.Atoms, a sk_ednn.structures."
    "Structure, a sklearn.utils.Bunch or a dict with these keys has."
)


class PackedStructure(NamedTuple):
    """One structure of a batch: ``ase.Atoms(**structure._asdict())`` makes it one of ASE's."""

    numbers: np.ndarray  # (n_atoms,)
    positions: np.ndarray  # (n_atoms, 3), in Å
    cell: np.ndarray  # (3, 3), in Å
    pbc: np.ndarray  # (3,)


@dataclass(frozen=True, eq=False)
class Structures:
    """A batch of structures, packed raggedly: structure k owns ``offsets[k]:offsets[k + 1]``.

    Use `Structures.of`, which checks its arguments, to create one.

    Parameters
    ----------
    numbers : ndarray of int of shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of float64 of shape (n_atoms, 3), in Å
        Cartesian coordinates, inside the cell or not.
    cells : ndarray of float64 of shape (n_structures, 3, 3), in Å
        Lattice vectors as rows, of either handedness. Rows of open axes may be zero.
    pbc : ndarray of bool of shape (n_structures, 3)
        Whether each structure is periodic along each lattice vector.
    offsets : ndarray of int of shape (n_structures + 1,)
        Index of the first atom of each structure.

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> from sk_ednn.structures import Structures
    >>> structures = Structures.of([bulk("NaCl", "rocksalt", a=5.64), molecule("H2O")])
    >>> structures.sizes, structures.numbers, structures.owners
    (array([2, 3]), array([11, 17,  8,  1,  1]), array([0, 0, 1, 1, 1]))
    >>> structures.volumes.round(1)
    array([44.9,  0. ])
    """

    numbers: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    pbc: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, X):
        """Check structures and pack them.

        Parameters
        ----------
        X : sequence of structures, or Structures
            Each with ``numbers`` (n_atoms,), ``positions`` (n_atoms, 3) in Å, ``cell`` (3, 3), or
            (3,) for edge lengths, in Å, and ``pbc``, one bool or three. A structure without ``pbc``
            is periodic along all axes; one without ``cell`` must be open.

        Returns
        -------
        Structures

        Raises
        ------
        TypeError
            If `X` is a single structure, or contains an object that is not a structure.

        ValueError
            If a structure has no atoms, numbers that are not elements, positions that are not
            finite, lattice vectors that are missing or linearly dependent along periodic axes, or
            coincident atoms, including periodic images.
        """
        if isinstance(X, cls):
            return X
        _check_sequence(X)
        parts = [_read(structure, k) for k, structure in enumerate(X)]
        numbers, positions, cells, pbc = zip(*parts, strict=True)
        structures = cls(
            np.concatenate(numbers),
            np.concatenate(positions),
            np.stack(cells),
            np.stack(pbc),
            _offsets([len(Z) for Z in numbers]),
        )
        check_structures(structures)
        return structures

    @classmethod
    def concatenate(cls, batches):
        """Concatenate batches.

        Parameters
        ----------
        batches : sequence of Structures

        Returns
        -------
        Structures
        """
        batches = list(batches)
        if not batches:
            raise ValueError("Expected at least one batch of structures. Got an empty sequence.")
        return cls(
            np.concatenate([batch.numbers for batch in batches]),
            np.concatenate([batch.positions for batch in batches]),
            np.concatenate([batch.cells for batch in batches]),
            np.concatenate([batch.pbc for batch in batches]),
            _offsets(np.concatenate([batch.sizes for batch in batches])),
        )

    def __len__(self):
        return len(self.offsets) - 1

    def __iter__(self):
        """Iterate over the structures, as views with numbers, positions, cell and pbc."""
        for k in range(len(self)):
            atoms = slice(self.offsets[k], self.offsets[k + 1])
            yield PackedStructure(
                self.numbers[atoms], self.positions[atoms], self.cells[k], self.pbc[k]
            )

    @property
    def n_atoms(self):
        """Number of atoms of all structures together."""
        return len(self.numbers)

    @property
    def sizes(self):
        """Number of atoms of each structure, of shape (n_structures,)."""
        return np.diff(self.offsets)

    @cached_property
    def owners(self):
        """Structure of each atom, of shape (n_atoms,)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @cached_property
    def volumes(self):
        """Volume of each cell in Å³, of shape (n_structures,); 0 if its vectors span none."""
        return np.abs(np.linalg.det(self.cells))

    @cached_property
    def widths(self):
        """Least distance between opposite sides of each periodic cell in Å, (n_structures,).

        Only sides across periodic vectors count; infinite where there are none.

        Examples
        --------
        >>> from ase.build import bulk, molecule
        >>> from sk_ednn.structures import Structures
        >>> cells = [bulk("Cu", cubic=True, a=3.6), bulk("Cu", a=3.6), molecule("H2O")]
        >>> Structures.of(cells).widths.round(3).tolist()
        [3.6, 2.078, inf]
        """
        # Row k of the transposed inverse is normal to the sides across vector k; its length is the
        # inverse of their distance. Vectors that do not repeat the cell are no part of it.
        normals = np.linalg.pinv(np.where(self.pbc[:, :, None], self.cells, 0.0)).swapaxes(1, 2)
        with np.errstate(divide="ignore"):
            return 1.0 / np.linalg.norm(normals, axis=2).max(axis=1)

    def take(self, indices):
        """Return the structures at these indices, in their order.

        Parameters
        ----------
        indices : array-like of int, or of bool of shape (n_structures,)

        Returns
        -------
        Structures
        """
        indices = np.asarray(indices)
        chosen = np.arange(len(self))[indices if indices.size else np.zeros(0, dtype=int)]
        offsets = _offsets(self.sizes[chosen])
        atoms = np.arange(offsets[-1]) + np.repeat(
            self.offsets[chosen] - offsets[:-1], self.sizes[chosen]
        )
        return Structures(
            self.numbers[atoms],
            self.positions[atoms],
            self.cells[chosen],
            self.pbc[chosen],
            offsets,
        )

    def place(self, atom):
        """Return the position of a packed atom in words: "structure 3, atom 17"."""
        structure = int(np.searchsorted(self.offsets, atom, side="right")) - 1
        return f"structure {structure}, atom {atom - self.offsets[structure]}"


def _offsets(sizes):
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def _check_sequence(X):
    # ase.Atoms and dicts have a length and items too, so one structure would pass for several.
    if isinstance(X, Mapping) or hasattr(X, "positions"):
        raise TypeError(
            f"Expected a sequence of structures. Got one {type(X).__name__}. Put it in a list, "
            "[structure]."
        )
    if isinstance(X, str | bytes) or not (hasattr(X, "__len__") and hasattr(X, "__iter__")):
        raise TypeError(
            f"Expected a sequence of structures. Got {type(X).__name__} instead. {_FORMS}"
        )
    if not len(X):
        raise ValueError("Expected at least one structure. Got an empty sequence.")


def _read(structure, k):
    """Return numbers, positions, cell and pbc of structure k as arrays of the right shapes."""
    names = ("numbers", "positions", "cell", "pbc")
    if isinstance(structure, Mapping):
        numbers, positions, cell, pbc = (structure.get(name) for name in names)
    else:
        numbers, positions, cell, pbc = (getattr(structure, name, None) for name in names)
    if numbers is None or positions is None:
        raise TypeError(
            f"Expected structures. Structure {k} is of type {type(structure).__name__} and lacks "
            f"numbers or positions. {_FORMS}"
        )
    require_whole_atoms(structure, k)
    of = f"of structure {k}"
    numbers, positions = as_array(numbers, f"numbers {of}"), as_array(positions, f"positions {of}")
    cell = cell if cell is None else as_array(cell, f"cell {of}")
    pbc = pbc if pbc is None else as_array(pbc, f"pbc {of}")
    if not numbers.size:
        raise ValueError(f"Structure {k} has no atoms. Leave it out.")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"Structure {k}: numbers must be a 1-D array of integers, the atomic numbers. "
            f"Got shape {numbers.shape} and dtype {numbers.dtype}."
        )
    positions = _floats(positions, k, "positions")
    if positions.shape != (len(numbers), 3):
        raise ValueError(
            f"Structure {k} has {len(numbers)} numbers, so positions must be of shape "
            f"({len(numbers)}, 3). Got {positions.shape}."
        )
    return numbers.astype(np.int64), positions, _cell(cell, k), _repeats(pbc, k)


def _floats(values, k, name):
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise ValueError(
            f"Structure {k}: {name} must be real numbers, in Å. Got dtype {array.dtype}."
        )
    return array.astype(np.float64)


def _cell(cell, k):
    if cell is None:
        return np.zeros((3, 3))
    array = _floats(cell, k, "cell")
    if array.shape == (3,):
        array = np.diag(array)
    if array.shape != (3, 3):
        raise ValueError(
            f"Structure {k}: cell must be three lattice vectors as rows, of shape (3, 3), or three "
            f"edge lengths, of shape (3,), in Å. Got shape {array.shape}."
        )
    return array


def _repeats(pbc, k):
    array = np.asarray(True if pbc is None else pbc)
    if array.shape not in ((), (3,)) or array.dtype.kind not in "biu":
        raise ValueError(
            f"Structure {k}: pbc must be a bool, or one for each of the three lattice vectors. "
            f"Got {pbc!r}."
        )
    return np.broadcast_to(array.astype(bool), 3)
