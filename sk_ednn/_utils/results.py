"""Results of several named values, printed to be read."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import Bunch

_DIGITS, _MOST_SHOWN = 4, 24


class Result(Bunch):
    """A `Bunch` that is printed with one line for each entry and four digits of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn._utils.results import Result
    >>> Result(share=np.array([0.0, 0.0229]), threshold=16.68262750107022, tables=np.ones((12, 3)))
    share: [0.     0.0229]
    threshold: 16.68
    tables: array of shape (12, 3), from 1 to 1
    """

    def __repr__(self):
        return "\n".join(f"{name}: {_shown(value)}" for name, value in self.items())


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > _MOST_SHOWN:
        text = f"array of shape {value.shape}"
        if value.dtype.kind not in "iuf" or np.isnan(value).all():
            return text
        return f"{text}, from {np.nanmin(value):.{_DIGITS}g} to {np.nanmax(value):.{_DIGITS}g}"
    if isinstance(value, np.ndarray):
        # Rows in one line each entry: a table of few numbers stays readable.
        text = np.array2string(value, precision=_DIGITS, max_line_width=10**6, suppress_small=True)
        return text.replace("\n", ",").replace(",,", ",")
    if isinstance(value, float | np.floating):
        return f"{value:.{_DIGITS}g}"
    if isinstance(value, dict):
        return "; ".join(f"{name} {_shown(each)}" for name, each in value.items()) or "none"
    return str(value)
