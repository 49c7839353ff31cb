"""Find equal tiles fast: which are distinct, and which of them each tile is.

Tiles are read slice by slice (one place of the window at a time), so that a strided view of many
overlapping windows is never copied out.
"""

from __future__ import annotations

import numpy as np

# Codes below this are counted in a table, which is several times faster than sorting them.
_TABLE_SIZE = 1 << 23
# Tiles looked at together, and the size of whole numbers that are taken as digits.
_SLAB = 1 << 15
_LARGEST = 1 << 12
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: spreads the bits of a product


def distinct(values: np.ndarray, tile_ndim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each distinct tile first stands, and which distinct tile each tile is.

    Parameters
    ----------
    values : ndarray of shape (*batch, *tile_shape)
        Any number type; floats are compared by value, so that 0.0 equals -0.0.
    tile_ndim : int
        Number of axes of one tile.

    Returns
    -------
    first : ndarray of int of shape (n_distinct,)
        Flat index of one tile of each kind. The order of the kinds depends on their values only,
        not on where they stand.
    inverse : ndarray of int of shape (n_tiles,)
        ``tiles[first][inverse]`` are all the tiles.
    """
    batch = values.shape[: values.ndim - tile_ndim]
    n_tiles = int(np.prod(batch))
    codes = _exact_codes(values, tile_ndim)
    if codes is not None:
        return _rank(codes.reshape(n_tiles))
    first, inverse = _rank(_hashes(values, tile_ndim).reshape(n_tiles))
    if not _verified(values, tile_ndim, first, inverse):
        # Two kinds of tile share a hash: compare the tiles themselves.
        rows = np.ascontiguousarray(values.reshape(n_tiles, -1)) + values.dtype.type(0)
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, inverse.reshape(n_tiles)


def _rank(codes) -> tuple[np.ndarray, np.ndarray]:
    top = int(codes.max()) + 1 if len(codes) else 0
    if codes.dtype != np.uint64 and top <= min(_TABLE_SIZE, 64 * len(codes) + 1024):
        first_of = np.full(top, -1, dtype=np.intp)
        first_of[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the last one written stays
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
    """Return the distinct codes, where in their order each begins, and that order.

    Like `numpy.unique`, without the stable sort that makes it several times slower: equal codes
    come in any order.
    """
    order = np.argsort(codes)
    ranked = codes[order]
    new = np.ones(len(codes), dtype=bool)
    np.not_equal(ranked[1:], ranked[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    return ranked[starts], starts, order


def _places(values, tile_ndim):
    """Yield, for each place of the window, that place's value in every tile."""
    for place in np.ndindex(values.shape[values.ndim - tile_ndim :]):
        yield values[(..., *place)]


def _slabs(values, tile_ndim):
    """Yield indices that cut the batch into pieces which stay in the caches."""
    batch = values.shape[: values.ndim - tile_ndim]
    axis = int(np.argmax(batch))
    step = max(1, _SLAB * batch[axis] // max(int(np.prod(batch)), 1))
    for start in range(0, batch[axis], step):
        yield (*[slice(None)] * axis, slice(start, start + step))


def _exact_codes(values, tile_ndim) -> np.ndarray | None:
    """Number the tiles by their values as digits, where they are few enough for 63 bits."""
    n_places = int(np.prod(values.shape[values.ndim - tile_ndim :]))
    found = _range(values, tile_ndim)
    if found is None:
        return None
    low, high = found
    base, digit_of = high - low + 1, None
    if base**n_places > 2**63:
        alphabet = _alphabet(values, tile_ndim, low, high)
        base = len(alphabet)
        if base**n_places > 2**63:
            return None
        digit_of = np.zeros(high - low + 1, dtype=np.int64)
        digit_of[alphabet - low] = np.arange(base)
    # As narrow as they may be: at several bytes a tile, this is a matter of memory traffic.
    dtype = next(t for t in (np.int16, np.int32, np.int64) if base**n_places - 1 <= np.iinfo(t).max)
    codes = np.zeros(values.shape[: values.ndim - tile_ndim], dtype=dtype)
    for slab in _slabs(values, tile_ndim):
        part = codes[slab]
        for place in _places(values[slab], tile_ndim):
            digits = place.astype(np.int16) - np.int16(low)
            part *= dtype(base)
            part += digits if digit_of is None else digit_of[digits].astype(dtype)
    return codes


def _range(values, tile_ndim) -> tuple[int, int] | None:
    """Return the least and the largest value, None if any is not a small whole number."""
    if values.size == 0:
        return None
    if values.dtype == bool:
        return 0, 1
    low, high = _LARGEST, -_LARGEST
    for slab in _slabs(values, tile_ndim):
        for place in _places(values[slab], tile_ndim):
            least, most = place.min(), place.max()
            if not (-_LARGEST < least and most < _LARGEST):
                return None
            if values.dtype.kind == "f" and not np.array_equal(place.astype(np.int16), place):
                return None
            low, high = min(low, int(least)), max(high, int(most))
    return low, high


def _alphabet(values, tile_ndim, low, high) -> np.ndarray:
    """Return the sorted whole numbers that occur in the tiles."""
    found = np.zeros(high - low + 1, dtype=bool)
    for slab in _slabs(values, tile_ndim):
        for place in _places(values[slab], tile_ndim):
            digits = (place.astype(np.int16) - np.int16(low)).ravel()
            found |= np.bincount(digits, minlength=len(found)) > 0
    return np.flatnonzero(found) + low


def _hashes(values, tile_ndim) -> np.ndarray:
    hashes = np.zeros(values.shape[: values.ndim - tile_ndim], dtype=np.uint64)
    for slab in _slabs(values, tile_ndim):
        part = hashes[slab]
        for place in _places(values[slab], tile_ndim):
            if values.dtype.kind == "f":
                # Adding zero turns -0.0 into 0.0, which has other bits.
                bits = (place.astype(np.float64) + 0.0).view(np.uint64)
            else:
                bits = place.astype(np.int64).view(np.uint64)
            part ^= bits
            part *= _ODD
            part ^= part >> np.uint64(29)
    return hashes


def _verified(values, tile_ndim, first, inverse) -> bool:
    batch = values.shape[: values.ndim - tile_ndim]
    merged = np.flatnonzero(first[inverse] != np.arange(len(inverse)))
    for start in range(0, len(merged), _SLAB):
        these = merged[start : start + _SLAB]
        kinds = np.unravel_index(first[inverse[these]], batch)
        tiles = np.unravel_index(these, batch)
        if not np.array_equal(values[tiles], values[kinds]):
            return False
    return True
