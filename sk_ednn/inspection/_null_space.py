"""What totals leave open: changes of the contributions that no total can see."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy.linalg import svd
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from .._utils.memory import require_memory
from ..tiling._tiles import Tiles


@validate_params(
    {"tiles": [Tiles], "max_basis": [Interval(Integral, 0, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def null_space(tiles, *, max_basis=512):
    """Find what the totals of these tiles leave open of the contributions.

    Each total is a sum over tiles, ``y = M c``, with M the counts of the distinct tiles in each
    sample. Contributions that differ by a vector of the null space of M give the same totals, and
    no fit to totals can tell one from the other.

    Parameters
    ----------
    tiles : Tiles
        As ``tiling.tiles(X)`` returns them; equal tiles are merged first.
    max_basis : int, default=512
        Most distinct tiles for which a basis is returned.

    Returns
    -------
    result : Bunch
        dimension : int
            Of the null space: how many ways there are to move contributions about.
        rank : int
            Of M: how many combinations of contributions the totals determine.
        n_distinct : int
            Number of distinct tiles.
        tiles : ndarray of shape (n_distinct, *tile_shape)
            The distinct tiles.
        basis : ndarray of shape (n_distinct, dimension) or None
            An orthonormal basis of the null space; None above `max_basis` distinct tiles.

    Raises
    ------
    TileMemoryError
        Where the counts, as a dense matrix, do not fit into memory.

    Examples
    --------
    All rings of up to eight spins, and tiles of three. A function of the left two spins that is
    taken from a tile is given back by its neighbour, so that 2 x 2 - 1 numbers stay open of the 8:

    >>> from itertools import product
    >>> import numpy as np
    >>> from sk_ednn import GridTiling
    >>> from sk_ednn.inspection import null_space
    >>> rings = [np.array(s) for n in range(1, 9) for s in product((-1, 1), repeat=n)]
    >>> found = null_space(GridTiling(focus=1, context=1).tiles(rings))
    >>> found.n_distinct, found.rank, found.dimension
    (8, 5, 3)
    """
    distinct = tiles.unique()[0]
    n_distinct = distinct.n_tiles
    require_memory(
        8 * 6.0 * n_distinct**2,
        f"The null space of sums over {n_distinct} distinct tiles",
        "Give fewer samples, or look at a smaller context.",
    )
    counts = _triangle(distinct.sum_matrix)
    if n_distinct <= max_basis:
        _, values, right = svd(counts)
        basis = right[_rank(values, distinct.sum_matrix.shape) :].T
    else:
        values, basis = svd(counts, compute_uv=False), None
    rank = _rank(values, distinct.sum_matrix.shape)
    return Bunch(
        dimension=n_distinct - rank,
        rank=rank,
        n_distinct=n_distinct,
        tiles=distinct.array(),
        basis=basis,
    )


def _triangle(counts) -> np.ndarray:
    """Return a matrix of at most n_distinct rows with the null space of the counts.

    A few rows are taken at a time, so that the samples may be many.
    """
    step = max(1024, counts.shape[1])
    rows = np.empty((0, counts.shape[1]))
    for start in range(0, counts.shape[0], step):
        block = counts[start : start + step].toarray()
        # A sample of many tiles must not drown one of few.
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        rows = np.vstack([rows, block])
        if len(rows) > counts.shape[1]:
            rows = np.asarray(np.linalg.qr(rows, mode="r"))
    return rows


def _rank(values, shape) -> int:
    # The shape is that of all samples: rounding grows with their number, too.
    return int(np.sum(values > values.max(initial=0.0) * max(shape) * np.finfo(float).eps))
