"""Errors of means over time, from averages of blocks."""

from __future__ import annotations

import numpy as np

# From so many blocks on, their deviation is known to a quarter of itself.
_FEWEST = 8


def error_of_mean(values) -> float | None:
    """Return the standard error of the mean of a series, whose values may be correlated.

    Averages over blocks that are longer than the correlations are independent. Blocks of one value
    are doubled in length as long as eight are left; the largest error is returned (Flyvbjerg and
    Petersen, J. Chem. Phys. 91, 461, 1989). It is too small if correlations are longer than an
    eighth of the series.

    Parameters
    ----------
    values : ndarray of shape (n_values,)

    Returns
    -------
    float or None
        None for fewer than eight values.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn._utils.blocks import error_of_mean
    >>> values = np.random.default_rng(0).normal(size=64)
    >>> bool(0.08 < error_of_mean(values) < 0.25)  # of independent ones 1 / 8
    True
    >>> bool(error_of_mean(np.repeat(values, 16)) > 2.5 * error_of_mean(np.tile(values, 16)))
    True
    >>> error_of_mean(np.ones(4))
    """
    blocks = np.asarray(values, dtype=float)
    if len(blocks) < _FEWEST:
        return None
    errors = []
    while len(blocks) >= _FEWEST:
        errors.append(blocks.std(ddof=1) / np.sqrt(len(blocks)))
        # The first values are the least equilibrated ones, so an odd one is left out there.
        blocks = blocks[len(blocks) % 2 :].reshape(-1, 2).mean(axis=1)
    return float(max(errors))
