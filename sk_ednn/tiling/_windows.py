"""The sites of the windows of an axis: pure integers, no data.

Only `axis_positions` distinguishes boundaries. The rest of the package gathers by its indices, or
by equal slices.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..exceptions import TilingError

BOUNDARIES = ("periodic", "zero", "reflect", "nearest")

OUTSIDE = -1  # marks a site beyond a "zero" boundary, whose value is 0
FEW_RUNS = 8  # up to this many, runs are copied by slices; see `runs`


def n_windows(length: int, focus: int, remainder: str = "error") -> int:
    """Return the number of tiles along an axis of `length` sites.

    Raises
    ------
    TilingError
        If `length` is not a multiple of `focus` and `remainder` is "error".
    """
    if length % focus and remainder == "error":
        raise TilingError(
            f"length {length} is not a multiple of focus={focus}; {legal_sizes(length, focus)}"
        )
    return -(-length // focus)


def legal_sizes(length: int, focus: int) -> str:
    """Return advice on the nearest multiples of the focus."""
    below, above = length // focus * focus, -(-length // focus) * focus
    return f"use {below} or {above} sites" if below else f"use {above} sites"


def legal_focuses(length: int) -> str:
    """Return the divisors of a length as text."""
    divisors = [str(f) for f in range(1, length + 1) if length % f == 0]
    if len(divisors) > 12:
        divisors = [*divisors[:6], "...", *divisors[-4:]]
    return divisors[0] if len(divisors) == 1 else f"{', '.join(divisors[:-1])} or {divisors[-1]}"


@lru_cache(maxsize=256)
def axis_positions(
    length: int, focus: int, context: int, boundary: str, remainder: str = "error"
) -> np.ndarray:
    """Return the site at each position of the padded axis.

    Window `i` covers the positions ``i * focus`` to ``(i + 1) * focus + 2 * context``.

    Parameters
    ----------
    length, focus, context : int
        Sites of the axis, of a focus, and of the context on either side of it.
    boundary : {"periodic", "zero", "reflect", "nearest"}
        Sites beyond the ends: the opposite end, none (`OUTSIDE`), the mirror image without the
        end site repeated, or the end site.
    remainder : {"error", "pad"}
        With "pad" the last focus may extend beyond the end.

    Returns
    -------
    ndarray of int of shape (n_windows * focus + 2 * context,)
        Read-only, because results are cached.

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
    unbounded = np.arange(-context, n_windows(length, focus, remainder) * focus + context)
    if boundary == "periodic":
        sites = unbounded % length
    elif boundary == "zero":
        sites = np.where((unbounded >= 0) & (unbounded < length), unbounded, OUTSIDE)
    elif boundary == "nearest" or length == 1:
        sites = unbounded.clip(0, length - 1)
    else:
        # A triangular wave: contexts longer than the axis are reflected again at the other end.
        period = 2 * (length - 1)
        folded = unbounded % period
        sites = np.minimum(folded, period - folded)
    sites.setflags(write=False)
    return sites


def runs(positions) -> list[tuple[int, int]]:
    """Return (first site, length) of each run of consecutive sites.

    A run of positions beyond a "zero" boundary starts with `OUTSIDE`. Copying slices is several
    times faster than gathering single sites, unless there are more than `FEW_RUNS`.

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
    """Return the sites of each window of an axis.

    Returns
    -------
    ndarray of int of shape (n_windows, focus + 2 * context)
        `OUTSIDE` for sites beyond a "zero" boundary.

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


def seen_by(windows, length) -> np.ndarray:
    """Return the windows of an axis that see each site, sorted.

    Returns
    -------
    ndarray of int of shape (length, n_max)
        Rows are padded with -1.

    Examples
    --------
    >>> from sk_ednn.tiling._windows import axis_windows, seen_by
    >>> seen_by(axis_windows(4, 1, 1, "zero"), 4)
    array([[ 0,  1, -1],
           [ 0,  1,  2],
           [ 1,  2,  3],
           [ 2,  3, -1]])
    """
    index = np.repeat(np.arange(len(windows)), windows.shape[1])
    sites = windows.ravel()
    # Distinct pairs of a site and a window, sorted by site.
    pairs = np.unique(sites[sites != OUTSIDE] * len(windows) + index[sites != OUTSIDE])
    sites, index = np.divmod(pairs, len(windows))
    counts = np.bincount(sites, minlength=length)
    table = np.full((length, counts.max()), -1, dtype=np.intp)
    table[sites, np.arange(len(sites)) - np.repeat(np.cumsum(counts) - counts, counts)] = index
    return table


@lru_cache(maxsize=64)
def windows_by_site(
    length: int, focus: int, context: int, boundary: str, remainder: str = "error"
) -> list[list[int]]:
    """Return the windows that see each site of an axis, sorted; see `seen_by`."""
    table = seen_by(axis_windows(length, focus, context, boundary, remainder), length)
    return [row[row >= 0].tolist() for row in table]
