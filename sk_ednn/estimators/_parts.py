"""Parts of an estimator: clones that take over its workers, seed and verbosity."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone

from ..exceptions import TileModelError


def filled(estimator, part, random_state):
    """Return a clone of a part, with n_jobs, verbose and random_state set if they are None.

    Parameters
    ----------
    estimator : EDNNRegressor
        Whose values are passed on.
    part : object
        Classes are returned as they are, parts without parameters are only copied.
    random_state : RandomState or None
        Source of seeds; None if `part` needs none.

    Raises
    ------
    TileModelError
        If the part is a network that torch cannot copy.
    """
    part = _copied(part)
    if isinstance(part, type) or not hasattr(part, "get_params"):
        return part
    fill = {}
    for name, value in sorted(part.get_params(deep=True).items()):
        param = name.rpartition("__")[2]
        if value is not None:
            continue
        if param == "random_state" and estimator.random_state is not None:
            fill[name] = random_state.randint(np.iinfo(np.int32).max)
        elif param == "n_jobs" and estimator.n_jobs is not None:
            fill[name] = estimator.n_jobs
        elif param == "verbose":
            fill[name] = estimator.verbose
    return part.set_params(**fill) if fill else part


def _copied(part):
    try:
        return clone(part, safe=False)
    except ValueError as error:
        if "uninitialized parameter" not in str(error):
            raise
        raise TileModelError(
            "The network has lazy buffers, such as those of LazyBatchNorm1d, which torch does not "
            "copy before their first use. Pass the class of the network, or take a layer with a "
            "number of features, such as nn.BatchNorm1d(8)."
        ) from error
