"""Rings around the peaks of a map, by which people compare it with its picture."""

from __future__ import annotations

import numpy as np

from ._peaks import peaks

# A light ring on a dark one is visible on grounds of any colour; cyan is rare in photographs.
_RING, _EDGE = (0, 225, 255), (0, 40, 70)
_LEAST_RADIUS = 4  # pixels that are drawn


def ring_positions(contributions, focus) -> np.ndarray:
    """Return where rings are drawn: the peaks of a map, seen from above.

    Parameters
    ----------
    contributions : ndarray of shape (*tile_grid,)
    focus : tuple of int

    Returns
    -------
    ndarray of shape (n_peaks, 2), in pixels of the picture
        Row and column.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.images._marks import ring_positions
    >>> contributions = np.zeros((12, 12))
    >>> contributions[8, 9] = 0.9
    >>> ring_positions(contributions, (4, 4)).tolist()
    [[33.5, 37.5]]
    """
    positions, _ = peaks(contributions, focus)
    return positions[:, -2:]


def draw_rings(draw, positions, radius) -> None:
    """Draw rings onto a picture of Pillow.

    Parameters
    ----------
    draw : PIL.ImageDraw.ImageDraw
    positions : ndarray of shape (n, 2)
        Row and column in pixels that are drawn.
    radius : float
        In the same; at least 4 are drawn.
    """
    radius = max(_LEAST_RADIUS, radius)
    width = max(1, round(radius / 8))
    for row, column in positions.tolist():
        for colour, extra in ((_EDGE, width), (_RING, 0)):
            far = radius + extra
            box = (column - far, row - far, column + far, row + far)
            draw.ellipse(box, outline=colour, width=width + 2 * extra)
