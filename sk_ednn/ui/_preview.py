"""Previews of data for the start page: sizes, pictures of samples, and tiles over them."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from ..runs._load import Load, load_of_fields, n_values_of
from ._forms import part_of
from ._pictures import field_png, tiling_png

_LISTED = 6  # samples in a table
_MOST_LISTED = 2000  # structures that are read for a preview


class Systems:
    """Fields or structures that were read to be shown.

    Attributes
    ----------
    is_structures : bool
    n, n_axes, shortest : int
        Systems; axes of one; sites along the shortest of them.
    words : str
        A sentence on all of them.
    """

    is_structures = False
    header: tuple[str, ...] = ()
    table: tuple = ()
    n: int
    words: str


class Fields(Systems):
    """Fields of an array.

    Parameters
    ----------
    X : ndarray of shape (n_samples, *field_shape)
    """

    def __init__(self, X):
        from ..estimators._data_warnings import hint_of_kind, looks_like_channels

        if X.ndim < 2 or X.dtype.kind not in "biuf":
            raise ValueError(
                f"Expected fields, an array of numbers of shape (n_samples, *field_shape); got "
                f"{X.shape} of {X.dtype}."
            )
        self.X = X
        self.n, self.n_axes = len(X), X.ndim - 1
        self.shortest = min(X.shape[1:])
        self.looks_like_channels = looks_like_channels(X) == -1
        hint = None if self.looks_like_channels else hint_of_kind(X)
        # The rest of the line is for other interfaces.
        self.hint = None if hint is None else hint.partition(": if ")[0].capitalize()
        self.n_values = n_values_of(X)
        values = np.unique(X[: max(1, 2_000_000 // max(1, prod(X.shape[1:])))])
        sizes = " × ".join(map(str, X.shape[1:]))
        kind = f"values {', '.join(f'{v:g}' for v in values)}" if self.n_values else (
            f"values from {values[0]:.4g} to {values[-1]:.4g}")  # fmt: skip
        self.words = f"{self.n:,} fields of {sizes} sites; {kind}."

    def sample_png(self, k) -> bytes:
        """Return a picture of one sample."""
        return field_png(self.X[k])

    def tiling(self, fit):
        """Return the tiling of a form."""
        from ..tiling import GridTiling

        return GridTiling(
            fit.focus, fit.context, boundary=fit.boundary, channel_axis=fit.channel_axis
        )

    def check(self, fit) -> None:
        """Raise if the fields cannot be cut into these tiles."""
        self.tiling(fit).check(self.X[:1])

    def tiling_png(self, fit, k) -> tuple[bytes | None, str]:
        """Return a picture of the tiles over a sample where it has two axes, and words on them."""
        tiling, shape = self.tiling(fit), self.X.shape[1:]
        self.check(fit)
        grid, window = tiling.tile_grid(shape), tiling.tile_shape(shape)
        words = (
            f"{prod(grid):,} tiles in each field, each of {prod(window):,} numbers, of which "
            f"{fit.focus}{' × ' + str(fit.focus) if len(grid) == 2 else ''} in its focus."
        )
        if len(grid) != 2:
            return None, words
        return tiling_png(tiling, self.X[k]), words

    def load(self, fit) -> Load | None:
        """Return the size of a fit; None if the fields cannot be cut so."""
        try:
            return load_of_fields(self.X, self.tiling(fit), self.n_values)
        except ValueError:  # said where the tiles are drawn
            return None


class Structures(Systems):
    """Structures of atoms.

    Parameters
    ----------
    systems : list of ase.Atoms
    more : bool
        Whether there are more than were read.
    """

    is_structures = True

    def __init__(self, systems, more=False):
        from ..atoms._named_labels import named_labels

        self.systems = systems
        self.n = len(systems)
        sizes = sorted({len(atoms) for atoms in systems})
        species = sorted({s for atoms in systems for s in set(atoms.get_chemical_symbols())})
        some = f"{sizes[0]} atoms" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} atoms"
        least = "more than " if more else ""
        self.words = f"{least}{self.n:,} structures of {some}: {', '.join(species)}."
        labels = named_labels(systems)
        names_by_kind = {kind: list(labels[kind].names()) for kind in ("energy", "forces", "stress")
                 if kind in labels}  # fmt: skip
        kinds = [kind for kind, names in names_by_kind.items() if names]
        self.has_energies = "energy" in kinds
        self.labels = (
            f"The files have: {', '.join(kinds)}." if kinds else "The files have no energies."
        )
        if not self.has_energies:
            self.labels += (
                " Choose a table of energies below: its rows belong to the files that they name, "
                "or to the structures in their order."
            )
        self.header = ("structure", "atoms", "formula")
        self.table = tuple(
            (str(k), str(len(atoms)), atoms.get_chemical_formula())
            for k, atoms in enumerate(systems[:_LISTED])
        )


def fields(read_array, path, name) -> Fields:
    """Read fields.

    Parameters
    ----------
    read_array : function of str to ndarray
    path : Path
    name : str
        Name of the array; empty if the file contains one array.
    """
    return Fields(read_array(part_of(path, name)))


def structures(path: Path) -> Structures:
    """Read the structures of a file or folder."""
    from ..structures import read_structures

    name = str(path)
    loaded = read_structures(name)
    return Structures(loaded[:_MOST_LISTED], len(loaded) > _MOST_LISTED)
