"""Find equal tiles fast: which are distinct, and which of them each tile is.

Tiles are read slice by slice (one place of the window at a time), so that a strided view of many
overlapping windows is never copied out.
"""

from __future__ import annotations

import numpy as np

# Codes below this are counted in a table, which is several times faster than sorting them.
_TABLE_SIZE = 1 << 23
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
        return _rank(codes.reshape(n_tiles), None)
    first, inverse = _rank(_hashes(values, tile_ndim).reshape(n_tiles), None)
    if not _verified(values, tile_ndim, first, inverse):
        # Two kinds of tile share a hash: compare the tiles themselves.
        rows = np.ascontiguousarray(values.reshape(n_tiles, -1)) + values.dtype.type(0)
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, inverse.reshape(n_tiles)


def _rank(codes, size) -> tuple[np.ndarray, np.ndarray]:
    top = int(codes.max()) + 1 if len(codes) else 0
    if codes.dtype != np.uint64 and top <= min(_TABLE_SIZE, 64 * len(codes) + 1024):
        first_of = np.full(top, -1, dtype=np.intp)
        first_of[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # the last one written stays
        present = np.flatnonzero(first_of >= 0)
        rank = np.empty(top, dtype=np.intp)
        rank[present] = np.arange(len(present))
        return first_of[present], rank[codes]
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return first, inverse


def _places(values, tile_ndim):
    """Yield, for each place of the window, that place's value in every tile."""
    for place in np.ndindex(values.shape[values.ndim - tile_ndim :]):
        yield values[(..., *place)]


def _exact_codes(values, tile_ndim) -> np.ndarray | None:
    """Number the tiles by their values as digits, where they are few enough for 63 bits."""
    n_places = int(np.prod(values.shape[values.ndim - tile_ndim :]))
    alphabet = _alphabet(values, tile_ndim, most=int(2.0 ** (63.0 / max(n_places, 1))))
    if alphabet is None:
        return None
    base, low, digit_of = len(alphabet), int(alphabet[0]), None
    if not np.array_equal(alphabet, np.arange(low, low + base)):
        digit_of = np.zeros(int(alphabet[-1]) - low + 1, dtype=np.int64)
        digit_of[alphabet - low] = np.arange(base)
    codes = np.zeros(values.shape[: values.ndim - tile_ndim], dtype=np.int64)
    narrow = np.int16 if alphabet[-1] - low < 2**15 and abs(low) < 2**14 else np.int64
    for place in _places(values, tile_ndim):
        digits = place.astype(narrow) - narrow(low)
        codes *= base
        codes += digits if digit_of is None else digit_of[digits]
    return codes


def _alphabet(values, tile_ndim, most) -> np.ndarray | None:
    """Return the sorted whole numbers that occur in the tiles, None if others occur or too many."""
    if most < 2 or values.size == 0:
        return None
    n_values = 1 << 12
    found = np.zeros(2 * n_values, dtype=bool)
    for place in _places(values, tile_ndim):
        if values.dtype == bool:
            return np.arange(2)
        low, high = place.min(), place.max()
        if not (-n_values <= low and high < n_values):
            return None
        whole = place.astype(np.int16)
        if values.dtype.kind == "f" and not np.array_equal(whole, place):
            return None
        found[np.bincount(whole.ravel() + np.int16(n_values)).nonzero()[0]] = True
        if np.count_nonzero(found) > most:
            return None
    return np.flatnonzero(found) - n_values


def _hashes(values, tile_ndim) -> np.ndarray:
    hashes = np.zeros(values.shape[: values.ndim - tile_ndim], dtype=np.uint64)
    for place in _places(values, tile_ndim):
        if values.dtype.kind == "f":
            # Adding zero turns -0.0 into 0.0, which has other bits.
            bits = (place.astype(np.float64) + 0.0).view(np.uint64)
        else:
            bits = place.astype(np.int64).view(np.uint64)
        hashes ^= bits
        hashes *= _ODD
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _verified(values, tile_ndim, first, inverse) -> bool:
    batch = values.shape[: values.ndim - tile_ndim]
    kinds = np.unravel_index(first, batch)
    for place in _places(values, tile_ndim):
        if not np.array_equal(place[kinds][inverse], place.ravel()):
            return False
    return True
