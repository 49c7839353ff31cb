"""Fields of atoms that are drawn box by box when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.hashing import digest
from ..fields._sources import source_identity
from ..structures._cells import is_straight
from ..structures._structure import Atoms
from ._gaussians import draw_at_pixels, nearest_pixel, reach
from ._lattice import warn_of_open_edges
from ._lattice_source import LatticeAtoms

# Sides of the squares of the spatial index, in pixels.
_SQUARE = 256


@runtime_checkable
class AtomsInWindow(Protocol):
    """Protocol of atoms that are looked up by position: a file with an index, or a formula.

    Objects must be picklable, and small when pickled, since each worker process receives a copy.

    Attributes
    ----------
    cell : array-like of shape (2,), in Å
        Edges of the cell, which is periodic along x and y.
    """

    cell: tuple[float, float]

    def within(self, lower, upper) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the atoms of a window of the cell. Others may be included, but no atom twice.

        Parameters
        ----------
        lower, upper : ndarray of shape (2,), in Å
            Corners of the window, which may extend beyond the cell, where there are no atoms.

        Returns
        -------
        index : ndarray of int of shape (n_atoms,)
            A unique number for each atom, independent of the window.
        numbers : ndarray of int of shape (n_atoms,)
            Atomic numbers.
        positions : ndarray of shape (n_atoms, 2), in Å
            In ``[0, cell]``.
        """


