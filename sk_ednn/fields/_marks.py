"""Numbers that usually mark missing values, such as -9999, among others that are far from them.

Files of text and plain arrays do not declare their marks, as netCDF does.
"""

from __future__ import annotations

import numpy as np

# Also in the precision of the values; 9.96...e36 and the most negative integers are those of
# netCDF, the largest floats those of GIS, 1e20 that of climate models.
_USUAL = np.array(
    [
        -99, -999, 999, -9999, 9999, -99999, 99999, -999999, 999999, -32768, -32767, -(2**31),
        1 - 2**31, 1e20, -1e20, 1e30, -1e30, 9.969209968386869e36, np.finfo("f4").max,
        np.finfo("f4").min, np.finfo("f8").max, np.finfo("f8").min,
    ]
)  # fmt: skip
# A mark is further from the other values than this many times their range.
_APART = 10.0
# Where all other values are equal, it is rarer than this: fields of 0 and 9999 have two values.
_RARE = 0.1


def doubt_of_marks(values, name, remedy="leave these samples out") -> str | None:
    """Return a message on a number that seems to mark missing values, or None.

    Parameters
    ----------
    values : ndarray
        NaN is ignored.
    name : str
        For messages.
    remedy : str, default="leave these samples out"

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn.fields._marks import doubt_of_marks
    >>> doubt_of_marks(np.array([2.5, -9999.0, 1.0]), "y").partition(",")[0]
    'y contains -9999 at [1]'
    >>> doubt_of_marks(np.array([-9999.0, -9000.0, -8500.0]), "y") is None
    True
    """
    if values.size < 3 or values.dtype.kind not in "iuf":
        return None
    for mark in (np.fmin.reduce(values, None), np.fmax.reduce(values, None)):
        if not _is_usual(mark):
            continue
        is_mark = values == mark
        others = values[~is_mark].astype(np.float64)
        others = others[np.isfinite(others)]
        if not len(others):
            continue
        least, largest = float(others.min()), float(others.max())
        if least == largest and is_mark.mean() > _RARE:
            continue
        with np.errstate(over="ignore"):
            gap = max(least - float(mark), float(mark) - largest)
        if gap > _APART * (largest - least):
            place = [int(k) for k in np.argwhere(is_mark)[0]]
            return (
                f"{name} contains {float(mark):.6g} at {place}, one of {int(is_mark.sum())} such "
                f"values, and otherwise numbers from {least:.4g} to {largest:.4g}: it seems to "
                f"mark missing values. If so, {remedy}, or fill in what is missing."
            )
    return None


def _is_usual(number) -> bool:
    with np.errstate(over="ignore"):
        return bool(
            (_USUAL.astype(number.dtype if number.dtype.kind == "f" else float) == number).any()
        )
