"""What a structure is: atomic numbers, positions and an orthogonal cell that repeats in x and y.

Nothing here asks for a type. Whatever carries ``numbers``, ``positions`` and ``cell`` is a
structure, so that `ase.Atoms` needs neither a conversion nor an import of ASE.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral

import numpy as np

_FORMS = (
    "Each must have numbers, positions and cell: an ase.Atoms, a sk_ednn.atoms.Structure, a "
    "sklearn.utils.Bunch, or a dict with these keys."
)

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb "
    "Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm "
    "Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()
HEAVIEST = len(_SYMBOLS)


def atomic_number(species):
    """Atomic number of a chemical symbol; an atomic number stays what it is.

    Parameters
    ----------
    species : str or int
        A symbol such as ``"C"`` or an atomic number such as 6.

    Returns
    -------
    number : int

    Raises
    ------
    ValueError
        If there is no such element.
    """
    if isinstance(species, str) and species in _SYMBOLS:
        return _SYMBOLS.index(species) + 1
    if isinstance(species, Integral) and 1 <= species <= HEAVIEST:
        return int(species)
    raise ValueError(
        f"Expected a chemical symbol such as 'C' or an atomic number from 1 to {HEAVIEST}. "
        f"Got {species!r} instead."
    )


def symbol(number):
    """Chemical symbol of an atomic number, for messages."""
    return _SYMBOLS[number - 1] if 1 <= number <= HEAVIEST else f"Z={number}"


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

    Examples
    --------
    >>> from sk_ednn.atoms import Structure
    >>> Structure([6, 6], [[0.0, 0.0], [1.42, 0.0]], [4.26, 2.46]).numbers
    [6, 6]
    """

    numbers: object
    positions: object
    cell: object


@dataclass(frozen=True)
class Atoms:
    """The atoms of several structures one after another: structure k owns start[k]:start[k + 1]."""

    numbers: np.ndarray  # (n_atoms,), int64
    positions: np.ndarray  # (n_atoms, 2), float64, in Å
    start: np.ndarray  # (n_structures + 1,), int64
    lengths: np.ndarray  # (n_structures, 2), float64, in Å: the edges of the cells along x and y

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


def gather(X):
    """Check structures and lay their atoms end to end.

    Parameters
    ----------
    X : sequence of structures

    Returns
    -------
    atoms : Atoms

    Raises
    ------
    TypeError
        If `X` is one structure, or not a sequence of structures.

    ValueError
        If a structure is empty, has positions that are not finite or of another shape, unknown
        elements, or a cell that is not orthogonal or does not repeat in x and y.
    """
    _check_sequence(X)
    numbers, positions, lengths = [], [], np.empty((len(X), 2))
    for k in range(len(X)):
        Z, xy, lengths[k] = _read(X[k], k)
        numbers.append(Z)
        positions.append(xy)
    start = np.zeros(len(X) + 1, dtype=np.int64)
    np.cumsum([len(Z) for Z in numbers], out=start[1:])
    atoms = Atoms(np.concatenate(numbers), np.concatenate(positions), start, lengths)
    _check_values(atoms)
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
    if isinstance(X, str) or not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise TypeError(
            f"Expected a sequence of structures. Got {type(X).__name__} instead. {_FORMS}"
        )
    if not len(X):
        raise ValueError("Expected at least one structure. Got an empty sequence.")


def _read(structure, k):
    if isinstance(structure, Mapping):
        parts = [structure.get(name) for name in ("numbers", "positions", "cell", "pbc")]
    else:
        parts = [getattr(structure, name, None) for name in ("numbers", "positions", "cell", "pbc")]
    if any(part is None for part in parts[:3]):
        raise TypeError(
            f"Expected structures. X[{k}] is of type {type(structure).__name__} and lacks "
            f"numbers, positions or cell. {_FORMS}"
        )
    numbers, positions = np.asarray(parts[0]), np.asarray(parts[1], dtype=np.float64)
    if not numbers.size:
        raise ValueError(f"Structure {k} has no atoms. Leave it out; its field would be empty.")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"Structure {k}: numbers must be a 1-D array of integers, the atomic numbers. "
            f"Got shape {numbers.shape} and dtype {numbers.dtype}."
        )
    if positions.shape not in ((len(numbers), 2), (len(numbers), 3)):
        raise ValueError(
            f"Structure {k} has {len(numbers)} numbers, so positions must be of shape "
            f"({len(numbers)}, 2) or ({len(numbers)}, 3). Got {positions.shape}."
        )
    if parts[3] is not None and not np.all(np.broadcast_to(parts[3], 3)[:2]):
        raise ValueError(
            f"Structure {k} must repeat in x and y, as its field does. Got pbc={parts[3]}. "
            "Set pbc to (True, True, False)."
        )
    return numbers.astype(np.int64), positions[:, :2], _edges(parts[2], k)


def _edges(cell, k):
    vectors = np.asarray(cell, dtype=np.float64)
    if vectors.shape in ((2,), (3,)):
        vectors = np.diag(vectors)
    if vectors.shape not in ((2, 2), (3, 3)):
        raise ValueError(
            f"Structure {k}: the cell must be edge lengths of shape (2,) or (3,), or edge vectors "
            f"of shape (2, 2) or (3, 3). Got shape {vectors.shape}."
        )
    edges = np.diag(vectors)[:2]
    if not (np.isfinite(vectors).all() and (edges > 0).all()):
        raise ValueError(
            f"Structure {k}: the edges of the cell along x and y must be positive and finite. "
            f"Got {vectors.tolist()}."
        )
    off_axis = np.abs(vectors - np.diag(np.diag(vectors))).max()
    if off_axis > 1e-9 * edges.max():  # rounding of a rotation, not a slant
        raise ValueError(
            f"Structure {k}: the cell must be orthogonal with edges along x, y (and z). Got edge "
            f"vectors {vectors.tolist()}. Repeat it to a rectangular supercell first."
        )
    return edges


def _check_values(atoms):
    wrong = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if wrong.size:
        raise ValueError(
            f"Positions must be finite. {atoms.place(wrong[0])}, is at "
            f"{atoms.positions[wrong[0]].tolist()}; {wrong.size} such atom(s) in all."
        )
    wrong = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers > HEAVIEST))
    if wrong.size:
        raise ValueError(
            f"Atomic numbers must be from 1 to {HEAVIEST}. {atoms.place(wrong[0])}, has "
            f"{atoms.numbers[wrong[0]]}."
        )
