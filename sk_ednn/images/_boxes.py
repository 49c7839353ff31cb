"""Boxes: parts of pictures with separate totals, such as counts of dots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..fields._fields import require_finite
from ..fields._in_memory import as_array
from ._checks import PictureError


@dataclass(frozen=True)
class Box:
    """A part of a picture with a known total.

    Attributes
    ----------
    picture : int
        Number of the picture in the list that is fitted.
    start, stop : tuple of int
        First pixel along each axis, and the one after the last.
    totals : float or tuple of float
        Totals of the objects in the box.
    """

    picture: int
    start: tuple[int, ...]
    stop: tuple[int, ...]
    totals: float | tuple[float, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as slices."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))


def boxes_of_dots(picture, positions, grid, *, side=64, output=0, n_outputs=1) -> list[Box]:
    """Cut a picture with dots into boxes with their counts.

    Parameters
    ----------
    picture : int
        Number of the picture in the list that is fitted.
    positions : array-like of shape (n_dots, n_axes)
        Row and column of each dot, in pixels from the upper left corner.
    grid : tuple of int
        Pixels of the picture along each axis.
    side : int, default=64
        Length of a box, along rows and columns.
    output, n_outputs : int
        Index of the total that the dots count, and number of totals; the others are unknown.

    Returns
    -------
    list of Box

    Raises
    ------
    ValueError
        If a dot is outside of the picture, or a position is masked or NaN.

    Examples
    --------
    >>> from sk_ednn.images import boxes_of_dots
    >>> boxes = boxes_of_dots(0, [[3, 5], [70, 80], [99, 99]], (100, 100))
    >>> [box.totals for box in boxes]
    [1.0, 0.0, 0.0, 2.0]
    """
    positions = as_array(positions, "positions", float).reshape(-1, len(grid))
    require_finite(positions, "positions")
    outside = ((positions < -0.5) | (positions > np.array(grid) - 0.5)).any(axis=1)
    if outside.any():
        raise ValueError(
            f"Dot {positions[outside][0].tolist()} is outside of picture {picture} of shape "
            f"{tuple(grid)}. Dots are rows and columns, in pixels from the upper left corner."
        )
    edges = [np.array([0, n]) if k < len(grid) - 2 else _edges(n, side) for k, n in enumerate(grid)]
    placed = positions.clip(0, np.array(grid) - 1e-9)
    counts, _ = np.histogramdd(placed, bins=edges)
    boxes = []
    for place in np.ndindex(*counts.shape):
        start = tuple(int(along[i]) for along, i in zip(edges, place, strict=True))
        stop = tuple(int(along[i + 1]) for along, i in zip(edges, place, strict=True))
        totals = [np.nan] * n_outputs
        totals[output] = float(counts[place])
        boxes.append(Box(picture, start, stop, totals[0] if n_outputs == 1 else tuple(totals)))
    return boxes


def _edges(length, side) -> np.ndarray:
    n_parts = max(1, round(length / side))
    return np.linspace(0, length, n_parts + 1).round().astype(int)


def check_boxes(boxes, pictures, n_outputs) -> None:
    """Raise if a box is outside of its picture, or has no total.

    Parameters
    ----------
    boxes : list of Box
    pictures : list of Picture
    n_outputs : int
    """
    for box in boxes:
        if not 0 <= box.picture < len(pictures):
            raise ValueError(
                f"{box} refers to a picture that does not exist: there are {len(pictures)} "
                "pictures."
            )
        picture = pictures[box.picture]
        fits = len(box.start) == len(box.stop) == len(picture.grid) and all(
            0 <= a < b <= n for a, b, n in zip(box.start, box.stop, picture.grid, strict=False)
        )
        if not fits:
            raise PictureError(
                f"{picture.name}: the box from {box.start} to {box.stop} is not inside a picture "
                f"of {picture.grid} pixels."
            )
        totals = np.ravel(box.totals)
        if len(totals) != n_outputs or not np.isfinite(totals).any():
            raise PictureError(
                f"{picture.name}: the box from {box.start} has the total {box.totals}, and "
                f"{n_outputs} number(s) are expected."
            )
