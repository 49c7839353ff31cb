"""Integers that double precision, with which models compute, would round without a word."""

from __future__ import annotations

import numpy as np

from .._utils.optional import is_from

# All integers up to this are doubles.
_LARGEST = 2**53


def require_doubles(values, name) -> None:
    """Raise ValueError if an array has integers that are no doubles.

    Parameters
    ----------
    values : ndarray
    name : str
        For messages.
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8 or values.size == 0:
        return
    if int(values.min()) >= -_LARGEST and int(values.max()) <= _LARGEST:
        return
    doubles = values.astype(np.float64)
    fits = doubles < float(np.iinfo(values.dtype).max)  # which is rounded to a power of two
    bad = np.ones(values.shape, dtype=bool)
    bad[fits] = doubles[fits].astype(values.dtype) != values[fits]
    if bad.any():
        place = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"Input {name} contains {values[place]} at {list(place)}, one of {int(bad.sum())} "
            "integers beyond 2**53 that double precision rounds, so that different values would be "
            "equal. Subtract a constant, for example the least value, or divide by a power of two."
        )


def require_double_objects(values, name) -> None:
    """Raise ValueError if an array of objects has integers that are no doubles.

    Parameters
    ----------
    values : ndarray of object
    name : str
        For messages.
    """
    for k, value in enumerate(values.flat):
        if not isinstance(value, (int, np.integer)) or abs(int(value)) <= _LARGEST:
            continue
        if not _is_double(int(value)):
            place = [int(i) for i in np.unravel_index(k, values.shape)]
            raise ValueError(
                f"Input {name} contains an integer of {int(value).bit_length()} bits at {place}, "
                "which double precision rounds or cannot contain. Subtract a constant, or divide "
                "by a power of two."
            )


def require_doubles_among_floats(given, name, values=None) -> None:
    """Raise ValueError if numpy would round integers because there are floats beside them.

    Parameters
    ----------
    given : object
        Lists, and tables whose columns differ in type, are looked into.
    name : str
        For messages.
    values : ndarray, default=None
        What numpy makes of it; None to convert it here.

    Examples
    --------
    >>> from sk_ednn.fields._exact_integers import require_doubles_among_floats
    >>> require_doubles_among_floats([2**53, 1.5], "y")
    >>> require_doubles_among_floats([1, 2**53 + 1, 1.5], "y")
    Traceback (most recent call last):
    ...
    ValueError: Input y contains an integer of 54 bits at [1], which double precision rounds or
    cannot contain. Subtract a constant, or divide by a power of two.
    """
    if not isinstance(given, (list, tuple)) and not hasattr(given, "dtypes"):
        return
    try:
        values = np.asarray(given) if values is None else values
    except ValueError:  # of unequal lengths, which is reported elsewhere
        return
    if is_from(given, "pandas"):
        require_doubles(values, name)  # Int64, which scikit-learn makes floats of
    if values.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore"):
        if (np.abs(values) >= _LARGEST).any():
            require_double_objects(_as_objects(given), name)


def _as_objects(given) -> np.ndarray:
    if is_from(given, "pandas"):
        return given.to_numpy(dtype=object)
    return np.asarray(given, dtype=object)


def _is_double(value) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False
