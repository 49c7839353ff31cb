"""Peaks of a map, which are the objects, and the part of the total that belongs to each."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..fields._fields import require_finite
from ..fields._in_memory import as_array

# Tiles over which a map is smoothed, and the least height of a peak relative to a high one, above
# which lies this share of the total.
_SMOOTH = 0.8
_LEAST, _HIGH = 0.15, 0.05
# Tiles from the highest one that give a peak its position, and beyond which all is haze.
_NEAR, _FAR = 1.5, 4.0


def peaks(contributions, focus):
    """Find the peaks of a map, and share the total among them.

    Each tile is assigned to the nearest peak, so that the shares add up to the total of the map.

    Parameters
    ----------
    contributions : ndarray of shape (*tile_grid,)
        From `CountRegressor.predict_contributions`.
    focus : tuple of int
        Pixels of a tile along each axis.

    Returns
    -------
    positions : ndarray of shape (n_peaks, n_axes), float64, in pixels
        Centres of mass of the tiles at each peak, of up to 1.5 tiles from its highest, from the
        upper left corner.
    shares : ndarray of shape (n_peaks,), float64
        Part of the total of each.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images import peaks
    >>> contributions = np.zeros((12, 12))
    >>> contributions[2:4, 2:4], contributions[8, 9] = 0.25, 0.9
    >>> positions, shares = peaks(contributions, (4, 4))
    >>> shares, positions[1]
    (array([1. , 0.9]), array([33.5, 37.5]))
    """
    values = as_array(contributions, "contributions", np.float64)
    require_finite(values, "contributions")
    if values.max(initial=0.0) <= 0:
        return np.zeros((0, values.ndim)), np.zeros(0)
    smooth, least = _smoothed(values)
    top = (smooth == ndimage.maximum_filter(smooth, 3)) & (smooth > least)
    # Equal neighbours are one peak.
    marks, n = ndimage.label(top, np.ones((3,) * values.ndim))
    centres = np.array(ndimage.center_of_mass(top, marks, np.arange(1, n + 1))).reshape(n, -1)
    positions = np.argwhere(values != 0)
    distance, owner = cKDTree(centres).query(positions)
    weight = values[tuple(positions.T)]
    shares = np.bincount(owner, weight, minlength=n)
    # Faint values far away belong to the total, but would pull the position off the object.
    near = distance <= _NEAR
    owner, positive = owner[near], np.maximum(weight[near], 0.0)
    mass = np.maximum(np.bincount(owner, positive, minlength=n), 1e-300)
    middle = np.stack(
        [np.bincount(owner, positive * along, minlength=n) / mass for along in positions[near].T],
        axis=1,
    )
    step = np.asarray(focus, dtype=np.float64)
    return middle * step + (step - 1) / 2, shares


def haze(contributions) -> float:
    """Return how much of the total of a map lies far from all that stands out in it.

    Such parts are faint values over areas without objects, such as the table around a dish. They
    belong to the total, whose errors they may explain.

    Parameters
    ----------
    contributions : ndarray of shape (*tile_grid,)

    Returns
    -------
    float
        Sum of the tiles that are more than four tiles away from each one that is high enough for a
        peak.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._peaks import haze
    >>> contributions = np.full((20, 20), 0.001)
    >>> contributions[4, 4] = 1.0
    >>> round(haze(contributions), 3)
    0.317
    """
    values = as_array(contributions, "contributions", np.float64)
    if values.max(initial=0.0) <= 0:
        return float(values.sum())
    smooth, least = _smoothed(values)
    distance = ndimage.distance_transform_edt(smooth <= least)
    return float(values[distance > _FAR].sum())


def _smoothed(values):
    """Return a map that is smoothed, and the least height of a peak in it."""
    smooth = ndimage.gaussian_filter(values, _SMOOTH, mode="constant")
    falling = np.sort(smooth, axis=None)[::-1]
    # By share of the total, not of the area: a few objects in a large picture are high, too.
    above = np.cumsum(np.maximum(falling, 0.0))
    return smooth, _LEAST * falling[np.searchsorted(above, _HIGH * above[-1])]
