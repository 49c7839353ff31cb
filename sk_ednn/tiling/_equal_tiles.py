"""Fast search for equal tiles.

Tiles are read one element of the window at a time, so that a strided view of many overlapping
windows is never copied.
"""

from __future__ import annotations

import numpy as np

# Codes below this are counted in a table, which is several times faster than sorting.
_TABLE_SIZE = 1 << 23
# Tiles processed at a time.
_SLAB = 1 << 15
# Integers below this in absolute value serve as digits of a code.
_LARGEST = 1 << 12
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, a multiplier that mixes bits


def distinct(values: np.ndarray, tile_ndim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of distinct tiles, and the distinct tile equal to each tile.

    Parameters
    ----------
    values : ndarray of shape (*batch, *tile_shape)
        Tiles of any numeric dtype. Floats are compared by value, so that 0.0 equals -0.0.
    tile_ndim : int
        Number of axes of a tile.

    Returns
    -------
    first : ndarray of int of shape (n_distinct,)
        Flat index of the first tile of each group of equal tiles. The order of the groups depends
        only on their values, not on their indices.
    inverse : ndarray of int of shape (n_tiles,)
        ``tiles[first][inverse]`` equals ``tiles``.
    """
    batch = values.shape[: values.ndim - tile_ndim]
    n_tiles = int(np.prod(batch))
    codes = _exact_codes(values, tile_ndim)
    if codes is not None:
        return _rank(codes.reshape(n_tiles))
    first, inverse = _rank(hashes(values, tile_ndim).reshape(n_tiles))
    if not _verified(values, tile_ndim, first, inverse):
        # Hash collision: compare the tiles themselves.
        rows = np.ascontiguousarray(values.reshape(n_tiles, -1)) + values.dtype.type(0)
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, inverse.reshape(n_tiles)


def _rank(codes) -> tuple[np.ndarray, np.ndarray]:
    top = int(codes.max()) + 1 if len(codes) else 0
    if codes.dtype != np.uint64 and top <= min(_TABLE_SIZE, 64 * len(codes) + 1024):
        first_of = np.full(top, -1, dtype=np.intp)
        first_of[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the last write wins
        present = np.flatnonzero(first_of >= 0)
        rank = np.empty(top, dtype=np.intp)
        rank[present] = np.arange(len(present))
        return first_of[present], rank[codes]
    if len(codes) == 0:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    _, starts, order = in_order(codes)
    inverse = np.empty(len(codes), dtype=np.intp)
    inverse[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(codes)))
    return np.minimum.reduceat(order, starts), inverse


def in_order(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct codes, the start of each in sorted order, and the sorting indices.

    Like `numpy.unique`, but without its stable sort, which is several times slower. Equal codes
    come in any order.
    """
    order = np.argsort(codes)
    ranked = codes[order]
    new = np.ones(len(codes), dtype=bool)
    np.not_equal(ranked[1:], ranked[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    return ranked[starts], starts, order


def _elements(values, tile_ndim):
    """Yield the values of all tiles at one element of the window after another."""
    for element in np.ndindex(values.shape[values.ndim - tile_ndim :]):
        yield values[(..., *element)]


def _slabs(values, tile_ndim):
    """Yield indices of pieces of the batch that fit in the processor's caches."""
    batch = values.shape[: values.ndim - tile_ndim]
    axis = int(np.argmax(batch))
    step = max(1, _SLAB * batch[axis] // max(int(np.prod(batch)), 1))
    for start in range(0, batch[axis], step):
        yield (*[slice(None)] * axis, slice(start, start + step))


def _exact_codes(values, tile_ndim) -> np.ndarray | None:
    """Return tiles as integers with their values as digits, or None if 63 bits do not suffice."""
    n_digits = int(np.prod(values.shape[values.ndim - tile_ndim :]))
    bounds = _range(values, tile_ndim)
    if bounds is None:
        return None
    low, high = bounds
    base, digit_of = high - low + 1, None
    if base**n_digits > 2**63:
        alphabet = _alphabet(values, tile_ndim, low, high)
        base = len(alphabet)
        if base**n_digits > 2**63:
            return None
        digit_of = np.zeros(high - low + 1, dtype=np.int64)
        digit_of[alphabet - low] = np.arange(base)
    # The narrowest dtype, because memory traffic limits the speed.
    dtype = next(t for t in (np.int16, np.int32, np.int64) if base**n_digits - 1 <= np.iinfo(t).max)
    codes = np.zeros(values.shape[: values.ndim - tile_ndim], dtype=dtype)
    for slab in _slabs(values, tile_ndim):
        part = codes[slab]
        for element in _elements(values[slab], tile_ndim):
            digits = element.astype(np.int16) - np.int16(low)
            part *= dtype(base)
            part += digits if digit_of is None else digit_of[digits].astype(dtype)
    return codes


def _range(values, tile_ndim) -> tuple[int, int] | None:
    """Return the smallest and the largest value, or None if any is not a small integer."""
    if values.size == 0:
        return None
    if values.dtype == bool:
        return 0, 1
    low, high = _LARGEST, -_LARGEST
    for slab in _slabs(values, tile_ndim):
        for element in _elements(values[slab], tile_ndim):
            least, most = element.min(), element.max()
            if not (-_LARGEST < least and most < _LARGEST):
                return None
            if values.dtype.kind == "f" and not np.array_equal(element.astype(np.int16), element):
                return None
            low, high = min(low, int(least)), max(high, int(most))
    return low, high


def _alphabet(values, tile_ndim, low, high) -> np.ndarray:
    """Return the integers that occur in the tiles, sorted."""
    present = np.zeros(high - low + 1, dtype=bool)
    for slab in _slabs(values, tile_ndim):
        for element in _elements(values[slab], tile_ndim):
            digits = (element.astype(np.int16) - np.int16(low)).ravel()
            present |= np.bincount(digits, minlength=len(present)) > 0
    return np.flatnonzero(present) + low


def hashes(values, tile_ndim) -> np.ndarray:
    """Return a number of 64 bits for each tile, equal for equal tiles of one type."""
    hashes = np.zeros(values.shape[: values.ndim - tile_ndim], dtype=np.uint64)
    for slab in _slabs(values, tile_ndim):
        part = hashes[slab]
        for element in _elements(values[slab], tile_ndim):
            if values.dtype.kind == "f":
                # Adding zero turns -0.0 into 0.0, whose bits differ.
                bits = (element.astype(np.float64) + 0.0).view(np.uint64)
            else:
                bits = element.astype(np.int64).view(np.uint64)
            part ^= bits
            part *= _ODD
            part ^= part >> np.uint64(29)
    return hashes


def _verified(values, tile_ndim, first, inverse) -> bool:
    batch = values.shape[: values.ndim - tile_ndim]
    merged = np.flatnonzero(first[inverse] != np.arange(len(inverse)))
    for start in range(0, len(merged), _SLAB):
        slab = merged[start : start + _SLAB]
        representatives = np.unravel_index(first[inverse[slab]], batch)
        tiles = np.unravel_index(slab, batch)
        if not np.array_equal(values[tiles], values[representatives]):
            return False
    return True
