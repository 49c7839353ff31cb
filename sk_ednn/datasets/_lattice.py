"""Periodic rectangular lattices: neighbours, colours, and pairs of like neighbours."""

from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real

import numpy as np

from ..fields._in_memory import as_array


@dataclass(frozen=True)
class Lattice:
    """Sites of a periodic lattice in any dimension, numbered in C order.

    Parameters
    ----------
    shape : tuple of int
        Sites along each axis.
    """

    shape: tuple

    @property
    def n_sites(self):
        return int(np.prod(self.shape))

    @cached_property
    def neighbours(self):
        """Sites before and after each along each axis, of shape (2, n_axes, n_sites)."""
        sites = np.arange(self.n_sites).reshape(self.shape)
        return np.array(
            [[np.roll(sites, step, axis).ravel() for axis in range(sites.ndim)] for step in (1, -1)]
        )

    @property
    def rings(self):
        """Colours 0 and 1 by turns along each axis, broadcastable to the shape.

        Around a ring of odd length two colours do not close, and the last site takes colour 2.
        """
        for axis, n in enumerate(self.shape):
            ring = np.arange(n) % 2
            ring[-1] += n % 2 * 2
            yield ring.reshape([-1 if a == axis else 1 for a in range(len(self.shape))])

    @cached_property
    def colours(self):
        """Sites in groups without neighbours among themselves, which may change all at once.

        The checkerboard where every length is even; otherwise three groups, for the colours of
        the rings added up modulo 3.
        """
        n_colours = 3 if any(n % 2 for n in self.shape) else 2
        colour = (np.zeros(self.shape, dtype=np.int64) + sum(self.rings)).ravel() % n_colours
        groups = [np.flatnonzero(colour == c) for c in range(n_colours)]
        return [group for group in groups if group.size]


def like_pairs(fields):
    """Pairs of equal nearest neighbours along each axis.

    Each site is paired with the next along the axis, periodically: an axis of length 2 contains its
    pairs twice, an axis of length 1 pairs sites with themselves. So a repeated field always has
    repeated counts.

    Parameters
    ----------
    fields : ndarray of shape (n_samples, *shape)

    Returns
    -------
    counts : ndarray of shape (n_samples, n_axes), int64
    """
    n_samples, *shape = fields.shape
    counts = np.zeros((n_samples, len(shape)), dtype=np.int64)
    for axis in range(len(shape)):
        along = np.moveaxis(fields, axis + 1, 1)
        # Without a rolled copy: pairs inside, then those across the boundary.
        for one, next_one in ((along[:, :-1], along[:, 1:]), (along[:, -1], along[:, 0])):
            counts[:, axis] += np.count_nonzero(one == next_one, axis=tuple(range(1, one.ndim)))
    return counts


def check_shape(shape):
    """The shape of a lattice to sample on: 1 to 3 axes of at least 2 sites."""
    axes = (shape,) if isinstance(shape, Integral) else tuple(shape)
    if not 1 <= len(axes) <= 3 or not all(isinstance(n, Integral) and n >= 2 for n in axes):
        raise ValueError(
            "The 'shape' parameter must be 1 to 3 lengths of at least 2 sites each. "
            f"Got {shape!r} instead."
        )
    return tuple(int(n) for n in axes)


def check_couplings(couplings, n_axes):
    """Couplings J as an array of shape (n_axes,)."""
    values = as_array(couplings, "couplings", np.float64)
    if values.shape not in ((), (n_axes,)) or not np.isfinite(values).all():
        raise ValueError(
            f"The 'couplings' parameter must be a finite number or one for each of the {n_axes} "
            f"axes. Got {couplings!r} instead."
        )
    return np.broadcast_to(values, n_axes)


def check_temperature(temperature):
    """Lowest and highest temperature."""
    pair = (temperature, temperature) if isinstance(temperature, Real) else tuple(temperature)
    if len(pair) != 2 or not all(isinstance(t, Real) and t > 0 for t in pair) or pair[0] > pair[1]:
        raise ValueError(
            "The 'temperature' parameter must be a positive number or a pair (lowest, highest) of "
            f"them. Got {temperature!r} instead."
        )
    if pair[0] < pair[1] == np.inf:
        raise ValueError(
            "The 'temperature' parameter has no uniform distribution up to inf. "
            f"Got {temperature!r}; use a finite pair, or inf alone for independent sites."
        )
    return pair
