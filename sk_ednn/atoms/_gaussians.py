"""Sums of Gaussians on periodic pixel grids, in time linear in their number.

A Gaussian is the product of one factor in x and one in y, so the sum over Gaussians k is a matrix
product,

    field[i, j] = Σ_k w_k g_k(i) h_k(j),        h_k(j) = 0 unless pixel j is within the cutoff.

The image is cut into stripes of rows i. In a stripe, g is a small dense matrix over the Gaussians
that reach it, and h a sparse one with the few pixels of each. Their product visits only the pixels
near each Gaussian, and needs one exponential per row and column instead of one per pixel. Stripes
are independent, so threads may draw them in any order with the same result.
"""

from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from scipy.sparse import csc_array

# Shares of the tasks per thread, and the least number of tasks per thread.
_SHARES = 4
_TASKS_PER_THREAD = 16


def draw_gaussians(
    centres, image, weights, out, *, width, cutoff, n_jobs=None, pixels_per_task=2**19
):
    """Draw sums of Gaussians on periodic images.

    Gaussian k adds ``weights[k] * exp(-dx**2 / (2 * width[0]**2) - dy**2 / (2 * width[1]**2))``
    to ``out[image[k]]``, at every pixel where both distances are within `cutoff` widths, and at
    no pixel where one of them is more than a pixel larger. All periodic images are drawn, for
    grids of any size.

    Parameters
    ----------
    centres : ndarray of shape (n_gaussians, 2), float64, in pixels
        In ``[0, nx] x [0, ny]``.

    image : ndarray of shape (n_gaussians,), of int
        The image of each Gaussian, in any order.

    weights : ndarray of shape (n_gaussians,)
        The heights.

    out : ndarray of shape (n_images, nx, ny), float32 or float64
        Zeros on entry; may be a strided view.

    width : pair of float, in pixels
        The standard deviation along x and y.

    cutoff : float, in widths

    n_jobs : int or None
        The number of threads.

    pixels_per_task : int, default=2**19
        2 MB of float32. With fewer, calls take longer than the arithmetic.
    """
    pixel, fraction = nearest_pixel(centres)
    draw_at_pixels(
        pixel, fraction, image, weights, out, width=width, cutoff=cutoff, n_jobs=n_jobs,
        pixels_per_task=pixels_per_task,
    )  # fmt: skip


