"""Round features to a grid, so that values that should be equal are equal on every processor.

Trees and neighbours decide by comparisons. Numbers that would be equal in exact arithmetic, such as
descriptors of atoms with equal surroundings, differ in their last bits, in a different way on each
processor. These bits must not decide which neighbour is the nearest, or how many there are.

One difference remains: `KNeighborsRegressor(weights="distance", algorithm="brute")`, also where
"auto" chooses it, computes distances by matrix products. If features have large means or different
scales, the distance of equal rows is then a round-off of 1e-8 instead of 0, and totals differ by
1e-7 of themselves between processors. Trees ("kd_tree") give 0, but take longer for many features.
"""

from __future__ import annotations

import numpy as np

# Steps are this fraction of the mean deviation of a feature, a power of two. Differences of numbers
# with 20 digits have squares of 40 digits, so that distances over thousands of features of one
# scale are exact, in any order of the sum. Then ties are ties on every processor, too.
_OF_DEVIATION = 2.0**-20
# The round-off of a sum is relative to its terms, so a feature with a large mean has larger steps.
_OF_LARGEST = 2.0**-32
# Features that vanish by symmetry contain only round-off, relative to the other features.
_OF_ALL = 2.0**-44
# Values of this many steps and more are left as they are; doubles there are multiples of a step.
_MAX_STEPS = 2.0**52
# Moves powers of two away from round values, where round-off would decide between two steps.
_UNEVEN = 1.37
# Numbers below this have no steps, which could be smaller than the smallest double.
_SMALLEST = 1e-280
# Numbers converted at a time.
_BLOCK_NUMBERS = 1 << 20


def resolution_of(rows, counts, computed=False) -> np.ndarray | None:
    """Return the step of each feature, a power of two, or 0 to leave the feature as it is.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features)
    counts : ndarray of shape (n,)
        Number of occurrences of each row. Rows that occur twice, and two rows that differ in
        their last bits, must lead to the same steps.
    computed : bool, default=False
        Whether the features are computed together, so that all have the round-off of the largest.

    Returns
    -------
    ndarray of shape (n_features,), or None
        None for integers and booleans, which are exact.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.tile_models._resolution import resolution_of, rounded
    >>> rows = np.array([[0.3, 5.0], [0.1 + 0.2, 7.0], [0.7, 9.0]])
    >>> steps = resolution_of(rows, np.ones(3))
    >>> len(np.unique(rows[:, 0])), len(np.unique(rounded(rows, steps)[:, 0]))
    (3, 2)
    """
    if rows.dtype.kind != "f" or len(rows) == 0:
        return None
    share = counts / counts.sum()
    deviation = np.zeros(rows.shape[1])
    largest = np.zeros(rows.shape[1])
    whole = np.ones(rows.shape[1], dtype=bool)
    mean = share @ rows
    step = max(1, _BLOCK_NUMBERS // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        part = np.asarray(rows[start : start + step], dtype=np.float64)
        deviation += share[start : start + step] @ np.abs(part - mean)
        largest = np.maximum(largest, np.abs(part).max(axis=0))
        whole &= (part == np.rint(part)).all(axis=0)
    steps = np.maximum(_power_of_two(_OF_DEVIATION, deviation), _power_of_two(_OF_LARGEST, largest))
    if computed:
        steps = np.maximum(steps, _power_of_two(_OF_ALL, largest.max(initial=0.0)))
    return np.where(whole, np.minimum(steps, 1.0), steps)


def rounded(values, resolution) -> np.ndarray:
    """Return values, of shape (n, *shape), as multiples of the steps, of shape (*shape,).

    The dtype stays the same. If `resolution` is None, or if integers are multiples already, the
    values themselves are returned.
    """
    if resolution is None:
        return values
    if np.shape(resolution) != values.shape[1:]:
        raise ValueError(
            f"steps of shape {np.shape(resolution)} do not suit values of shape {values.shape[1:]}"
        )
    if values.dtype.kind != "f" and (resolution <= 1).all():
        return values
    result = np.empty(values.shape, values.dtype if values.dtype.kind == "f" else np.float64)
    step = max(1, _BLOCK_NUMBERS // max(resolution.size, 1))
    for start in range(0, len(values), step):
        exact = np.asarray(values[start : start + step], dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = exact / resolution
            multiples = np.where(np.abs(ratio) < _MAX_STEPS, np.rint(ratio) * resolution, exact)
        # Adding zero turns -0.0 into 0.0.
        result[start : start + step] = multiples + 0.0
    return result


def _power_of_two(fraction, numbers) -> np.ndarray:
    """Return fractions of numbers, to a power of two; 0 for numbers too small for fractions."""
    exponents = np.floor(np.log2(np.maximum(numbers, _SMALLEST)) + np.log2(_UNEVEN))
    return np.where(numbers > _SMALLEST, np.exp2(exponents + np.log2(fraction)), 0.0)
