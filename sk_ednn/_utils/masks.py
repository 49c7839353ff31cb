"""Masked entries, whose masks numpy drops silently: rejected, or unknown where labels may be.

`numpy.asarray` of a masked array returns the data below the mask, such as the -9999 that marks a
missing value.
"""

from __future__ import annotations

import numpy as np


def require_unmasked(values, name: str) -> None:
    """Raise ValueError if an array, or an array in a list, has a masked entry.

    Parameters
    ----------
    values : object
    name : str
        Name of the values in the message.

    Raises
    ------
    ValueError
        Not for a mask that masks nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn._utils.masks import require_unmasked
    >>> depths = np.ma.masked_equal([[2.5, -9999.0], [1.0, 3.0]], -9999)
    >>> require_unmasked(depths[1], "X")
    >>> require_unmasked([depths[1], depths[0]], "X")
    Traceback (most recent call last):
    ...
    ValueError: Input X[1] contains masked entries, the first of 1 at [1]. All values are needed:
    leave these samples out, or fill in the missing values with numpy.ma.filled.
    """
    if isinstance(values, np.ma.MaskedArray):
        if not np.ma.is_masked(values):
            return
        masked = np.argwhere(np.ma.getmaskarray(values))
        where = f"at {[int(k) for k in masked[0]]}" if values.ndim else "a single number"
        raise ValueError(
            f"Input {name} contains masked entries, the first of {len(masked)} {where}. All values "
            "are needed: leave these samples out, or fill in the missing values with "
            "numpy.ma.filled."
        )
    if isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            if isinstance(value, (list, tuple, np.ma.MaskedArray)):
                require_unmasked(value, f"{name}[{index}]")


def unmasked(values, name: str, dtype=None) -> np.ndarray:
    """Convert values as `numpy.asarray` does, but reject masked entries.

    Parameters
    ----------
    values : array-like
        Dask arrays are computed first, since their blocks may be masked.
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


def unknown_as_nan(values, name: str) -> np.ndarray:
    """Return labels as float64, NaN where they are unknown: masked entries, None, NA and NaN.

    Parameters
    ----------
    values : array-like of numbers
    name : str
        For messages.

    Raises
    ------
    ValueError
        If they are complex, text, or of unequal lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn._utils.masks import unknown_as_nan
    >>> unknown_as_nan([3, None, np.ma.masked, 5], "y")
    array([ 3., nan, nan,  5.])
    >>> unknown_as_nan(np.ma.masked_equal([3, -9999], -9999), "y")
    array([ 3., nan])
    """
    if isinstance(values, (list, tuple)):
        values = [_known_or_nan(value, f"{name}[{k}]") for k, value in enumerate(values)]
    try:
        array = np.ma.asanyarray(values) if np.ma.isMaskedArray(values) else np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be numbers, in rows of equal lengths: {error}") from error
    if array.dtype.kind == "O":
        flat = [_number(value, name) for value in np.ma.filled(array, None).ravel()]
        array = np.reshape(flat, array.shape)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be real numbers, got dtype {array.dtype}.")
    out = np.array(np.ma.getdata(array), dtype=np.float64)
    out[np.ma.getmaskarray(array)] = np.nan
    return out


def _is_unknown(value) -> bool:
    return value is None or value is np.ma.masked or type(value).__name__ == "NAType"  # of pandas


def _known_or_nan(value, name):
    if _is_unknown(value):
        return np.nan
    if isinstance(value, (list, tuple, np.ma.MaskedArray)):
        return unknown_as_nan(value, name)
    return value


def _number(value, name):
    if _is_unknown(value):
        return np.nan
    if isinstance(value, (str, bytes, complex)):
        raise ValueError(f"{name} must be real numbers, got {value!r}.")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be real numbers, got {value!r}.") from error
