"""Split Pipelines into transformers and last step, and keep their features as arrays.

Transformers may return tables (``set_output(transform="pandas")``, `sklearn.set_config`, or a
function that returns one). Models would then expect their column names, or reject them. Features
are therefore converted to arrays, in the fit and in predictions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import sklearn
from scipy.sparse import issparse

# Of floats that scikit-learn and scipy compute with.
_LEAST_BYTES = 4


def as_arrays():
    """Return a context in which scikit-learn's transformers return arrays by default.

    scikit-learn's global setting is per thread and process, so a model would behave differently
    in workers. The setting of ``set_output`` is part of a transformer and is not affected.
    """
    return sklearn.config_context(transform_output="default")


def front_and_last(estimator) -> tuple[list, Any]:
    """Return the transformers of (nested) Pipelines, in order, and the last step.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sk_ednn._utils.steps import front_and_last
    >>> front_and_last(make_pipeline(StandardScaler(), make_pipeline("passthrough", Ridge())))
    ([StandardScaler()], Ridge())
    """
    *front, last = _flattened(estimator)
    return [step for step in front if not _passes(step)], last


def first_step(estimator) -> Any:
    """Return the first step of a Pipeline that does anything, or the estimator itself."""
    front, last = front_and_last(estimator)
    return front[0] if front else last


def transformed(steps: Iterable, rows):
    """Return rows after fitted transformers, as an array or sparse array."""
    with as_arrays():
        for k, step in enumerate(steps):
            rows = step.transform(rows if k else as_floats(rows))
    return plain(rows)


def as_floats(rows) -> np.ndarray:
    """Return the input of transformers: float32 or wider, everything else as float64.

    Some transformers, such as FunctionTransformer, compute in the type of their input, in which
    the square of 16 in 8 bits is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_ednn._utils.steps import as_floats
    >>> pixels = np.array([[16, 250]], dtype="uint8")
    >>> np.square(pixels).tolist(), np.square(as_floats(pixels)).tolist()
    ([[0, 36]], [[256.0, 62500.0]])
    """
    is_wide = rows.dtype.kind == "f" and rows.dtype.itemsize >= _LEAST_BYTES
    return rows if is_wide else rows.astype(np.float64)


def plain(rows):
    """Convert a table to an array in C order; return arrays and sparse arrays unchanged.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_ednn._utils.steps import plain
    >>> plain(pd.DataFrame({"x0": [0.5, 1.5], "x1": [True, False]}))
    array([[0.5, 1. ],
           [1.5, 0. ]])
    """
    if issparse(rows) or isinstance(rows, np.ndarray):
        return rows
    # Tables are in column order, in which sums would have another round-off.
    values = np.ascontiguousarray(rows)
    # Columns of several types become an array of objects.
    return values.astype(np.float64) if values.dtype == object else values


def dense(rows) -> np.ndarray:
    """Return features as a dense array of float64."""
    return np.asarray(rows.toarray() if issparse(rows) else plain(rows), dtype=np.float64)


def with_values(rows, values):
    """Return an array or table with other values and the same columns."""
    columns = getattr(rows, "columns", None)
    if columns is None:
        return values
    if hasattr(rows, "iloc"):
        return type(rows)(values, columns=columns, index=rows.index)
    return type(rows)(values, schema=list(columns))


def _flattened(estimator):
    if not _is_pipeline(estimator):
        return [estimator]
    return [inner for _, step in estimator.steps for inner in _flattened(step)]


def _is_pipeline(estimator) -> bool:
    # Networks may have an attribute `steps`, too.
    steps = getattr(estimator, "steps", None)
    return isinstance(steps, list) and all(isinstance(step, tuple) for step in steps)


def _passes(step) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")
