"""The steps of Pipelines: transformers whose features leave them as arrays, and the last step.

Transformers may return tables (``set_output(transform="pandas")``, `sklearn.set_config`, a function
that returns one), which models then know by the names of their columns, or do not take at all.
Whatever leaves the transformers is an array here, when a model is fitted and whenever it is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import sklearn
from scipy.sparse import issparse


def as_arrays():
    """Return a context in which scikit-learn's transformers return what they make, no tables.

    The global setting is of one thread, and unknown to other processes: the same model would do
    one thing here and another there. What ``set_output`` says of a transformer travels with it.
    """
    return sklearn.config_context(transform_output="default")


def front_and_last(estimator) -> tuple[list, Any]:
    """Return the transformers of (nested) Pipelines in their order, and the last step.

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


def transformed(steps: Iterable, rows):
    """Return rows as they leave fitted transformers: an array, or a sparse one."""
    with as_arrays():
        for step in steps:
            rows = step.transform(rows)
    return plain(rows)


def plain(rows):
    """Return a table as an array in C order; arrays, and sparse ones, are returned as they are.

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
    # Tables lie column by column, and sums in another order differ in their last digits.
    values = np.ascontiguousarray(rows)
    # Columns of several types make an array of objects.
    return values.astype(np.float64) if values.dtype == object else values


def dense(rows) -> np.ndarray:
    """Return features as a dense array of float64."""
    return np.asarray(rows.toarray() if issparse(rows) else plain(rows), dtype=np.float64)


def with_values(rows, values):
    """Return other values in the place of those of an array or a table, its columns kept."""
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
    # A network may have layers that it calls `steps`.
    steps = getattr(estimator, "steps", None)
    return isinstance(steps, list) and all(isinstance(step, tuple) for step in steps)


def _passes(step) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")
