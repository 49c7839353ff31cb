"""Refuse masked entries, as NaN is refused: numpy drops masks silently and uses what lies beneath.

`numpy.asarray` of a masked array returns its data, such as the -9999 that marks a missing value.
"""

from __future__ import annotations

import numpy as np


def require_unmasked(values, name: str) -> None:
    """Raise where an array, or an array in a list, has a masked entry.

    Parameters
    ----------
    values : object
        Anything that a user hands over in place of an array.
    name : str
        What it is called in the message.

    Raises
    ------
    ValueError
        A mask without a masked entry is accepted.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn._utils.masks import require_unmasked
    >>> depths = np.ma.masked_equal([[2.5, -9999.0], [1.0, 3.0]], -9999)
    >>> require_unmasked(depths[1], "X")
    >>> require_unmasked([depths[1], depths[0]], "X")
    Traceback (most recent call last):
    ...
    ValueError: Input X[1] contains masked entries, the first of 1 at [1]. Sums over tiles need all
    values: leave these samples out, or fill in what is missing with numpy.ma.filled.
    """
    if isinstance(values, np.ma.MaskedArray):
        if not np.ma.is_masked(values):
            return
        places = np.argwhere(np.ma.getmaskarray(values))
        where = f"at {[int(k) for k in places[0]]}" if values.ndim else "a single number"
        raise ValueError(
            f"Input {name} contains masked entries, the first of {len(places)} {where}. Sums over "
            "tiles need all values: leave these samples out, or fill in what is missing with "
            "numpy.ma.filled."
        )
    if isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            if isinstance(value, (list, tuple, np.ma.MaskedArray)):
                require_unmasked(value, f"{name}[{index}]")


def unmasked(values, name: str, dtype=None) -> np.ndarray:
    """Return values as an array, as `numpy.asarray` does, and refuse masked entries.

    Parameters
    ----------
    values : array-like
        A dask array is computed first, since its blocks may be masked.
    name : str
    dtype : dtype, default=None

    Returns
    -------
    ndarray
    """
    if hasattr(values, "__dask_graph__"):
        values = values.compute()
    require_unmasked(values, name)
    return np.asarray(values, dtype=dtype)
