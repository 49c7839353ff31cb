"""Positions of the tiles of pictures, and the part of each that is in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..tiling import GridTiling

# What the network in `_network` sees and how far it steps, in pixels that it is given.
FOCUS, CONTEXT = 4, 14
# Planes of a stack are seen one by one, with this number of planes on either side.
PLANES = 2
# Tiles at an edge see mirror images. Those whose centre is less than this number of foci from
# one are weighted by their distance.
BANDS = 3


@dataclass(frozen=True)
class Geometry:
    """The tiles of pictures.

    Attributes
    ----------
    reduction : int
        Pixels along an axis that are averaged into one before the network sees them.
    n_axes : int
        2 for pictures, 3 for stacks.
    """

    reduction: int
    n_axes: int = 2

    @property
    def focus(self) -> tuple[int, ...]:
        """Pixels of a focus along each axis."""
        plane = (FOCUS * self.reduction,) * 2
        return plane if self.n_axes == 2 else (1, *plane)

    @property
    def context(self) -> tuple[int, ...]:
        """Pixels around a focus along each axis."""
        plane = (CONTEXT * self.reduction,) * 2
        return plane if self.n_axes == 2 else (PLANES, *plane)

    def tiling(self) -> GridTiling:
        """Return the tiling: mirror images beyond the edges, which the last focus may reach."""
        return GridTiling(
            self.focus, self.context, boundary="reflect", channel_axis=-1, remainder="pad"
        )

    @property
    def slack(self) -> tuple[int, ...]:
        """Pixels by which tiles can begin earlier along each axis, for random shifts."""
        return (0,) * (self.n_axes - 2) + ((FOCUS - 1) * self.reduction,) * 2

    def positions(self, lengths, box=None) -> list[np.ndarray]:
        """Return the pixel behind each place of a padded picture, or of a box of it.

        There is slack before, and one more tile behind, so that tiles may begin anywhere.

        Parameters
        ----------
        lengths : tuple of int
            Lengths of the picture.
        box : tuple of slice, default=None
            Around a box are its true surroundings, and mirror images beyond the picture alone.
        """
        box = tuple(slice(0, n) for n in lengths) if box is None else box
        by_axis = []
        axes = zip(lengths, box, self.focus, self.context, self.slack, strict=True)
        for n, part, f, c, slack in axes:
            n_tiles = -(-(part.stop - part.start) // f) + (slack > 0)
            positions = np.arange(part.start - slack - c, part.start + n_tiles * f + c)
            period = max(2 * (n - 1), 1)
            folded = positions % period
            by_axis.append(
                np.minimum(folded, period - folded) if n > 1 else np.zeros_like(positions)
            )
        return by_axis

    def shares(self, lengths) -> list[np.ndarray]:
        """Return, for each axis, which part of each focus is in a picture of these lengths.

        Examples
        --------
        >>> from sk_ednn.images._geometry import Geometry
        >>> Geometry(reduction=1).shares((8, 10))
        [array([1., 1.]), array([1. , 1. , 0.5])]
        """
        by_axis = []
        for n, f in zip(lengths, self.focus, strict=True):
            shares = np.ones(-(-n // f))
            if n % f:
                shares[-1] = n % f / f
            by_axis.append(shares)
        return by_axis

    def shifted_shares(self, lengths, shift) -> list[np.ndarray]:
        """Return the shares of tiles that begin before the picture, as `positions` leaves room for.

        Parameters
        ----------
        lengths : tuple of int
        shift : tuple of int
            Pixels along each axis by which tiles begin earlier, at most the slack.

        Examples
        --------
        >>> from sk_ednn.images._geometry import Geometry
        >>> Geometry(reduction=1).shifted_shares((8, 10), (0, 3))
        [array([1., 1., 0.]), array([0.25, 1.  , 1.  , 0.25])]
        """
        by_axis = []
        for n, f, s, slack in zip(lengths, self.focus, shift, self.slack, strict=True):
            starts = np.arange(-(-n // f) + (slack > 0)) * f - s
            by_axis.append((np.minimum(starts + f, n) - np.maximum(starts, 0)).clip(0) / f)
        return by_axis

    def bands(self, lengths, shift=None, open_sides=None) -> list[np.ndarray]:
        """Return, for each axis, how many foci each tile is from the edge: `BANDS` is far.

        Parameters
        ----------
        lengths : tuple of int
            Lengths of a picture or box.
        shift : tuple of int, default=None
            As for `shifted_shares`; None for the tiles of `shares`.
        open_sides : list of (bool, bool), default=None
            Whether the picture continues before and behind a box, along each axis.

        Examples
        --------
        >>> from sk_ednn.images._geometry import Geometry
        >>> Geometry(reduction=1).bands((8, 40))
        [array([0, 0]), array([0, 1, 2, 3, 3, 3, 3, 2, 1, 0])]
        """
        shift_of = (0,) * self.n_axes if shift is None else shift
        sides = [(False, False)] * self.n_axes if open_sides is None else open_sides
        by_axis = []
        axes = zip(lengths, self.focus, shift_of, self.slack, sides, strict=True)
        for n, f, s, slack, (before, behind) in axes:
            n_tiles = -(-n // f) + (slack > 0 if shift is not None else 0)
            if slack == 0:  # planes of a stack
                by_axis.append(np.full(n_tiles, BANDS))
                continue
            centre = np.arange(n_tiles) * f - s + f / 2
            distances = [np.full(n_tiles, BANDS)]
            distances += [] if before else [centre // f]
            distances += [] if behind else [(n - centre) // f]
            by_axis.append(np.min(distances, axis=0).clip(0, BANDS).astype(int))
        return by_axis


def edge_factors(bands, edges) -> list[np.ndarray]:
    """Return the factor of the tiles along each axis.

    Parameters
    ----------
    bands : list of ndarray
        Of `Geometry.bands`.
    edges : ndarray of shape (BANDS,)
        Additions to a weight of one in each band.
    """
    factors = 1 + np.append(np.asarray(edges, dtype=np.float64), 0.0)
    return [factors[along] for along in bands]


def weights(shares, region=None) -> np.ndarray:
    """Return which part of each tile of a region counts: the product of the shares along the axes.

    Parameters
    ----------
    shares : list of ndarray
        Of `Geometry.shares`.
    region : tuple of slice, default=None
        Region of the tile grid.
    """
    region = (slice(None),) * len(shares) if region is None else region
    out = np.ones(())
    for along, part in zip(shares, region, strict=True):
        out = np.multiply.outer(out, along[part])
    return out