def draw_at_pixels(
    pixel, fraction, image, weights, out, *, width, cutoff, n_jobs=None, pixels_per_task=2**19
):
    """Draw like `draw_gaussians`, for centres in the form that `nearest_pixel` returns.

    Every pixel adds up its Gaussians in the order in which they are given.
    """
    if not len(pixel):
        return
    across, along = (_Profile(w, cutoff, out.dtype) for w in width)
    stripes = _Stripes.cut(out.shape[1], across.reach)
    n_columns = out.shape[2]
    atom, number, row = stripes.meet(pixel[:, 0])
    number += image[atom] * len(stripes)
    # Sorted by atom within a stripe, so that the sum of a pixel does not depend on the stripes. The
    # three keys are one number, since numpy sorts numbers ten times as fast as it finds an order.
    n_rows = stripes.width + 2 * stripes.reach + 1
    key = np.sort((number * len(pixel) + atom) * n_rows + row + stripes.reach)
    key, row = np.divmod(key, n_rows)
    number, atom = np.divmod(key, len(pixel))
    row -= stripes.reach
    near = _columns_near(n_columns, along.reach)

    def draw(first, last):
        some = slice(*np.searchsorted(number, [first, last]))
        if some.start == some.stop:
            return
        k = atom[some]
        g = across.over(stripes.width, row[some], fraction[k, 0])
        h = along.near(fraction[k, 1])
        h *= weights[k].astype(out.dtype)[:, None]
        columns = near[pixel[k, 1]]
        columns += ((number[some] - first) * n_columns).astype(columns.dtype)[:, None]
        ends = np.arange(0, h.size + 1, h.shape[1], dtype=columns.dtype)
        shape = ((last - first) * n_columns, len(h))
        drawn = csc_array((h.ravel(), columns.ravel(), ends), shape=shape) @ g
        for n, stripe in enumerate(drawn.reshape(last - first, n_columns, -1), start=first):
            m, s = divmod(n, len(stripes))
            out[m, stripes.first[s] : stripes.first[s] + stripes.width] = stripe.T

    def draw_all(tasks):
        for task in tasks:
            draw(*task)

    n_stripes = len(out) * len(stripes)
    bounds = range(0, n_stripes, max(1, pixels_per_task // (n_columns * stripes.width)))
    tasks = [(first, min(first + bounds.step, n_stripes)) for first in bounds]
    n_jobs = min(effective_n_jobs(n_jobs), len(tasks) // _TASKS_PER_THREAD)
    if n_jobs <= 1:
        draw_all(tasks)
        return
    # Few equal shares, since joblib takes about as long to submit one as to draw one task.
    shares = [tasks[k :: _SHARES * n_jobs] for k in range(_SHARES * n_jobs)]
    Parallel(n_jobs=n_jobs, require="sharedmem")(delayed(draw_all)(share) for share in shares)


def reach(width, cutoff):
    """Return the number of pixels, from the nearest one, to which a Gaussian is drawn."""
    # The nearest pixel is at most half a pixel from the centre.
    return int(np.floor(cutoff * width + 0.5))


def gaussians_near(centres, n_pixels, width, cutoff):
    """Return Gaussians along one periodic axis and their derivatives, at the pixels drawn.

    Parameters
    ----------
    centres : ndarray of shape (n_gaussians,), in pixels
        In ``[0, n_pixels]``.

    n_pixels : int

    width : float, in pixels

    cutoff : float, in widths

    Returns
    -------
    pixels : ndarray of int of shape (n_gaussians, n_near)
        Pixels of each Gaussian; one that is wider than the axis visits pixels repeatedly.

    values, gradients : ndarray of shape (n_gaussians, n_near)
        Values at these pixels, and their derivatives with respect to the centres.
    """
    profile = _Profile(width, cutoff, np.dtype(np.float64))
    pixel, fraction = nearest_pixel(centres)
    offsets = np.arange(-profile.reach, profile.reach + 1)
    values = profile.near(fraction)
    gradients = values * (offsets - fraction[:, None]) / width**2
    return (pixel[:, None] + offsets) % n_pixels, values, gradients


def nearest_pixel(centres):
    """Return the nearest pixel and the remaining fraction.

    They are separate so that the distance to any pixel is an exact integer less a fraction: float32
    then rounds relative to the distance, not to the coordinate.
    """
    pixel = np.floor(centres + 0.5)
    return pixel.astype(np.int64), centres - pixel


def _columns_near(n_columns, reach):
    """Return a table of the columns near column j of a periodic image, j = 0 ... n_columns."""
    columns = np.arange(-reach, n_columns + reach + 1, dtype=np.int32) % np.int32(n_columns)
    return np.lib.stride_tricks.sliding_window_view(columns, 2 * reach + 1)


class _Profile:
    """Values of a Gaussian at pixels along one axis."""

    def __init__(self, width, cutoff, dtype):
        self.scale = 1 / (np.sqrt(2) * width)
        self.dtype = dtype
        self.reach = reach(width, cutoff)

    def near(self, fraction):
        """Return values at the nearest pixel and at `reach` pixels on either side."""
        return self._values(self._distance(np.arange(-self.reach, self.reach + 1)), fraction)

    def over(self, n_pixels, nearest, fraction):
        """Return values at pixels 0 ... n_pixels - 1; the nearest pixel may be outside."""
        centre = np.arange(-self.reach, n_pixels + self.reach)
        table = self._distance(np.arange(n_pixels) - centre[:, None])
        return self._values(table.take(nearest + self.reach, axis=0), fraction)

    def _distance(self, pixels):
        # exp(-1e6) is 0, so the cutoff needs no mask.
        return np.where(np.abs(pixels) <= self.reach, pixels * self.scale, 1e3).astype(self.dtype)

    def _values(self, distance, fraction):
        distance = distance - (fraction * self.scale).astype(self.dtype)[:, None]
        np.square(distance, out=distance)
        np.negative(distance, out=distance)
        return np.exp(distance, out=distance)


@dataclass(frozen=True)
class _Stripes:
    """Stripes of rows of an image, all of one width."""

    n_rows: int
    reach: int  # of a Gaussian, in pixels from the nearest
    width: int
    first: np.ndarray  # (n_stripes,): first row of each

    @classmethod
    def cut(cls, n_rows, reach):
        # Wider than a Gaussian, so that few are drawn in several stripes; not much wider, so that
        # g has few zeros.
        width = -(-n_rows // max(1, round(n_rows / max(16, 2.5 * reach))))
        # The last stripe ends with the image and may overlap its neighbour. Each stripe contains
        # the full sum at its pixels, so values that are written twice are equal.
        first = np.minimum(np.arange(-(-n_rows // width)) * width, n_rows - width)
        return cls(n_rows, reach, width, first)

    def __len__(self):
        return len(self.first)

    def meet(self, row):
        """Return pairs of a row, periodic images included, and a stripe within its reach.

        Returns
        -------
        tuple of three ndarray of int
            For every pair: the index into `row`, the stripe, and the row counted from the first one
            of the stripe.
        """
        pairs = []
        n_images = 1 + self.reach // self.n_rows
        for shift in range(-n_images, n_images + 1):
            i = row + shift * self.n_rows
            inside = np.flatnonzero((i + self.reach >= 0) & (i - self.reach < self.n_rows))
            i = i[inside]
            low = np.maximum(i - self.reach, 0) // self.width
            high = np.minimum(i + self.reach, self.n_rows - 1)
            high = np.where(high >= self.first[-1], len(self) - 1, high // self.width)
            for step in range(int((high - low).max(initial=-1)) + 1):
                met = np.flatnonzero(low + step <= high)
                stripe = low[met] + step
                pairs.append((inside[met], stripe, i[met] - self.first[stripe]))
        return tuple(np.concatenate(part) for part in zip(*pairs, strict=True))
