"""Null space of sums over tiles: changes of contributions that leave all totals unchanged."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy.linalg import svd
from sklearn.utils._param_validation import Interval, validate_params

from .._utils.memory import require_memory
from .._utils.results import Result
from ..tiling._tiles import Tiles


@validate_params(
    {"tiles": [Tiles], "max_basis": [Interval(Integral, 0, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def null_space(tiles, *, max_basis=512):
    """Compute the null space of totals: the contributions that they do not determine.

    Each total is a sum over tiles, ``y = M c``, where M counts the distinct tiles in each sample.
    Contributions that differ by a vector of the null space of M have the same totals, so that no
    fit to totals can distinguish them.

    Parameters
    ----------
    tiles : Tiles
        Result of ``tiling.tiles(X)``; equal tiles are merged first.
    max_basis : int, default=512
        Largest number of distinct tiles for which a basis is returned.

    Returns
    -------
    result : Bunch
        dimension : int
            Dimension of the null space.
        rank : int
            Rank of M, the number of combinations of contributions that totals determine.
        n_distinct : int
            Number of distinct tiles.
        tiles : ndarray of shape (n_distinct, *tile_shape)
            The distinct tiles.
        basis : ndarray of shape (n_distinct, dimension) or None
            Orthonormal basis of the null space; None above `max_basis` distinct tiles.

    Raises
    ------
    TileMemoryError
        If the counts do not fit into memory as a dense matrix.

    Examples
    --------
    All rings of up to eight spins, with tiles of three. Subtracting a function of the left two
    spins from each tile and adding it to the neighbour changes no total, so 2 x 2 - 1 of the 8
    contributions are not determined:

    >>> from itertools import product
    >>> import numpy as np
    >>> from sk_ednn import GridTiling
    >>> from sk_ednn.inspection import null_space
    >>> rings = [np.array(s) for n in range(1, 9) for s in product((-1, 1), repeat=n)]
    >>> space = null_space(GridTiling(focus=1, context=1).tiles(rings))
    >>> space.n_distinct, space.rank, space.dimension
    (8, 5, 3)
    """
    distinct = tiles.unique()[0]
    n_distinct = distinct.n_tiles
    require_memory(
        8 * 6.0 * n_distinct**2,
        f"The null space of sums over {n_distinct} distinct tiles",
        "Pass fewer samples, or use a smaller context.",
    )
    counts = _triangle(distinct.sum_matrix)
    if n_distinct <= max_basis:
        _, values, right = svd(counts)
        basis = right[_rank(values, distinct.sum_matrix.shape) :].T
    else:
        values, basis = svd(counts, compute_uv=False), None
    rank = _rank(values, distinct.sum_matrix.shape)
    return Result(
        dimension=n_distinct - rank,
        rank=rank,
        n_distinct=n_distinct,
        tiles=distinct.array(),
        basis=basis,
    )


def _triangle(counts) -> np.ndarray:
    """Return a matrix of at most n_distinct rows with the same null space as the counts.

    Rows are processed in blocks, so that memory does not grow with the number of samples.
    """
    step = max(1024, counts.shape[1])
    rows = np.empty((0, counts.shape[1]))
    for start in range(0, counts.shape[0], step):
        block = counts[start : start + step].toarray()
        # Normalise, or large samples would dominate the numerical rank.
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        rows = np.vstack([rows, block])
        if len(rows) > counts.shape[1]:
            rows = np.asarray(np.linalg.qr(rows, mode="r"))
    return rows


def _rank(values, shape) -> int:
    # The shape includes all samples, since round-off grows with their number.
    return int(np.sum(values > values.max(initial=0.0) * max(shape) * np.finfo(float).eps))
