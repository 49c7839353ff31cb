"""Which sites a window sees: pure integers, no data.

Everything that is special about a boundary stands in `axis_positions`; the rest of the package
gathers by these indices or by slices equal to them.
"""

from __future__ import annotations

import numpy as np

from ..exceptions import TilingError

BOUNDARIES = ("periodic", "zero", "reflect", "nearest")

OUTSIDE = -1  # the position of a site beyond a "zero" boundary: its value is 0
FEW_RUNS = 8


def n_windows(length: int, focus: int, remainder: str = "error") -> int:
    """Return the number of tiles along an axis of `length` sites.

    Raises
    ------
    TilingError
        Where `length` is not a multiple of `focus` and `remainder` is "error".
    """
    if length % focus and remainder == "error":
        raise TilingError(
            f"length {length} is not a multiple of focus={focus}; {legal_sizes(length, focus)}"
        )
    return -(-length // focus)


def legal_sizes(length: int, focus: int) -> str:
    """Say which lengths suit the focus."""
    below, above = length // focus * focus, -(-length // focus) * focus
    return f"use {below} or {above} sites" if below else f"use {above} sites"


def legal_focuses(length: int) -> str:
    """Say which focuses divide a length."""
    divisors = [str(f) for f in range(1, length + 1) if length % f == 0]
    if len(divisors) > 12:
        divisors = [*divisors[:6], "...", *divisors[-4:]]
    return divisors[0] if len(divisors) == 1 else f"{', '.join(divisors[:-1])} or {divisors[-1]}"


def axis_positions(
    length: int, focus: int, context: int, boundary: str, remainder: str = "error"
) -> np.ndarray:
    """Return the site behind each place of the padded axis.

    Window `i` covers the places ``i * focus`` to ``(i + 1) * focus + 2 * context``.

    Parameters
    ----------
    length, focus, context : int
        Sites of the axis, of a focus, and of the context on either side of it.
    boundary : {"periodic", "zero", "reflect", "nearest"}
        What lies beyond the ends: the other end, nothing (`OUTSIDE`), the mirror image without
        the end site repeated, or the end site again.
    remainder : {"error", "pad"}
        With "pad" the last focus may reach over the end, into what the boundary says.

    Returns
    -------
    ndarray of int of shape (n_windows * focus + 2 * context,)

    Examples
    --------
    >>> from sk_ednn.tiling._windows import axis_positions
    >>> for boundary in ("periodic", "zero", "reflect", "nearest"):
    ...     print(axis_positions(4, 2, 2, boundary))
    [2 3 0 1 2 3 0 1]
    [-1 -1  0  1  2  3 -1 -1]
    [2 1 0 1 2 3 2 1]
    [0 0 0 1 2 3 3 3]
    """
    places = np.arange(-context, n_windows(length, focus, remainder) * focus + context)
    if boundary == "periodic":
        return places % length
    if boundary == "zero":
        return np.where((places >= 0) & (places < length), places, OUTSIDE)
    if boundary == "nearest":
        return places.clip(0, length - 1)
    # A triangular wave: contexts longer than the axis are reflected again at the other end.
    period = max(2 * (length - 1), 1)
    folded = places % period
    return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(places)


def runs(positions) -> list[tuple[int, int]]:
    """Return (first site, length) of each run of sites that follow each other.

    A run of places beyond a "zero" boundary begins with `OUTSIDE`. Slices are copied several times
    faster than single sites; gather by those where there are more than `FEW_RUNS`.

    Examples
    --------
    >>> from sk_ednn.tiling._windows import axis_positions, runs
    >>> runs(axis_positions(6, focus=2, context=1, boundary="periodic"))
    [(5, 1), (0, 6), (0, 1)]
    """
    positions = np.asarray(positions)
    steps = np.diff(positions)
    outside = positions[1:] == OUTSIDE
    follows = np.where(outside, positions[:-1] == OUTSIDE, (steps == 1) & (positions[:-1] >= 0))
    starts = np.concatenate([[0], np.flatnonzero(~follows) + 1])
    lengths = np.diff(starts, append=len(positions))
    return list(zip(positions[starts].tolist(), lengths.tolist(), strict=True))


def axis_windows(
    length: int, focus: int, context: int, boundary: str, remainder: str = "error"
) -> np.ndarray:
    """Return the sites that each window of an axis sees.

    Returns
    -------
    ndarray of int of shape (n_windows, focus + 2 * context)
        `OUTSIDE` where a site lies beyond a "zero" boundary.

    Examples
    --------
    >>> from sk_ednn.tiling._windows import axis_windows
    >>> axis_windows(6, focus=2, context=1, boundary="periodic")
    array([[5, 0, 1, 2],
           [1, 2, 3, 4],
           [3, 4, 5, 0]])
    """
    positions = axis_positions(length, focus, context, boundary, remainder)
    starts = np.arange(n_windows(length, focus, remainder)) * focus
    return positions[starts[:, None] + np.arange(focus + 2 * context)]
