"""Peaks of a map, which are the objects, and the part of the total that belongs to each."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..fields._fields import require_finite
from ..fields._in_memory import as_array

# Tiles over which a map is smoothed, and the least height of a peak relative to a high one.
_SMOOTH = 0.8
_LEAST, _HIGH = 0.15, 0.995


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
        Centres of mass of the tiles of each peak, from the upper left corner.
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
    smooth = ndimage.gaussian_filter(values, _SMOOTH, mode="constant")
    high = np.quantile(smooth[smooth > 0], _HIGH)
    top = (smooth == ndimage.maximum_filter(smooth, 3)) & (smooth > _LEAST * high)
    # Equal neighbours are one peak.
    marks, n = ndimage.label(top, np.ones((3,) * values.ndim))
    centres = np.array(ndimage.center_of_mass(top, marks, np.arange(1, n + 1))).reshape(n, -1)
    positions = np.argwhere(values != 0)
    _, owner = cKDTree(centres).query(positions)
    weight = values[tuple(positions.T)]
    shares = np.bincount(owner, weight, minlength=n)
    positive = np.maximum(weight, 0.0)
    mass = np.maximum(np.bincount(owner, positive, minlength=n), 1e-300)
    middle = np.stack(
        [np.bincount(owner, positive * along, minlength=n) / mass for along in positions.T], axis=1
    )
    step = np.asarray(focus, dtype=np.float64)
    return middle * step + (step - 1) / 2, shares