class AtomsSource:
    """A structure as a field that is drawn piece by piece.

    Parameters
    ----------
    rasterizer : GaussianRasterizer
        Fitted.
    atoms : structure or AtomsInWindow
        A structure (an `ase.Atoms`, a `Structure`) is in memory, and each worker process receives
        a copy. An `AtomsInWindow` can have any number of atoms, in a rectangle that is periodic
        along x and y.

    Attributes
    ----------
    shape : tuple of int, (nx, ny) or (nx, ny, nz), and n_channels last if there are channels
    dtype : numpy.dtype
    spacing : tuple of float, in Å

    Raises
    ------
    ValueError
        If the cell is not a whole number of pixels, or a species is unknown.

    Notes
    -----
    Boxes are equal to those of the whole field to the last bit, since every pixel sums its atoms
    in the order of their index.

    References
    ----------
    K. Mills et al., Chem. Sci. 2019, 10, 4129, eq. 2, and section 3.3 on large sheets.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.atoms import AtomsSource, GaussianRasterizer
    >>> from sk_ednn.structures import Structure
    >>> rng = np.random.default_rng(0)
    >>> sheet = Structure(np.full(3800, 6), rng.random((3800, 2)) * 100, [100.0, 100.0])
    >>> draw = GaussianRasterizer(spacing=0.1, width=0.2).fit([sheet])
    >>> source = AtomsSource(draw, sheet)
    >>> source.shape
    (1000, 1000)
    >>> corner = source.read((slice(0, 50), slice(950, 1000)))
    >>> bool(np.all(corner == draw.transform([sheet])[0, :50, 950:]))
    True
    """

    def __init__(self, rasterizer, atoms):
        check_is_fitted(rasterizer)
        self.rasterizer = rasterizer
        self.dtype = np.dtype(rasterizer.dtype)
        if not isinstance(atoms, AtomsInWindow):
            gathered = rasterizer._gathered([atoms])
            lengths = gathered.lengths[0]
        elif rasterizer._separable and rasterizer.plane == "xy":
            lengths = np.asarray(atoms.cell, dtype=np.float64)[:2]
        else:
            raise ValueError(
                "AtomsInWindow needs a rasterizer for rectangles in the plane xy that are periodic "
                f"along x and y; got plane={rasterizer.plane!r}, periodic_={rasterizer.periodic_}, "
                f"angles_={rasterizer.angles_}. Pass a structure in memory."
            )
        shapes = rasterizer._shapes(lengths[None])
        self._grid = shapes[0]
        self.spacing = tuple(rasterizer._spacings(lengths[None], shapes)[0].tolist())
        # The unit of positions of `within`, along each axis.
        self._unit = lengths
        if isinstance(atoms, AtomsInWindow):
            self.atoms = atoms
        elif not rasterizer._separable:
            warn_of_open_edges(gathered, rasterizer)
            self.atoms = LatticeAtoms.of(gathered, self._grid.tolist())
        elif is_straight(gathered.vectors[0]):
            self.atoms, self._unit = (
                _Binned.of(gathered.numbers, gathered.scaled, _SQUARE / self._grid),
                np.ones(2),
            )
        else:
            raise ValueError(
                "A cell with a right angle must have its edges along the axes of the plane "
                f"{rasterizer.plane}; got edges {gathered.vectors[0].tolist()}. Rotate the "
                "structure."
            )
        channels = rasterizer.channels_
        grid = tuple(self._grid.tolist())
        self.shape = grid if channels is None else (*grid, len(channels))

    def read(self, slices) -> np.ndarray:
        """Return a box of the field."""
        n_axes = len(self._grid)
        first = np.array([part.start for part in slices[:n_axes]])
        last = np.array([part.stop for part in slices[:n_axes]])
        channels = self.rasterizer.channels_
        chosen = (None,) if channels is None else channels[slices[n_axes]]
        if isinstance(self.atoms, LatticeAtoms):
            box = self.atoms.draw(self.rasterizer, self.spacing, first, last, chosen)
            return box[..., 0] if channels is None else box
        width = [self.rasterizer.width / s for s in self.spacing]
        margin = np.array([reach(w, self.rasterizer.cutoff) for w in width])
        numbers, pixel, fraction = self._near(first - margin, last + margin)
        heights = self.rasterizer._heights[numbers]
        if np.isnan(heights).any():
            self._reject(numbers)
        # A Gaussian that extends beyond the margin is wrapped, and removed with the margin.
        shape = last - first + 2 * margin
        image = np.zeros((1, *shape, len(chosen)), dtype=self.dtype)
        for c, number in enumerate(chosen):
            drawn = slice(None) if number is None else numbers == number
            draw_at_pixels(
                pixel[drawn],
                fraction[drawn],
                np.zeros(len(pixel[drawn]), dtype=np.int64),
                heights[drawn],
                image[..., c],
                width=width,
                cutoff=self.rasterizer.cutoff,
                n_jobs=1,
            )
        rows, columns = (slice(m, n - m) for m, n in zip(margin, shape, strict=True))
        box = image[0, rows, columns]
        return box[..., 0] if channels is None else box

    def identity(self) -> str:
        """Return a hash of everything that determines the field."""
        rasterizer = {k: v for k, v in self.rasterizer.get_params().items() if k != "n_jobs"}
        return digest((rasterizer, self.rasterizer.channels_, source_identity(self.atoms)))

    def _near(self, first, last):
        """Return the atoms, periodic images included, whose nearest pixels are in a box.

        These are numbers, pixels counted from `first`, and fractions, in the order of the index.
        """
        images = [
            range(-(-(low - n) // n) - 1, (high // n) + 1)
            for low, high, n in zip(first, last, self._grid, strict=True)
        ]
        by_image = []
        for x in images[0]:
            for y in images[1]:
                shift = np.array([x, y]) * self._grid
                low, high = first - shift, last - shift
                # One more pixel, so that rounding does not exclude an atom.
                lower, upper = ((at / self._grid) * self._unit for at in (low - 1, high + 1))
                if np.any(upper < 0) or np.any(lower > self._unit):
                    continue
                index, numbers, positions = self.atoms.within(lower, upper)
                scaled = positions / self._unit
                pixel, fraction = nearest_pixel((scaled - np.floor(scaled)) * self._grid)
                inside = np.flatnonzero(((pixel >= low) & (pixel < high)).all(axis=1))
                order = (np.full(len(inside), k) for k in (-y, x))
                by_image.append(
                    (*order, index[inside], numbers[inside], pixel[inside] - low, fraction[inside])
                )
        if not by_image:
            return np.zeros(0, dtype=int), np.zeros((0, 2), dtype=int), np.zeros((0, 2))
        *keys, numbers, pixel, fraction = (
            np.concatenate(part) for part in zip(*by_image, strict=True)
        )
        order = np.lexsort(keys)
        return numbers[order], pixel[order], fraction[order]

    def _reject(self, numbers):
        start = np.array([0, len(numbers)])
        some = Atoms(numbers, np.zeros((len(numbers), 2)), start, self._unit[None])
        self.rasterizer._check_species(some)


@dataclass(frozen=True, eq=False)
class _Binned:
    """Atoms in memory, sorted by squares of a grid; positions are in units of edges."""

    n_squares: np.ndarray  # (2,)
    starts: np.ndarray  # (n_squares[0] * n_squares[1] + 1,)
    index: np.ndarray
    numbers: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, numbers, scaled, side) -> _Binned:
        n_squares = np.maximum(1 // side, 1).astype(np.int64)
        square = np.minimum((scaled * n_squares).astype(np.int64), n_squares - 1)
        flat = square[:, 0] * n_squares[1] + square[:, 1]
        order = np.argsort(flat, kind="stable")
        starts = np.searchsorted(flat[order], np.arange(np.prod(n_squares) + 1))
        return cls(n_squares, starts, order, numbers[order], scaled[order])

    def within(self, lower, upper):
        size = 1 / self.n_squares
        # With tolerance, since the squares of atoms were rounded.
        low = np.clip(np.floor(lower / size - 1e-9).astype(int), 0, self.n_squares - 1)
        high = np.clip(np.floor(upper / size + 1e-9).astype(int), 0, self.n_squares - 1)
        rows = np.arange(low[0], high[0] + 1) * self.n_squares[1]
        some = np.concatenate(
            [np.arange(self.starts[r + low[1]], self.starts[r + high[1] + 1]) for r in rows]
        )
        return self.index[some], self.numbers[some], self.positions[some]
