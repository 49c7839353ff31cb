"""Sums of Gaussians on any grid of pixels: two or three axes, any angles, open or periodic.

On oblique axes a Gaussian is not a product of one factor per axis. But the distance of a pixel from
a centre is an integer vector p less a fraction f of a pixel. Let G be the scalar products of the
edges of a pixel divided by the squared width; then

    exp(-(p - f)·G(p - f) / 2)  =  exp(-p·Gp / 2)  ·  exp(p·Gf)  ·  exp(-f·Gf / 2)

where the first factor is a table, the same for all Gaussians, and the second is a product of one
factor per axis. So a Gaussian takes one exponential per row of pixels and two products per pixel.
It is drawn in the box that contains all pixels within the cutoff.
"""

import numpy as np

from ._gaussians import reach

# Pixels of windows in a block: they fit in the cache of a processor.
_PIXELS_PER_BLOCK = 2**16
# Sides of blocks of pixels in whose order windows are drawn: neighbours use the same part of the
# cache, which saves a fifth of the time in three dimensions.
_BLOCK = 32
# Exponents of exp(p·Gf) up to which its product with the table is exact in float32: the table is
# then at least 1e-27 where the Gaussian is 1e-9.
_LARGEST = 40.0


class Stencil:
    """Values of a Gaussian at the pixels near its centre.

    Parameters
    ----------
    spacing : sequence of d floats
        Lengths of the edges of a pixel.
    cosines : ndarray of shape (d, d)
        Cosines of the angles between edges.
    width : float, in the unit of `spacing`
    cutoff : float, in widths
        The window of a Gaussian contains all pixels within this distance of the centre.

    Attributes
    ----------
    reach : ndarray of int of shape (d,)
        Pixels of a window on either side of the nearest one.
    metric : ndarray of shape (d, d)
        Scalar products of the edges of a pixel, divided by the squared width.
    """

    def __init__(self, spacing, cosines, width, cutoff):
        spacing = np.asarray(spacing, dtype=np.float64)
        self.metric = cosines * np.outer(spacing, spacing) / width**2
        # Distance of rows of pixels along their normal.
        apart = spacing / np.sqrt(np.diag(np.linalg.inv(cosines)))
        self.reach = np.array([reach(width / step, cutoff) for step in apart])
        self.offsets = [np.arange(-r, r + 1) for r in self.reach.tolist()]
        mesh = np.stack(np.meshgrid(*self.offsets, indexing="ij"), axis=-1)
        self._mesh = mesh.astype(np.float64)
        self._table = np.exp(-((mesh @ self.metric) * mesh).sum(axis=-1) / 2)
        self._tables = {np.dtype(np.float64): self._table}
        largest = self.reach @ np.abs(self.metric).sum(axis=1) / 2
        self._factors = largest <= _LARGEST

    @property
    def size(self):
        """Number of pixels in a window."""
        return self._table.size

    def values(self, fraction, heights, dtype=np.float64):
        """Return Gaussians at the pixels of their windows.

        Parameters
        ----------
        fraction : ndarray of shape (n, d)
            Centres relative to the nearest pixel.
        heights : ndarray of shape (n,)
        dtype : dtype

        Returns
        -------
        ndarray of shape (n, *window)
        """
        if not self._factors:
            return self._directly(fraction, heights).astype(dtype)
        slope = fraction @ self.metric
        height = heights * np.exp(-(slope * fraction).sum(axis=1) / 2)
        along = [
            np.exp(slope[:, axis, None] * offsets) for axis, offsets in enumerate(self.offsets)
        ]
        along[0] *= height[:, None]
        along = [part.astype(dtype) for part in along]
        # The products over whole windows last, since those over fewer axes are cheaper.
        inner = along[-1]
        for part in along[-2:0:-1]:
            inner = part.reshape(*part.shape, *[1] * (inner.ndim - 1)) * inner[:, None]
        values = inner[:, None] * self._table_of(dtype)
        values *= along[0].reshape(*along[0].shape, *[1] * (values.ndim - 2))
        return values

    def _directly(self, fraction, heights):
        """Return Gaussians for large or very oblique pixels, for which the factors overflow."""
        n_axes = fraction.shape[1]
        apart = self._mesh - fraction.reshape(-1, *[1] * n_axes, n_axes)
        squared = ((apart @ self.metric) * apart).sum(axis=-1)
        return heights.reshape(-1, *[1] * n_axes) * np.exp(-squared / 2)

    def _table_of(self, dtype):
        dtype = np.dtype(dtype)
        if dtype not in self._tables:
            self._tables[dtype] = self._table.astype(dtype)
        return self._tables[dtype]


def draw_stencils(stencil, pixel, fraction, image, heights, out):
    """Add Gaussians to images, truncated at the edges.

    Every pixel sums its Gaussians in the given order.

    Parameters
    ----------
    stencil : Stencil
    pixel : ndarray of int of shape (n, d)
        The nearest pixel of each centre, inside or outside of the image.
    fraction : ndarray of shape (n, d)
        The remaining fraction.
    image : ndarray of int of shape (n,)
    heights : ndarray of shape (n,)
    out : ndarray of shape (n_images, *grid), float32 or float64
        Values are added to it. It may be a strided view.
    """
    low, high = pixel - stencil.reach, pixel + stencil.reach + 1
    first, last = np.maximum(low, 0), np.minimum(high, out.shape[1:])
    met = np.flatnonzero((first < last).all(axis=1))
    step = max(1, _PIXELS_PER_BLOCK // stencil.size)
    for start in range(0, len(met), step):
        some = met[start : start + step]
        windows = stencil.values(fraction[some], heights[some], out.dtype)
        boxes = zip(image[some].tolist(), *_slices(first[some], last[some]), strict=True)
        parts = zip(*_slices(first[some] - low[some], last[some] - low[some]), strict=True)
        for place, part, window in zip(boxes, parts, windows, strict=True):
            out[place] += window[part]


def _slices(first, last):
    """Return slices of many boxes, one iterator per axis."""
    return [map(slice, *ends) for ends in zip(first.T.tolist(), last.T.tolist(), strict=True)]


def images_that_reach(pixel, grid, periodic, reaches, first, last):
    """Return periodic images of windows that overlap a box.

    Parameters
    ----------
    pixel : ndarray of int of shape (n, d)
        In ``[0, grid]``.
    grid : sequence of d ints
        Pixels along each axis.
    periodic : sequence of d bools
    reaches : sequence of d ints
    first, last : sequence of d ints
        Bounds of the box: pixels ``first ... last - 1`` along each axis.

    Returns
    -------
    index : ndarray of int of shape (m,)
        Sorted by blocks of pixels, then by index, so that the order does not depend on the box.
    pixel : ndarray of int of shape (m, d)
        Counted from `first`.
    """
    index, pixel = np.arange(len(pixel)), pixel.copy()
    for axis, n in enumerate(grid):
        along, far = pixel[:, axis], int(reaches[axis])
        shifts = [0]
        if periodic[axis]:
            shifts = range(-((far + n - first[axis]) // n), (last[axis] - 1 + far) // n + 1)
        moved = [along + shift * n for shift in shifts]
        kept = [np.flatnonzero((at + far >= first[axis]) & (at - far < last[axis])) for at in moved]
        pixel = np.concatenate([pixel[k] for k in kept])
        pixel[:, axis] = np.concatenate([at[k] for at, k in zip(moved, kept, strict=True)])
        index = np.concatenate([index[k] for k in kept])
    blocks = pixel // _BLOCK
    order = np.lexsort((index, *blocks.T[::-1]))
    return index[order], pixel[order] - np.asarray(first)
